//! Parses the JSON of a header and limits its counts meanwhile. A header of 16 MiB can hold over a million entries, and
//! each would cost many times its length.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::limits::{MAX_METADATA, MAX_NAME_BYTES, MAX_RANK, MAX_TENSORS};

/// The header as written, still unchecked.
#[derive(Debug, Default)]
pub(crate) struct RawHeader {
    pub(crate) tensors: BTreeMap<String, RawTensor>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What the header says about one tensor.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTensor {
    pub(crate) dtype: String,
    pub(crate) shape: Shape,
    pub(crate) data_offsets: [u64; 2],
}

/// At most [`MAX_RANK`] dimensions.
#[derive(Debug)]
pub(crate) struct Shape(pub(crate) Vec<u64>);

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut header = RawHeader::default();
        let mut described = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if described {
                    return Err(A::Error::custom("__metadata__ twice"));
                }
                described = true;
                header.metadata = map.next_value::<Option<Strings>>()?.map_or_else(BTreeMap::new, |s| s.0);
                continue;
            }
            if header.tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            if name.len() > MAX_NAME_BYTES {
                let length = name.len();
                return Err(A::Error::custom(format!("a name of {length} bytes, above {MAX_NAME_BYTES}")));
            }
            let tensor = map.next_value()?;
            // With duplicate names, readers would disagree on which entry counts.
            if header.tensors.contains_key(&name) {
                return Err(A::Error::custom(format!("tensor {} twice", name.escape_debug())));
            }
            header.tensors.insert(name, tensor);
        }
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ListVisitor).map(Self)
    }
}

/// Reads a list of at most [`MAX_RANK`] sizes.
struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
        let mut sizes = Vec::new();
        while let Some(size) = list.next_element()? {
            if sizes.len() == MAX_RANK {
                return Err(A::Error::custom(format!("a shape of more than {MAX_RANK} dimensions")));
            }
            sizes.push(size);
        }
        Ok(sizes)
    }
}

/// At most [`MAX_METADATA`] named strings.
struct Strings(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(StringsVisitor).map(Self)
    }
}

struct StringsVisitor;

impl<'de> Visitor<'de> for StringsVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut strings = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            if strings.len() == MAX_METADATA {
                return Err(A::Error::custom(format!("more than {MAX_METADATA} strings of metadata")));
            }
            strings.insert(key, value);
        }
        Ok(strings)
    }
}
