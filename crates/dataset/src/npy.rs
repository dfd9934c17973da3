//! Reads plain `.npy` arrays with all checks, and writes them atomically with reproducible bytes.
//!
//! `npyz` decodes the data, but only after our own check has compared the header's shape with the bytes that are there.

use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::Path;

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn, ShapeBuilder};
use npyz::WriterBuilder;

use crate::array::AnyArray;
use crate::error::DatasetError;
use crate::limits::{MAX_FILE, check_size, open_regular};
use crate::npy_header::{NpyHeader, read_header};

const FORMAT: &str = "npy";

/// An element type that can be written as `.npy`: `u8`, `i64`, `f32`, `f64`, and the narrower integers.
pub trait Element: npyz::AutoSerialize + npyz::Deserialize + Copy {}
impl Element for u8 {}
impl Element for i32 {}
impl Element for u32 {}
impl Element for i64 {}
impl Element for f32 {}
impl Element for f64 {}

/// Reads a `.npy` file: bool, integers of 8 to 64 bits, and floats of 16, 32 and 64 bits, in either byte order and in C
/// or Fortran order. Pickled objects and structured types are refused.
///
/// # Errors
/// [`DatasetError::Io`], [`DatasetError::Malformed`], [`DatasetError::TooLarge`].
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("x.npy");
/// dataset::write_npy(&path, &ndarray::array![[1.0_f32, 2.0], [3.0, 4.0]])?;
/// let x = dataset::read_npy(&path)?.into_f64();
/// assert_eq!(x.shape(), [2, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_npy(path: &Path) -> Result<AnyArray, DatasetError> {
    let (file, length) = open_regular(path)?;
    parse_npy(&path.display().to_string(), BufReader::new(file), length)
}

/// Parses a `.npy` file of `length` bytes, including the header, from a reader. `name` is for error messages.
///
/// Nothing is allocated for data that the length cannot hold.
///
/// # Errors
/// As for [`read_npy`].
pub fn parse_npy(name: &str, mut reader: impl Read, length: u64) -> Result<AnyArray, DatasetError> {
    let header = read_header(name, &mut reader)?;
    let present = length.saturating_sub(header.bytes.len() as u64);
    if header.data_bytes != present {
        let expected =
            format!("{} of data for shape {:?}", files::counted(header.data_bytes, "byte"), header.shape);
        return Err(DatasetError::malformed(name, FORMAT, expected, files::counted(present, "byte")));
    }
    parse_data(name, header, &mut reader)
}

/// Reads the data after `header`, and checks that nothing follows it.
pub(crate) fn parse_data(
    name: &str,
    header: NpyHeader,
    reader: &mut impl Read,
) -> Result<AnyArray, DatasetError> {
    check_size(name, "the array", header.data_bytes, MAX_FILE)?;
    let array = match header.scalar {
        "b1" => AnyArray::U8(elements::<bool>(name, &header, reader)?.mapv(u8::from)),
        "u1" => AnyArray::U8(elements(name, &header, reader)?),
        "i1" => AnyArray::I64(elements::<i8>(name, &header, reader)?.mapv(i64::from)),
        "u2" => AnyArray::I64(elements::<u16>(name, &header, reader)?.mapv(i64::from)),
        "i2" => AnyArray::I64(elements::<i16>(name, &header, reader)?.mapv(i64::from)),
        "u4" => AnyArray::I64(elements::<u32>(name, &header, reader)?.mapv(i64::from)),
        "i4" => AnyArray::I64(elements::<i32>(name, &header, reader)?.mapv(i64::from)),
        "u8" => {
            let wide = elements::<u64>(name, &header, reader)?;
            if let Some(value) = wide.iter().find(|v| i64::try_from(**v).is_err()) {
                return Err(DatasetError::unsuitable(
                    name,
                    "integers below 2^63",
                    format!("the value {value}"),
                ));
            }
            AnyArray::I64(wide.mapv(|v| v as i64))
        }
        "i8" => AnyArray::I64(elements(name, &header, reader)?),
        "f2" => AnyArray::F32(elements::<u16>(name, &as_u16(header.clone()), reader)?.mapv(half)),
        "f4" => AnyArray::F32(elements(name, &header, reader)?),
        _ => AnyArray::F64(elements(name, &header, reader)?),
    };
    // Reading to the end also makes a zip entry check its CRC.
    let mut rest = [0_u8; 1];
    match reader.read(&mut rest) {
        Ok(0) => Ok(array),
        Ok(_) => {
            let expected = format!("the end after {} bytes of data", header.data_bytes);
            Err(DatasetError::malformed(name, FORMAT, expected, "more bytes"))
        }
        Err(error) => Err(DatasetError::malformed(name, FORMAT, "intact data", error.to_string())),
    }
}

