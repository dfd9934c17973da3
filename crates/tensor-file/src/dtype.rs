//! The element types of the format, by name and width.

use std::fmt;

/// An element type of whole bytes. (The format also has 4-bit and 6-bit types.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(non_camel_case_types, reason = "these are the names in the file, which users know")]
pub enum Dtype {
    /// Booleans, one byte each.
    BOOL,
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 8-bit float: 5 exponent bits, 2 mantissa bits.
    F8_E5M2,
    /// 8-bit float: 4 exponent bits, 3 mantissa bits.
    F8_E4M3,
    /// 8 exponent bits, without mantissa.
    F8_E8M0,
    /// 16 bits, signed.
    I16,
    /// 16 bits, unsigned.
    U16,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// 32 bits, signed.
    I32,
    /// 32 bits, unsigned.
    U32,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// 64 bits, signed.
    I64,
    /// 64 bits, unsigned.
    U64,
    /// A complex number of two f32 values.
    C64,
}

/// Every type with its name in the file and its size in bytes.
const TABLE: [(Dtype, &str, u64); 17] = [
    (Dtype::BOOL, "BOOL", 1),
    (Dtype::U8, "U8", 1),
    (Dtype::I8, "I8", 1),
    (Dtype::F8_E5M2, "F8_E5M2", 1),
    (Dtype::F8_E4M3, "F8_E4M3", 1),
    (Dtype::F8_E8M0, "F8_E8M0", 1),
    (Dtype::I16, "I16", 2),
    (Dtype::U16, "U16", 2),
    (Dtype::F16, "F16", 2),
    (Dtype::BF16, "BF16", 2),
    (Dtype::I32, "I32", 4),
    (Dtype::U32, "U32", 4),
    (Dtype::F32, "F32", 4),
    (Dtype::F64, "F64", 8),
    (Dtype::I64, "I64", 8),
    (Dtype::U64, "U64", 8),
    (Dtype::C64, "C64", 8),
];

impl Dtype {
    /// The type with this name in the file, for example `F32`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The type's name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Bytes per element.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.row().2
    }

    fn row(self) -> &'static (Self, &'static str, u64) {
        // The table has the order of the enum.
        &TABLE[self as usize]
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_order_of_the_enum() {
        for (dtype, name, bytes) in TABLE {
            assert_eq!((dtype.name(), dtype.bytes()), (name, bytes));
            assert_eq!(Dtype::from_name(name), Some(dtype));
            assert_eq!(format!("{dtype:?}"), name);
        }
        assert_eq!(Dtype::from_name("f32"), None);
        assert_eq!(Dtype::from_name("F4"), None);
    }
}
