//! Reads the coded data of a scan to its end, to see that it is whole (ITU-T T.81, B.2.3, F.2.2 and G.1.2).

use super::entropy::{Bits, Table, Tables};
use super::frame::{Component, Frame};

/// How far a coefficient is coded: its lowest bit so far.
const UNSEEN: u8 = u8::MAX;

/// What the scans so far have said.
pub(super) struct State<'a> {
    frame: &'a Frame,
    pub(super) tables: Tables,
    /// Units between restart markers; 0 for none.
    pub(super) restart: u16,
    /// For each component, the lowest coded bit of each coefficient, in zigzag order.
    lowest: Vec<[u8; 64]>,
    /// For each component of a progressive file and each block, which coefficients are not zero.
    nonzero: Vec<Vec<u64>>,
}

/// A scan's part of the coefficients: from..=to in zigzag order, the bit before, the bit now.
#[derive(Clone, Copy)]
struct Band {
    from: u8,
    to: u8,
    high: u8,
    low: u8,
}

/// A component of a scan: its place in the frame and its tables.
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

    /// Reads a scan, whose coded data begins at `data`, and says where it ends.
    pub(super) fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<usize, String> {
        let Some((selected, band)) = split_header(header) else {
            return Err("the JPEG is damaged: a scan header is malformed".to_owned());
        };
        let mut parts = Vec::new();
        for pair in selected.chunks_exact(2) {
            let index = self.frame.components.iter().position(|component| component.id == pair[0]);
            let index = index.ok_or("the JPEG is damaged: a scan is of a component that there is not")?;
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
                    return Err("the JPEG is damaged: its scans do not follow each other".to_owned());
                }
                *lowest = band.low;
            }
        }
        read(self.frame, &parts, band, self.restart, &mut self.nonzero, data)
    }

    /// At the end of the image: every bit of every coefficient has been there.
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
        return Err("the JPEG is damaged: a scan is of coefficients that there are not".to_owned());
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
    // Blocks of this band that are still to be passed over (T.81, G.1.2.2).
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
                    sequential(&mut bits, part)?;
                    continue;
                }
                let at = (row * down + block / across) * stride + column * across + block % across;
                let mask = nonzero.get_mut(part.index).and_then(|blocks| blocks.get_mut(at));
                let mask = mask.ok_or("the JPEG is damaged: a block lies outside")?;
                match (band.from, band.high) {
                    (0, 0) => difference(&mut bits, part.dc).map(drop)?,
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

/// In a scan of one component that is neither the finest nor the coarsest, `jpeg-decoder` 0.3.2 reads blocks that there
/// are not (`decode_scan` compares with the size of the image, not of the component).
fn decoder_agrees(frame: &Frame, component: &Component, blocks: (usize, usize)) -> Result<(), String> {
    let units = frame.units();
    let across = (units.0 * usize::from(component.across)).min(usize::from(frame.width).div_ceil(8));
    let down = (units.1 * usize::from(component.down)).min(usize::from(frame.height).div_ceil(8));
    if (across, down) == blocks {
        return Ok(());
    }
    Err(format!(
        "expected JPEG components that are sampled as the finest or once a unit, found {}x{} in a scan of its own",
        component.across, component.down
    ))
}

fn no_run_left(run: u32) -> Result<(), String> {
    if run == 0 { Ok(()) } else { Err(overfull()) }
}

fn overfull() -> String {
    "the JPEG is damaged: its coded pixels reach beyond a block".to_owned()
}

fn table(table: Option<&Table>) -> Result<&Table, String> {
    table.ok_or_else(|| "the JPEG is damaged: a Huffman table is missing".to_owned())
}

/// A difference of DC coefficients (T.81, F.2.2.1).
fn difference(bits: &mut Bits<'_>, dc: Option<&Table>) -> Result<u32, String> {
    let size = bits.symbol(table(dc)?)?;
    if size > 11 {
        return Err("the JPEG is damaged: a difference is too large".to_owned());
    }
    bits.take(size.into())
}

/// A block with all its coefficients (T.81, F.2.2).
fn sequential(bits: &mut Bits<'_>, part: &Part<'_>) -> Result<(), String> {
    difference(bits, part.dc)?;
    let ac = table(part.ac)?;
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (_, 0) => break,
            (zeros, size) => {
                at += u32::from(zeros) + 1;
                bits.take(size.into())?;
            }
        }
        if at > 64 {
            return Err(overfull());
        }
    }
    Ok(())
}

/// The first scan of a band (T.81, G.1.2.2).
fn first(
    bits: &mut Bits<'_>,
    ac: Option<&Table>,
    band: Band,
    run: &mut u32,
    mask: &mut u64,
) -> Result<(), String> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let (ac, end) = (table(ac)?, u32::from(band.to) + 1);
    let mut at = u32::from(band.from);
    while at < end {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (power, 0) => {
                *run = (1 << power) - 1 + bits.take(power.into())?;
                return Ok(());
            }
            (zeros, size) => {
                at += u32::from(zeros);
                bits.take(size.into())?;
                if at < end {
                    *mask |= 1 << at;
                }
                at += 1;
            }
        }
        if at > end {
            return Err(overfull());
        }
    }
    Ok(())
}

/// A later scan of a band, one bit finer (T.81, G.1.2.3).
fn refine(
    bits: &mut Bits<'_>,
    ac: Option<&Table>,
    band: Band,
    run: &mut u32,
    mask: &mut u64,
) -> Result<(), String> {
    let (ac, end) = (table(ac)?, u32::from(band.to) + 1);
    let mut at = u32::from(band.from);
    while at < end && *run == 0 {
        let symbol = bits.symbol(ac)?;
        let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
        match size {
            0 if zeros < 15 => {
                *run = (1 << zeros) + bits.take(zeros)?;
                break;
            }
            0 => {}
            1 => bits.take(1).map(drop)?,
            _ => return Err("the JPEG is damaged: a refinement of more than one bit".to_owned()),
        }
        // Past `zeros` coefficients that stay zero; those that are not get a bit each.
        loop {
            if at >= end {
                return Err(overfull());
            }
            if *mask >> at & 1 == 1 {
                bits.take(1)?;
            } else if zeros > 0 {
                zeros -= 1;
            } else {
                break;
            }
            at += 1;
        }
        if size == 1 {
            *mask |= 1 << at;
        }
        at += 1;
    }
    if *run > 0 {
        for later in at..end {
            bits.take((*mask >> later & 1) as u32)?;
        }
        *run -= 1;
    }
    Ok(())
}
