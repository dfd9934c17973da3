//! Reads the coded data of a scan to its end, to check that it is complete (ITU-T T.81, B.2.3 and A.2).

use super::blocks::{difference, first, no_run_left, refine, sequential};
use super::entropy::{Bits, Table, Tables};
use super::frame::{Component, Frame};

/// Marks a coefficient that is not coded yet; otherwise its lowest coded bit is stored.
const UNSEEN: u8 = u8::MAX;

/// What the scans so far have coded.
pub(super) struct State<'a> {
    frame: &'a Frame,
    pub(super) tables: Tables,
    /// Units between restart markers; 0 if there are none.
    pub(super) restart: u16,
    /// For each component, the lowest coded bit of each coefficient, in zigzag order.
    lowest: Vec<[u8; 64]>,
    /// For each component of a progressive file and each block, which coefficients are nonzero.
    nonzero: Vec<Vec<u64>>,
}

/// The coefficients of a scan: from..=to in zigzag order, the previous bit, the current bit.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) high: u8,
    pub(super) low: u8,
}

/// A component of a scan: its index in the frame and its tables.
struct Part<'a> {
    index: usize,
    component: &'a Component,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
}

impl<'a> State<'a> {
    pub(super) fn new(frame: &'a Frame) -> Self {
        let count = frame.components.len();
        let (columns, rows) = frame.units();
        let blocks = |c: &Component| columns * usize::from(c.across) * rows * usize::from(c.down);
        let kept = if frame.is_progressive() { frame.components.as_slice() } else { &[] };
        Self {
            frame,
            tables: Tables::default(),
            restart: 0,
            lowest: vec![[UNSEEN; 64]; count],
            nonzero: kept.iter().map(|component| vec![0; blocks(component)]).collect(),
        }
    }

    /// Reads a scan whose coded data starts at `data`, and returns where it ends.
    pub(super) fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<usize, String> {
        let Some((selected, band)) = split_header(header) else {
            return Err("the JPEG is damaged: a scan header is malformed".to_owned());
        };
        let mut parts = Vec::new();
        for pair in selected.chunks_exact(2) {
            let index = self.frame.components.iter().position(|component| component.id == pair[0]);
            let index = index.ok_or("the JPEG is damaged: a scan refers to an unknown component")?;
            if parts.iter().any(|part: &Part<'_>| part.index >= index) {
                return Err("the JPEG is damaged: a scan's components are out of order".to_owned());
            }
            let dc = self.tables.dc.get(usize::from(pair[1] >> 4)).and_then(Option::as_ref);
            let ac = self.tables.ac.get(usize::from(pair[1] & 15)).and_then(Option::as_ref);
            parts.push(Part { index, component: &self.frame.components[index], dc, ac });
        }
        let band = if self.frame.is_progressive() { band } else { Band { from: 0, to: 63, high: 0, low: 0 } };
        check_band(band, parts.len(), self.frame.is_progressive())?;
        for part in &parts {
            for lowest in &mut self.lowest[part.index][usize::from(band.from)..=usize::from(band.to)] {
                let expected = if band.high == 0 { UNSEEN } else { band.high };
                if *lowest != expected {
                    return Err("the JPEG is damaged: its scans are out of order".to_owned());
                }
                *lowest = band.low;
            }
        }
        read(self.frame, &parts, band, self.restart, &mut self.nonzero, data)
    }

    /// At the end of the image: checks that every bit of every coefficient was coded.
    pub(super) fn finish(&self) -> Result<(), String> {
        if self.lowest.iter().flatten().all(|&lowest| lowest == 0) {
            return Ok(());
        }
        Err("the JPEG is cut or was never finished: some of its scans are missing".to_owned())
    }
}

/// Two bytes for each component, and the band.
fn split_header(header: &[u8]) -> Option<(&[u8], Band)> {
    let (&count, rest) = header.split_first()?;
    let (selected, band) = rest.split_at_checked(2 * usize::from(count))?;
    let &[from, to, bits] = band else { return None };
    (1..=4).contains(&count).then_some((selected, Band { from, to, high: bits >> 4, low: bits & 15 }))
}

fn check_band(band: Band, parts: usize, progressive: bool) -> Result<(), String> {
    let one_kind = if band.from == 0 { band.to == 0 } else { band.from <= band.to && parts == 1 };
    let refines = band.high == 0 || band.high == band.low + 1;
    if progressive && !(one_kind && band.to < 64 && band.low <= 13 && refines) {
        return Err("the JPEG is damaged: a scan refers to coefficients that do not exist".to_owned());
    }
    Ok(())
}

fn read(
    frame: &Frame,
    parts: &[Part<'_>],
    band: Band,
    restart: u16,
    nonzero: &mut [Vec<u64>],
    data: &[u8],
) -> Result<usize, String> {
    let units = frame.units();
    let (columns, rows) = match parts {
        [alone] => {
            let blocks = frame.blocks(alone.component);
            decoder_agrees(frame, alone.component, blocks)?;
            blocks
        }
        _ => units,
    };
    let mut bits = Bits::new(data);
    // Blocks of this band that remain to be skipped (T.81, G.1.2.2).
    let mut run = 0;
    for unit in 0..columns * rows {
        if restart > 0 && unit > 0 && unit.is_multiple_of(usize::from(restart)) {
            no_run_left(run)?;
            bits.restart(((unit / usize::from(restart) - 1) % 8) as u8)?;
        }
        let (row, column) = (unit / columns, unit % columns);
        for part in parts {
            let (across, down) = if parts.len() == 1 {
                (1, 1)
            } else {
                (usize::from(part.component.across), usize::from(part.component.down))
            };
            let stride = units.0 * usize::from(part.component.across);
            for block in 0..across * down {
                if !frame.is_progressive() {
                    sequential(&mut bits, part.dc, part.ac)?;
                    continue;
                }
                let at = (row * down + block / across) * stride + column * across + block % across;
                let mask = nonzero.get_mut(part.index).and_then(|blocks| blocks.get_mut(at));
                let mask = mask.ok_or("the JPEG is damaged: a block lies outside the image")?;
                match (band.from, band.high) {
                    (0, 0) => difference(&mut bits, part.dc)?,
                    (0, _) => bits.take(1).map(drop)?,
                    (_, 0) => first(&mut bits, part.ac, band, &mut run, mask)?,
                    _ => refine(&mut bits, part.ac, band, &mut run, mask)?,
                }
            }
        }
    }
    no_run_left(run)?;
    bits.finish()
}

/// In a scan of one component with neither the finest nor the coarsest sampling, `jpeg-decoder` 0.3.2 reads blocks that
/// do not exist (`decode_scan` compares with the size of the image, not of the component).
fn decoder_agrees(frame: &Frame, component: &Component, blocks: (usize, usize)) -> Result<(), String> {
    let units = frame.units();
    let across = (units.0 * usize::from(component.across)).min(usize::from(frame.width).div_ceil(8));
    let down = (units.1 * usize::from(component.down)).min(usize::from(frame.height).div_ceil(8));
    if (across, down) == blocks {
        return Ok(());
    }
    Err(format!(
        "expected JPEG components with the finest sampling or one block per unit, found {}x{} in a scan of its own",
        component.across, component.down
    ))
}
