//! Hand-made TIFF files.

/// Types of fields.
pub(crate) const SHORT: u16 = 3;
pub(crate) const LONG: u16 = 4;

/// A field: tag, type, count, and the value or its offset.
pub(crate) type Field = (u16, u16, u32, u32);

/// A little-endian file of one directory, followed by the pixels. Fields come in the order of their tags.
pub(crate) fn tiff(fields: &[Field], pixels: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((fields.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in fields {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    // No further directory.
    bytes.extend([0; 4]);
    bytes.extend(pixels);
    bytes
}

/// The fields of a grey image in one strip, without compression.
pub(crate) fn grey((width, height): (u32, u32)) -> [Field; 8] {
    // Header, number of fields, the fields, offset of the next directory.
    let pixels = 8 + 2 + 8 * 12 + 4;
    [
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, 1, 8),
        (259, SHORT, 1, 1),
        (262, SHORT, 1, 1),
        (273, LONG, 1, pixels),
        (278, LONG, 1, height),
        (279, LONG, 1, width.saturating_mul(height)),
    ]
}
