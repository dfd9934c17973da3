//! Reads the coefficients of a block (ITU-T T.81, F.2.2 and G.1.2).

use super::entropy::{Bits, Table};
use super::scan::Band;

/// The number of consecutive nonzero coefficients, each the most negative of its size, that is treated as damage. The
/// usual tables decode a lost part of a file, filled with zeros, in this way. Noise produces so many with a probability
/// of 2^-48, and no dot or edge has coefficients so alike.
const ZEROED: u32 = 48;

/// Detects stretches of zero bytes.
#[derive(Default)]
struct Zeroed(u32);

impl Zeroed {
    /// Takes the next coefficient: how many before it are zero, and its bits.
    fn see(&mut self, zeros: u8, value: u32) -> Result<(), String> {
        self.0 = if zeros == 0 && value == 0 { self.0 + 1 } else { 0 };
        if self.0 < ZEROED {
            return Ok(());
        }
        Err("the JPEG is damaged: part of its coded data is zeroed".to_owned())
    }
}

pub(super) fn no_run_left(run: u32) -> Result<(), String> {
    if run == 0 { Ok(()) } else { Err(overfull()) }
}

fn overfull() -> String {
    "the JPEG is damaged: its coded pixels reach beyond a block".to_owned()
}

fn table(table: Option<&Table>) -> Result<&Table, String> {
    table.ok_or_else(|| "the JPEG is damaged: a Huffman table is missing".to_owned())
}

/// Reads a difference of DC coefficients (T.81, F.2.2.1).
pub(super) fn difference(bits: &mut Bits<'_>, dc: Option<&Table>) -> Result<(), String> {
    let size = bits.symbol(table(dc)?)?;
    if size > 11 {
        return Err("the JPEG is damaged: a difference is too large".to_owned());
    }
    bits.take(size.into()).map(drop)
}

/// Reads a block with all its coefficients (T.81, F.2.2).
pub(super) fn sequential(bits: &mut Bits<'_>, dc: Option<&Table>, ac: Option<&Table>) -> Result<(), String> {
    difference(bits, dc)?;
    let (ac, mut zeroed) = (table(ac)?, Zeroed::default());
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (_, 0) => break,
            (zeros, size) => {
                at += u32::from(zeros) + 1;
                zeroed.see(zeros, bits.take(size.into())?)?;
            }
        }
        if at > 64 {
            return Err(overfull());
        }
    }
    Ok(())
}

