//! Encodes protocol buffer messages, as far as ONNX needs them: whole numbers, f32, texts and nested messages
//! (<https://protobuf.dev/programming-guides/encoding>).

/// A message under construction, field by field.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Message(Vec<u8>);

/// The wire type of a field.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    pub(super) fn int(&mut self, field: u8, value: i64) {
        self.key(field, Wire::Varint);
        // A negative number is encoded as its two's complement, in ten bytes.
        self.varint(value as u64);
    }

    pub(super) fn float(&mut self, field: u8, value: f32) {
        self.key(field, Wire::Fixed32);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, field: u8, text: &str) {
        self.opened(field, text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u8, message: &Self) {
        self.opened(field, message.len());
        self.0.extend(&message.0);
    }

    /// Starts a field whose `length` bytes follow.
    pub(super) fn opened(&mut self, field: u8, length: u64) {
        self.key(field, Wire::Length);
        self.varint(length);
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn key(&mut self, field: u8, wire: Wire) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    /// Seven bits per byte, lowest first; the highest bit marks that more bytes follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        write(&mut message);
        message.0
    }

    /// The examples in the specification.
    #[test]
    fn fields_match_the_specification() {
        assert_eq!(written(|m| m.int(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(written(|m| m.text(2, "testing")), b"\x12\x07testing");
        let mut inner = Message::default();
        inner.int(1, 150);
        assert_eq!(written(|m| m.message(3, &inner)), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(written(|m| m.int(1, -2)), [8, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(written(|m| m.float(2, 1.0)), [0x15, 0, 0, 0x80, 0x3f]);
        // Field numbers from 16 on need a key of two bytes.
        assert_eq!(written(|m| m.int(20, 7)), [0xa0, 0x01, 7]);
    }
}