/// The header of the same elements as 16-bit integers.
fn as_u16(mut header: NpyHeader) -> NpyHeader {
    // These letters occur only once, since the header was parsed strictly.
    if let Some(at) = header.bytes.windows(2).position(|pair| pair == b"f2") {
        header.bytes[at] = b'u';
    }
    header
}

/// The value of a 16-bit float (IEEE 754 binary16), which is exact in f32.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

fn elements<T: npyz::Deserialize + Clone>(
    name: &str,
    header: &NpyHeader,
    reader: &mut impl Read,
) -> Result<ArrayD<T>, DatasetError> {
    let wrong = |expected: &str, error: &dyn std::fmt::Display| {
        DatasetError::malformed(name, FORMAT, expected, error.to_string())
    };
    let data = Cursor::new(header.bytes.as_slice()).chain(reader.take(header.data_bytes));
    let npy = npyz::NpyFile::new(data).map_err(|e| wrong("a readable header", &e))?;
    let values: Vec<T> = npy.into_vec().map_err(|e| wrong("an element for each place of the shape", &e))?;
    let shape = IxDyn(&header.shape).set_f(header.fortran_order);
    let array = ArrayD::from_shape_vec(shape, values).map_err(|e| wrong("a shape that fits the data", &e))?;
    // Callers may rely on C order.
    Ok(if header.fortran_order { array.as_standard_layout().into_owned() } else { array })
}

/// Writes an array as `.npy`: little endian, C order, atomically.
///
/// # Errors
/// [`DatasetError::Io`].
pub fn write_npy<T, S, D>(path: &Path, array: &ArrayBase<S, D>) -> Result<(), DatasetError>
where
    T: Element,
    S: Data<Elem = T>,
    D: Dimension,
{
    files::write_output_with(path, |writer| encode_npy(writer, array))
        .map_err(|e| DatasetError::io(path, "write", e))
}

/// Writes an array to a stream; see [`write_npy`].
///
/// # Errors
/// Any error of the stream.
pub fn encode_npy<T, S, D>(writer: &mut impl Write, array: &ArrayBase<S, D>) -> io::Result<()>
where
    T: Element,
    S: Data<Elem = T>,
    D: Dimension,
{
    let shape: Vec<u64> = array.shape().iter().map(|&n| n as u64).collect();
    let mut npy = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(writer).begin_nd()?;
    npy.extend(array.iter().copied())?;
    npy.finish()
}

