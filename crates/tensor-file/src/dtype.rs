//! The element types of the format, by name and width.

use std::fmt;

/// An element type that takes whole bytes. (The format also knows types of 4 and 6 bits.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(non_camel_case_types, reason = "the names in the file, which are what a user sees elsewhere")]
pub enum Dtype {
    /// Truth values, one a byte.
    BOOL,
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 8 bits: 5 of exponent, 2 of mantissa.
    F8_E5M2,
    /// 8 bits: 4 of exponent, 3 of mantissa.
    F8_E4M3,
    /// 8 bits of exponent.
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
    /// A complex number of two f32.
    C64,
}

/// Every type with its name in a file and its bytes.
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
    /// The type of this name in a file, `F32` for example.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its name in a file.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.row().2
    }

    fn row(self) -> &'static (Self, &'static str, u64) {
        // The order of the table is that of the type.
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
    fn the_table_is_in_the_order_of_the_type() {
        for (dtype, name, bytes) in TABLE {
            assert_eq!((dtype.name(), dtype.bytes()), (name, bytes));
            assert_eq!(Dtype::from_name(name), Some(dtype));
            assert_eq!(format!("{dtype:?}"), name);
        }
        assert_eq!(Dtype::from_name("f32"), None);
        assert_eq!(Dtype::from_name("F4"), None);
    }
}
