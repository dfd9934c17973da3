//! Huffman codes and the bits they consist of (ITU-T T.81, Annexes C and F.2.2).

/// The tables defined so far: four slots each for DC and AC.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
}

impl Tables {
    /// Reads the tables of a DHT segment (T.81, B.2.4.2).
    pub(super) fn define(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let [place, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or_else(malformed)?;
            let class = match place >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(malformed()),
            };
            *class.get_mut(usize::from(place & 15)).ok_or_else(malformed)? =
                Some(Table::new(counts, symbols)?);
            body = rest;
        }
        Ok(())
    }
}

fn malformed() -> String {
    "the JPEG is damaged: a Huffman table is malformed".to_owned()
}

/// Codes of up to this many bits are looked up directly.
const SHORT: u32 = 9;

/// A Huffman table.
pub(super) struct Table {
    /// Indexed by the next bits: the length of the code, or 0 for a longer one, and its symbol.
    short: Box<[(u8, u8); 1 << SHORT]>,
    /// Indexed by length: the first 16-bit value above all codes up to that length, and the offset from a code to its
    /// symbol.
    limits: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, String> {
        let mut short = Box::new([(0, 0); 1 << SHORT]);
        let mut limits = [(0, 0); 17];
        let (mut code, mut next) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            let first = code;
            for &symbol in &symbols[next..next + usize::from(count)] {
                if code >> length != 0 {
                    return Err(malformed());
                }
                if length <= SHORT {
                    let start = (code << (SHORT - length)) as usize;
                    short[start..start + (1 << (SHORT - length))].fill((length as u8, symbol));
                }
                code += 1;
            }
            limits[length as usize] = (code << (16 - length), next as i32 - first as i32);
            next += usize::from(count);
            code <<= 1;
        }
        Ok(Self { short, limits, symbols: symbols.to_vec() })
    }
}

/// The bits of coded data, up to a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest down; zeros below.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes[self.at..] {
                // 0xff is data if a zero follows; otherwise it starts a marker or is a fill byte before one.
                [0xff, 0x00, ..] => {
                    self.at += 2;
                    0xff
                }
                [0xff, ..] | [] => return,
                [byte, ..] => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next `count` bits, at most 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, String> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err("the JPEG is damaged: coded pixels are missing".to_owned());
            }
        }
        let bits = (self.held >> 32) as u32;
        self.held <<= count;
        self.count -= count;
        Ok(if count == 0 { 0 } else { bits >> (32 - count) })
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8, String> {
        if self.count < 16 {
            self.fill();
        }
        let (length, symbol) = table.short[(self.held >> (64 - SHORT)) as usize];
        if length > 0 {
            self.take(length.into())?;
            return Ok(symbol);
        }
        let next = (self.held >> 48) as u32;
        let longer = (SHORT + 1..=16).find(|&length| next < table.limits[length as usize].0);
        let length = longer.ok_or("the JPEG is damaged: its coded data has a code that is in no table")?;
        let code = self.take(length)?;
        let index = code as i32 + table.limits[length as usize].1;
        usize::try_from(index).ok().and_then(|index| table.symbols.get(index)).copied().ok_or_else(malformed)
    }

    /// Skips the padding bits of the last byte and returns where the coded data ends.
    pub(super) fn finish(&mut self) -> Result<usize, String> {
        self.fill();
        if self.count >= 8 {
            return Err("the JPEG is damaged: coded pixels are left over".to_owned());
        }
        (self.held, self.count) = (0, 0);
        Ok(self.at)
    }

    /// Skips restart marker `number`.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), String> {
        self.finish()?;
        while let [0xff, 0xff, ..] = self.bytes[self.at..] {
            self.at += 1;
        }
        match self.bytes[self.at..] {
            [0xff, marker, ..] if marker == 0xd0 + number => self.at += 2,
            _ => return Err(format!("the JPEG is damaged: restart marker {number} is missing")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: &[(usize, u8)], symbols: &[u8]) -> Result<Table, String> {
        let mut all = [0; 16];
        for &(length, count) in counts {
            all[length - 1] = count;
        }
        Table::new(&all, symbols)
    }

    #[test]
    fn codes_grow_by_length() {
        // 0, 10, then eleven ones and a zero: one code that is looked up directly, one that is not.
        let table = table(&[(1, 1), (2, 1), (12, 1)], &[7, 8, 9]).unwrap();
        let mut bits = Bits::new(&[0b0101_1000, 0b0000_0001]);
        assert_eq!([bits.symbol(&table), bits.symbol(&table)], [Ok(7), Ok(8)]);
        assert_eq!(bits.symbol(&table), Ok(9));
        let error = Bits::new(&[0xfe, 0xff, 0x00]).symbol(&table).unwrap_err();
        assert!(error.contains("in no table"), "{error}");
    }

    #[test]
    fn tables_with_too_many_codes_are_refused() {
        assert!(table(&[(1, 2)], &[1, 2]).is_ok());
        assert!(table(&[(1, 3)], &[1, 2, 3]).is_err());
        assert!(table(&[(1, 2), (9, 1)], &[1, 2, 3]).is_err());
        let segment = [&[0x00, 1][..], &[0; 15], &[5]].concat();
        assert!(Tables::default().define(&segment).is_ok());
        for (place, value) in [(0, 0x04), (0, 0x20), (1, 2)] {
            let mut bad = segment.clone();
            bad[place] = value;
            assert_eq!(Tables::default().define(&bad), Err(malformed()), "{place}: {value}");
        }
        assert!((1..segment.len()).all(|cut| Tables::default().define(&segment[..cut]).is_err()));
    }

    #[test]
    fn stuffed_bytes_are_data_and_markers_end_the_data() {
        let mut bits = Bits::new(&[0xff, 0x00, 0x12, 0xff, 0xd9]);
        assert_eq!((bits.take(12), bits.take(0), bits.take(4)), (Ok(0xff1), Ok(0), Ok(2)));
        assert!(bits.take(1).is_err());
        assert_eq!(bits.finish(), Ok(3));
        let mut bits = Bits::new(&[0x12, 0x34, 0x56]);
        bits.take(8).unwrap();
        assert!(bits.finish().unwrap_err().contains("left over"));
    }

    #[test]
    fn restart_markers_must_be_in_order() {
        let data = [0xa5, 0xff, 0xff, 0xd3, 0x5a, 0xff, 0xd9];
        let mut bits = Bits::new(&data);
        bits.take(5).unwrap();
        bits.restart(3).unwrap();
        assert_eq!(bits.take(8), Ok(0x5a));
        assert!(bits.restart(4).unwrap_err().contains("marker 4 is missing"));
        let mut bits = Bits::new(&data);
        bits.take(8).unwrap();
        assert!(bits.restart(2).is_err());
    }
}
