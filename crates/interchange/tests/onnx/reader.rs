//! Reads protocol buffers by field number, independently of the code that writes them.

use std::collections::BTreeMap;

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
}

/// Fields of a message by number, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message<'a>(BTreeMap<u64, Vec<Field<'a>>>);

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first < 0x80 {
            return Some(value);
        }
    }
    None
}

impl<'a> Message<'a> {
    /// `None` if the bytes are not a message.
    pub(crate) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut fields: BTreeMap<u64, Vec<Field<'a>>> = BTreeMap::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)?),
                2 => {
                    let length = varint(&mut bytes)? as usize;
                    let (content, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Field::Bytes(content)
                }
                5 => {
                    let (content, rest) = bytes.split_first_chunk::<4>()?;
                    bytes = rest;
                    Field::Float(f32::from_le_bytes(*content))
                }
                _ => return None,
            };
            fields.entry(key >> 3).or_default().push(field);
        }
        Some(Self(fields))
    }

    fn all(&self, number: u64) -> &[Field<'a>] {
        self.0.get(&number).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn bytes(&self, number: u64) -> Vec<&'a [u8]> {
        let bytes = |field: &Field<'a>| match field {
            Field::Bytes(bytes) => *bytes,
            other => panic!("field {number} is {other:?}"),
        };
        self.all(number).iter().map(bytes).collect()
    }

    pub(crate) fn texts(&self, number: u64) -> Vec<&'a str> {
        self.bytes(number).into_iter().map(|bytes| std::str::from_utf8(bytes).unwrap()).collect()
    }

    pub(crate) fn text(&self, number: u64) -> &'a str {
        self.texts(number)[0]
    }

    pub(crate) fn messages(&self, number: u64) -> Vec<Message<'a>> {
        self.bytes(number).into_iter().map(|bytes| Message::read(bytes).unwrap()).collect()
    }

    pub(crate) fn message(&self, number: u64) -> Message<'a> {
        self.messages(number).swap_remove(0)
    }

    pub(crate) fn numbers(&self, number: u64) -> Vec<u64> {
        let value = |field: &Field<'a>| match field {
            Field::Number(value) => *value,
            other => panic!("field {number} is {other:?}"),
        };
        self.all(number).iter().map(value).collect()
    }

    #[allow(dead_code, reason = "for the test of `unet`, which runs the graphs")]
    pub(crate) fn float(&self, number: u64) -> f32 {
        match self.all(number) {
            [Field::Float(value)] => *value,
            other => panic!("field {number} is {other:?}"),
        }
    }
}
