//! Reads the segments of a JPEG: a marker, a length, a body (ITU-T T.81, B.1).

pub(super) const SCAN: u8 = 0xda;
pub(super) const END: u8 = 0xd9;

/// A marker with its body, without the length; the body is empty for markers without one.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
}

/// Reads one segment at a time.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
    /// Whether coded data comes directly before; then a marker must follow immediately.
    after_scan: bool,
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(&[0xff, 0xd8]).ok_or("the JPEG does not start with an SOI marker")?;
        Ok(Self { rest, after_scan: false })
    }

    /// Everything after the last segment.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Skips coded data.
    pub(super) fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
        self.after_scan = true;
    }

    /// The next segment. Unsupported kinds of JPEG are an error.
    pub(super) fn take(&mut self) -> Result<Segment<'a>, String> {
        // Some cameras leave stray bytes between header segments, and every decoder skips them.
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff);
        let at = self.rest.windows(2).position(is_marker).ok_or_else(cut)?;
        if self.after_scan && self.rest[..at].iter().any(|&byte| byte != 0xff) {
            return Err(format!("the JPEG is damaged: {at} bytes of coded pixels are left over"));
        }
        let marker = self.rest[at + 1];
        self.rest = &self.rest[at + 2..];
        // Some encoders write a restart marker after the last block; nowhere else do any.
        self.after_scan &= matches!(marker, 0xd0..=0xd7);
        let unsupported = match marker {
            0xd0..=0xd9 | 0x01 => return Ok(Segment { marker, body: &[] }),
            0xc3 => "lossless coding",
            0xc5..=0xc7 | 0xcd..=0xcf | 0xde | 0xdf => "hierarchical coding",
            0xc9..=0xcc => "arithmetic coding",
            0xdc => "a height that follows the pixels",
            _ => {
                let &[high, low, ..] = self.rest else { return Err(cut()) };
                let length = usize::from(u16::from_be_bytes([high, low]));
                if length < 2 {
                    return Err(format!("the JPEG is damaged: a segment claims a length of {length}"));
                }
                let body = self.rest.get(2..length).ok_or_else(cut)?;
                self.rest = &self.rest[length..];
                return Ok(Segment { marker, body });
            }
        };
        Err(format!("expected a baseline or progressive JPEG with Huffman codes, found {unsupported}"))
    }
}

fn cut() -> String {
    "the JPEG is cut: it has no end-of-image marker".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers(bytes: &[u8]) -> Result<Vec<(u8, usize)>, String> {
        let mut segments = Segments::new(bytes)?;
        let mut found = Vec::new();
        loop {
            let segment = segments.take()?;
            found.push((segment.marker, segment.body.len()));
            if segment.marker == END {
                return Ok(found);
            }
        }
    }

    #[test]
    fn segments_are_skipped_by_their_lengths() {
        // A comment that looks like the end, fill bytes, and a stray byte.
        let bytes =
            [0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xd9, 0xff, 0xff, 0xdd, 0, 4, 0, 1, 7, 0xff, 0xd9, 1, 2];
        assert_eq!(markers(&bytes), Ok(vec![(0xfe, 2), (0xdd, 2), (END, 0)]));
        assert!((0..18).all(|length| markers(&bytes[..length]).is_err()));
    }

    #[test]
    fn unsupported_kinds_and_false_lengths_are_refused() {
        for (marker, reason) in
            [(0xc3, "lossless"), (0xc5, "hierarchical"), (0xc9, "arithmetic"), (0xdc, "height")]
        {
            let error = markers(&[0xff, 0xd8, 0xff, marker, 0, 2, 0xff, 0xd9]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = markers(&[0xff, 0xd8, 0xff, 0xfe, 0, 1, 0xff, 0xd9]).unwrap_err();
        assert!(error.contains("a length of 1"), "{error}");
        assert_eq!(markers(&[0xff, 0xd8, 0xff, 0xfe, 0, 9, 0xff, 0xd9]), Err(cut()));
        assert!(markers(b"\x89PNG").unwrap_err().contains("does not start"));
    }

    #[test]
    fn a_marker_must_follow_coded_data() {
        for (between, fits) in [(&[][..], true), (&[0xff, 0xff], true), (&[0xff, 0xd0], true), (&[0], false)]
        {
            let bytes = [&[0xff, 0xd8, 1, 2], between, &[0xff, END]].concat();
            let mut segments = Segments::new(&bytes).unwrap();
            segments.skip(2);
            assert_eq!(segments.take().is_ok(), fits, "{between:x?}");
        }
    }
}
