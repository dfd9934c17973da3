//! The frame header of a JPEG: size, components and their sampling (ITU-T T.81, B.2.2).

/// A frame header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// 0xc0 baseline, 0xc1 extended, 0xc2 progressive.
    pub(super) marker: u8,
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(super) components: Vec<Component>,
}

/// A component: its identifier, and its sampling factors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    pub(super) across: u8,
    pub(super) down: u8,
}

impl Frame {
    pub(super) fn parse(marker: u8, body: &[u8]) -> Result<Self, String> {
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = body else {
            return Err("the JPEG's frame header is too short".to_owned());
        };
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if precision != 8 {
            return Err(format!("expected a JPEG with 8 bits per sample, found {precision}"));
        }
        if !matches!(count, 1 | 3 | 4) || components.len() != 3 * usize::from(count) {
            return Err(format!(
                "expected 1, 3 or 4 components of 3 bytes in a JPEG's frame header, found {count} in {} bytes",
                components.len()
            ));
        }
        let components: Vec<_> = components
            .chunks_exact(3)
            .map(|c| Component { id: c[0], across: c[1] >> 4, down: c[1] & 15 })
            .collect();
        let frame = Self { marker, width, height, components };
        let (across, down) = frame.finest();
        let fits = |c: &&Component| {
            matches!((c.across, c.down), (1..=4, 1..=4))
                && across.is_multiple_of(c.across)
                && down.is_multiple_of(c.down)
        };
        match frame.components.iter().find(|component| !fits(component)) {
            None => Ok(frame),
            Some(odd) => Err(format!(
                "expected JPEG sampling factors 1 to 4 that divide {across}x{down}, the finest, found {}x{}",
                odd.across, odd.down
            )),
        }
    }

    pub(crate) fn is_progressive(&self) -> bool {
        self.marker == 0xc2
    }

    /// Bytes of decoded pixels: one per component and pixel.
    pub(crate) fn pixel_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * self.components.len() as u64
    }

    fn finest(&self) -> (u8, u8) {
        let most = |factor: fn(&Component) -> u8| self.components.iter().map(factor).max().unwrap_or(1);
        (most(|c| c.across), most(|c| c.down))
    }

    /// Minimum coded units across and down in an interleaved scan (T.81, A.2.4).
    pub(super) fn units(&self) -> (usize, usize) {
        let (across, down) = self.finest();
        let units = |side: u16, factor: u8| usize::from(side).div_ceil(8 * usize::from(factor));
        (units(self.width, across), units(self.height, down))
    }

    /// Blocks of a component across and down in a scan of its own (T.81, A.1.1 and A.2.2), without the padding blocks
    /// of the last units.
    pub(super) fn blocks(&self, component: &Component) -> (usize, usize) {
        let (across, down) = self.finest();
        let blocks = |side: u16, factor: u8, finest: u8| {
            (usize::from(side) * usize::from(factor)).div_ceil(usize::from(finest)).div_ceil(8)
        };
        (blocks(self.width, component.across, across), blocks(self.height, component.down, down))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u8, height: u8, factors: &[u8]) -> Result<Frame, String> {
        let mut body = vec![8, 0, height, 0, width, factors.len() as u8];
        factors.iter().zip(1..).for_each(|(&factors, id)| body.extend([id, factors, 0]));
        Frame::parse(0xc0, &body)
    }

    #[test]
    fn blocks_and_units_cover_the_image() {
        let frame = frame(35, 23, &[0x22, 0x11, 0x12]).unwrap();
        assert_eq!((frame.units(), frame.pixel_bytes()), ((3, 2), 35 * 23 * 3));
        let blocks: Vec<_> = frame.components.iter().map(|c| frame.blocks(c)).collect();
        // 35x23 samples; 18x12; 18x23.
        assert_eq!(blocks, [(5, 3), (3, 2), (3, 3)]);
    }

    #[test]
    fn headers_that_contradict_themselves_are_refused() {
        assert!(frame(8, 8, &[0x41, 0x21, 0x11]).is_ok());
        for factors in [&[0x32_u8, 0x21, 0x11][..], &[0x01], &[0x51], &[0x15], &[0x11, 0x11]] {
            assert!(frame(8, 8, factors).is_err(), "{factors:x?}");
        }
        assert!(Frame::parse(0xc0, &[8, 0, 1, 0, 1]).unwrap_err().contains("too short"));
        assert!(Frame::parse(0xc0, &[8, 0, 1, 0, 1, 1, 1, 0x11]).unwrap_err().contains("1 in 2 bytes"));
        assert!(Frame::parse(0xc1, &[12, 0, 1, 0, 1, 1, 1, 0x11, 0]).unwrap_err().contains("found 12"));
    }
}
