//! The segments of a JPEG: a marker, a length, a body (ITU-T T.81, B.1).

pub(super) const SCAN: u8 = 0xda;
pub(super) const END: u8 = 0xd9;

/// A marker and what its length covers, without the length; empty for markers that have none.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
}

/// Reads segment by segment.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
    /// Whether coded data comes right before, after which there has to be a marker at once.
    after_scan: bool,
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(&[0xff, 0xd8]).ok_or("the JPEG does not start as one")?;
        Ok(Self { rest, after_scan: false })
    }

    /// What follows the last segment.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over coded data.
    pub(super) fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
        self.after_scan = true;
    }

    /// The next segment; kinds of JPEG that are not supported are an error.
    pub(super) fn next(&mut self) -> Result<Segment<'a>, String> {
        // Some cameras leave bytes between the segments of the header, and every decoder passes over them.
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff);
        let at = self.rest.windows(2).position(is_marker).ok_or_else(cut)?;
        if self.after_scan && self.rest[..at].iter().any(|&byte| byte != 0xff) {
            return Err(format!("the JPEG is damaged: {at} bytes of coded pixels are left over"));
        }
        let marker = self.rest[at + 1];
        self.rest = &self.rest[at + 2..];
        // A restart marker after the last block is written by some encoders, and by none elsewhere.
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