/// Like [`encode_npy`] for u8, reading the values while writing them.
pub(crate) fn encode_bytes(writer: &mut impl Write, shape: &[usize], from: &mut dyn Read) -> io::Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let mut npy = npyz::WriteOptions::<u8>::new().default_dtype().shape(&shape).writer(writer).begin_nd()?;
    let mut part = vec![0; 1 << 16];
    loop {
        match from.read(&mut part)? {
            0 => return npy.finish(),
            n => npy.extend(part[..n].iter().copied())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    /// A file with the given header text and data.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<AnyArray, DatasetError> {
        parse_npy("x.npy", bytes, bytes.len() as u64)
    }

    fn dict(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    #[test]
    fn every_scalar_type_and_byte_order() {
        let cases: [(&str, &[u8], AnyArray); 14] = [
            ("|b1", &[1, 0], array![1_u8, 0].into()),
            ("|u1", &[7, 255], array![7_u8, 255].into()),
            ("|i1", &[7, 255], array![7_i64, -1].into()),
            ("<u2", &[1, 2, 3, 4], array![0x0201_i64, 0x0403].into()),
            (">i2", &[255, 255, 0, 1], array![-1_i64, 1].into()),
            (">u4", &[0, 0, 0, 1, 255, 0, 0, 0], array![1_i64, 0xff00_0000].into()),
            ("<i4", &[1, 0, 0, 0, 255, 255, 255, 255], array![1_i64, -1].into()),
            ("<u8", &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], array![1_i64, 2].into()),
            (
                ">i8",
                &[0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255],
                array![1_i64, -1].into(),
            ),
            ("<f2", &[0x00, 0x3c, 0x01, 0x00], array![1.0_f32, 5.960_464_5e-8].into()),
            (">f2", &[0xc0, 0x00, 0x7b, 0xff], array![-2.0_f32, 65504.0].into()),
            (">f4", &[0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0], array![1.0_f32, -2.0].into()),
            ("<f4", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], array![1.0_f32, -2.0].into()),
            ("<f8", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0], array![1.0, -2.0].into()),
        ];
        for (descr, data, want) in cases {
            assert_eq!(parse(&file(&dict(descr, "False", "(2,)"), data)).unwrap(), want, "{descr}");
        }
    }

    #[test]
    fn fortran_order_and_scalars() {
        let fortran = parse(&file(&dict("|u1", "True", "(2, 3)"), &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(fortran, array![[1_u8, 2, 3], [4, 5, 6]].into());
        let scalar = parse(&file(&dict("|u1", "False", "()"), &[9])).unwrap();
        assert_eq!(scalar.shape(), [0_usize; 0]);
        let empty = parse(&file(&dict("<f4", "False", "(0, 5)"), &[])).unwrap();
        assert_eq!(empty.shape(), [0, 5]);
    }

    #[test]
    fn malformed_files_are_refused() {
        let good = dict("<f4", "False", "(2,)");
        let huge_header = [b"\x93NUMPY\x02\x00".as_slice(), &u32::MAX.to_le_bytes()].concat();
        let nested = format!("{{'descr': {}", "[".repeat(60_000));
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![], "found the end after 0"),
            (b"PK\x03\x04aaaaaaaa".to_vec(), "expected the magic"),
            (b"\x93NUMPY\x09\x00aaaa".to_vec(), "found 9.0"),
            (huge_header, "found 4294967295 bytes"),
            (file(&good, &[0; 7]), "8 bytes of data for shape [2], found 7"),
            (file(&good, &[0; 9]), "8 bytes of data for shape [2], found 9"),
            (file(&good, &[0; 8])[..30].to_vec(), "bytes of the header"),
            (file(&dict("<f4", "False", "(4294967296, 4294967296)"), &[]), "a size below 2^63"),
            (file(&dict("<f4", "False", "(0, 4294967296, 4294967296)"), &[]), "a size below 2^63"),
            (file(&dict("<f4", "False", "(4611686018427387904,)"), &[]), "a size below 2^63"),
            (file(&dict("<f4", "False", "(1073741824,)"), &[]), "4294967296 bytes of data"),
            (file(&dict("<f4", "False", "(99999999999999999999,)"), &[]), "a dimension in 0..2^64"),
            (file(&dict("<f4", "False", "(-1,)"), &[]), "a dimension in 0..2^64"),
            (
                file(&dict("<f4", "False", &format!("({})", "1,".repeat(40))), &[0; 4]),
                "at most 32 dimensions",
            ),
            (file(&dict("|O", "False", "(2,)"), &[0; 8]), "found \"|O\""),
            (file(&dict("<c8", "False", "(2,)"), &[0; 16]), "found \"<c8\""),
            (file(&dict("<U1", "False", "(2,)"), &[0; 8]), "number strings"),
            (file(&dict("|f4", "False", "(2,)"), &[0; 8]), "found \"|f4\""),
            (file(&dict("<f4", "Maybe", "(2,)"), &[0; 8]), "True or False"),
            (
                file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", &[0; 8]),
                "type such as",
            ),
            (file("{'descr': '<f4', 'descr': '<f8', 'shape': (2,)}", &[]), "once each"),
            (file("{'descr': '<f4', 'shape': (2,)}", &[0; 8]), "the keys descr"),
            (
                file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", &[0; 8]),
                "the end of the header",
            ),
            (file("{'descr': '\\x41', 'shape': (2,)}", &[]), "plain ASCII"),
            (file(&nested, &[]), "type such as"),
            (file(&dict("<u8", "False", "(1,)"), &[255; 8]), "integers below 2^63"),
        ];
        for (bytes, text) in cases {
            let error = parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("x.npy"), "{error:?} lacks {text:?}");
        }
    }

    #[test]
    fn written_files_are_reproducible_and_aligned() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.npy"), folder.path().join("b.npy"));
        let array = array![[1.5_f32, f32::NAN], [f32::NEG_INFINITY, -0.0]];
        write_npy(&a, &array).unwrap();
        // A transposed view is written in logical order.
        write_npy(&b, &array.t().to_owned().t()).unwrap();
        let bytes = std::fs::read(&a).unwrap();
        assert_eq!(bytes, std::fs::read(&b).unwrap());
        assert_eq!((bytes.len() - 16) % 64, 0);
        let back = read_npy(&a).unwrap().into_f32();
        assert!(back.iter().zip(&array).all(|(x, y)| x.to_bits() == y.to_bits()));
    }

    proptest! {
        #[test]
        fn round_trip(shape in prop::collection::vec(0_usize..4, 0..4), seed: i64) {
            let array = ArrayD::from_shape_fn(shape, |i| seed ^ i.as_array_view().iter().sum::<usize>() as i64);
            let mut bytes = Vec::new();
            encode_npy(&mut bytes, &array).unwrap();
            prop_assert_eq!(parse(&bytes).unwrap(), AnyArray::from(array));
        }

        /// Any change of one byte, and any truncation, gives an array or an error, never a panic.
        #[test]
        fn damage_never_panics(at in 0_usize..144, byte: u8, cut in 0_usize..144) {
            let mut good = Vec::new();
            encode_npy(&mut good, &array![[1_i64, 2]]).unwrap();
            prop_assert!(parse(&good[..cut]).is_err());
            let mut bad = good;
            bad[at] = byte;
            let _ = parse(&bad);
        }
    }
}