/// Reads a block in the first scan of a band (T.81, G.1.2.2).
pub(super) fn first(
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
    let (mut at, mut zeroed) = (u32::from(band.from), Zeroed::default());
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
                zeroed.see(zeros, bits.take(size.into())?)?;
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

/// Reads a block in a later scan of a band, which adds one bit (T.81, G.1.2.3).
pub(super) fn refine(
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
        // Skip `zeros` coefficients that stay zero; the nonzero ones in between get one bit each.
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

#[cfg(test)]
mod tests {
    use super::super::entropy::Tables;
    use super::*;

    /// Two-bit codes 00 to 10 for these symbols, for both DC and AC.
    fn tables(symbols: [u8; 3]) -> Tables {
        let mut tables = Tables::default();
        for class in [0x00, 0x10] {
            let body = [&[class, 0, 3][..], &[0; 14], &symbols].concat();
            tables.define(&body).unwrap();
        }
        tables
    }

    fn block(tables: &Tables, bytes: &[u8]) -> Result<usize, String> {
        let mut bits = Bits::new(bytes);
        sequential(&mut bits, tables.dc[0].as_ref(), tables.ac[0].as_ref())?;
        bits.finish()
    }

    #[test]
    fn a_block_ends_at_its_64th_coefficient() {
        // 00: end of the block, or a difference of 0; 01: sixteen zeros; 10: fourteen zeros, then a bit.
        let tables = tables([0x00, 0xf0, 0xe1]);
        assert_eq!(block(&tables, &[0b0000_1111]), Ok(1));
        // 1 + 3 x 16 + 15 = 64: after the last coefficient there is no end code.
        assert_eq!(block(&tables, &[0b0001_0101, 0b1001_1111]), Ok(2));
        // A fourth run of sixteen is too many.
        assert_eq!(block(&tables, &[0b0001_0101, 0b0111_1111]), Err(overfull()));
        assert_eq!(
            block(&tables, &[0b0001_0101]).unwrap_err(),
            "the JPEG is damaged: coded pixels are missing"
        );
    }

    #[test]
    fn differences_have_at_most_11_bits() {
        let tables = tables([11, 12, 0]);
        assert!(difference(&mut Bits::new(&[0b0010_1010, 0b1010_1111]), tables.dc[0].as_ref()).is_ok());
        let error = difference(&mut Bits::new(&[0x7f; 4]), tables.dc[0].as_ref()).unwrap_err();
        assert!(error.contains("too large"), "{error}");
        assert!(difference(&mut Bits::new(&[0; 4]), None).unwrap_err().contains("table is missing"));
    }

    #[test]
    fn a_zeroed_stretch_is_damage() {
        // As in the luma tables of T.81: two zeros are a difference of 0, then one coefficient of one bit.
        let mut tables = tables([0x01, 0x00, 0x02]);
        tables.dc[0] = self::tables([0, 1, 2]).dc[0].take();
        assert!(block(&tables, &[0; 40]).unwrap_err().contains("zeroed"));
        // If every other value is positive it is a picture: 63 codes of 00 and a bit, after the difference.
        let bits = (0..63).fold(vec![0, 0], |mut bits, i| {
            bits.extend([0, 0, i % 2]);
            bits
        });
        let pack = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit) << (8 - bits.len());
        let bytes: Vec<u8> = bits.chunks(8).map(pack).collect();
        assert_eq!(block(&tables, &bytes), Ok(24));
    }

    #[test]
    fn progressive_bands_stay_within_their_limits() {
        // 00: a run of one block; 01: a run of two or three, by a bit; 10: one zero, then a bit.
        let tables = tables([0x00, 0x10, 0x11]);
        let ac = tables.ac[0].as_ref();
        let band = Band { from: 1, to: 2, high: 0, low: 1 };
        let (mut run, mut mask) = (0, 0);
        let mut bits = Bits::new(&[0b1010_1100]);
        first(&mut bits, ac, band, &mut run, &mut mask).unwrap();
        assert_eq!((run, mask), (0, 1 << 2));
        // 01 1: a run of three blocks, of which this is the first.
        first(&mut bits, ac, band, &mut run, &mut mask).unwrap();
        assert_eq!(run, 2);
        assert!(no_run_left(run).is_err());
        first(&mut bits, ac, band, &mut run, &mut mask).unwrap();
        assert_eq!(run, 1);
        // A zero before the only coefficient of this band: there is no room.
        let narrow = Band { from: 1, to: 1, high: 0, low: 1 };
        assert_eq!(first(&mut Bits::new(&[0b1010_0000]), ac, narrow, &mut 0, &mut mask), Err(overfull()));
        let finer = Band { high: 1, low: 0, ..narrow };
        assert_eq!(refine(&mut Bits::new(&[0b1010_0000]), ac, finer, &mut 0, &mut 0), Err(overfull()));
    }

    #[test]
    fn refinement_has_a_bit_for_each_nonzero_coefficient() {
        // 00: a run of one block; 01: one new coefficient.
        let tables = tables([0x00, 0x01, 0x02]);
        let ac = tables.ac[0].as_ref();
        let band = Band { from: 1, to: 3, high: 1, low: 0 };
        let (mut run, mut mask) = (0, 1 << 1);
        // 01 and its sign, a bit for the first coefficient, then the end, and nothing for zeros.
        let mut bits = Bits::new(&[0b0110_0011]);
        refine(&mut bits, ac, band, &mut run, &mut mask).unwrap();
        assert_eq!((run, mask), (0, 1 << 1 | 1 << 2));
        assert_eq!(bits.take(2), Ok(0b11));
        let error = refine(&mut Bits::new(&[0b1000_0000]), ac, band, &mut run, &mut mask).unwrap_err();
        assert!(error.contains("more than one bit"), "{error}");
    }
}
