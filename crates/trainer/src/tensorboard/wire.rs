//! The wire format: framed records, and protocol buffers with a few fields.

/// A record: length, its CRC, the bytes, their CRC.
pub(super) fn frame(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(event);
    record.extend(masked_crc32c(event).to_le_bytes());
    record
}

/// Rotated and offset, so that the CRC of data that contains CRCs is not degenerate.
pub(super) fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let update = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, update)
}

/// A protocol buffer message under construction.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn varint(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, 0).raw_varint(value)
    }

    pub(super) fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.key(field, 1).0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(&mut self, field: u32, value: f32) -> &mut Self {
        self.key(field, 5).0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.key(field, 2).raw_varint(value.len() as u64).0.extend(value);
        self
    }

    fn key(&mut self, field: u32, wire_type: u32) -> &mut Self {
        self.raw_varint(u64::from(field << 3 | wire_type))
    }

    fn raw_varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

/// The varint at the start, and the rest.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at(length);
    Some((number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)), rest))
}

/// The step of an `Event`; 0 if the field is missing, as protocol buffers omit zeros.
pub(super) fn step_of(mut event: &[u8]) -> Option<u64> {
    while !event.is_empty() {
        let (key, rest) = varint(event)?;
        event = match key & 7 {
            0 => {
                let (value, rest) = varint(rest)?;
                if key >> 3 == 2 {
                    return Some(value);
                }
                rest
            }
            1 => rest.get(8..)?,
            2 => {
                let (length, rest) = varint(rest)?;
                rest.get(usize::try_from(length).ok()?..)?
            }
            5 => rest.get(4..)?,
            _ => return None,
        };
    }
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        // RFC 3720, B.4: 32 zeros; and the common check string.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn messages_have_the_wire_form() {
        let mut message = Message::default();
        message.varint(2, 300).bytes(1, b"ab").float(2, 1.0);
        assert_eq!(message.0, [0x10, 0xac, 0x02, 0x0a, 2, b'a', b'b', 0x15, 0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn a_step_is_found_after_other_fields() {
        let mut event = Message::default();
        event.double(1, 0.5).bytes(5, b"summary").float(9, 1.0).varint(2, 300);
        assert_eq!(step_of(&event.0), Some(300));
        assert_eq!(step_of(&[]), Some(0));
        for broken in [&[0x10_u8][..], &[0x2a, 9, 1], &[0x13], &[0xff; 12], &[0x09, 1, 2]] {
            assert_eq!(step_of(broken), None, "{broken:?}");
        }
    }
}
