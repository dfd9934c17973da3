//! Decodes the values of a page with the crate `parquet`. The headers have been checked, so what a page unpacks to and
//! how many values it has are known.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Repetition, ZstdLevel};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

use super::Stored;
use super::columns::Physical;
use super::groups::Codec;
use crate::decode::guarded;

/// The values of a page, which share its memory.
#[derive(Debug)]
pub(super) struct Rows(Vec<Option<ByteArray>>);

impl Rows {
    /// The value of a row; `None` if it is empty.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        Some(self.0.get(row)?.as_ref()?.data())
    }
}

/// Decodes images: the dictionary, if there is one, and a page, both with their headers. The error gives the reason.
pub(super) fn images(bytes: Vec<u8>, stored: Stored) -> Result<Rows, String> {
    guarded(|| column::<ByteArrayType>(bytes, stored).map(Rows).map_err(|e| e.to_string()))
}

/// The same for numbers.
pub(super) fn labels(bytes: Vec<u8>, stored: Stored, physical: Physical) -> Result<Vec<Option<i64>>, String> {
    guarded(|| {
        let widened = match physical {
            Physical::Int32 => column::<Int32Type>(bytes, stored)
                .map(|values| values.into_iter().map(|value| value.map(i64::from)).collect()),
            _ => column::<Int64Type>(bytes, stored),
        };
        widened.map_err(|e| e.to_string())
    })
}

fn column<T: DataType>(bytes: Vec<u8>, stored: Stored) -> Result<Vec<Option<T::T>>, ParquetError> {
    let Stored { codec, optional, dictionary, rows } = stored;
    let repetition = if optional > 0 { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let values = Type::primitive_type_builder("value", T::get_physical_type());
    let values = Arc::new(values.with_repetition(repetition).build()?);
    let path = ColumnPath::new(vec!["value".to_owned()]);
    let descriptor = Arc::new(ColumnDescriptor::new(values, optional.into(), 0, path));
    let chunk = ColumnChunkMetaData::builder(Arc::clone(&descriptor))
        .set_compression(match codec {
            Codec::None => Compression::UNCOMPRESSED,
            Codec::Snappy => Compression::SNAPPY,
            Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        })
        .set_num_values(rows.into())
        .set_total_compressed_size(bytes.len() as i64)
        .set_data_page_offset(dictionary.into())
        .set_dictionary_page_offset((dictionary > 0).then_some(0))
        .build()?;
    let pages = SerializedPageReader::new(Arc::new(Bytes::from(bytes)), &chunk, rows as usize, None)?;
    let mut reader = ColumnReaderImpl::<T>::new(descriptor, Box::new(pages));
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (read, ..) = reader.read_records(rows as usize, Some(&mut levels), None, &mut values)?;
    if read != rows as usize {
        return Err(ParquetError::General(format!("expected {rows} values, found {read}")));
    }
    if optional == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let full = |level: &i16| *level == i16::from(optional);
    Ok(levels.iter().map(|level| if full(level) { values.next() } else { None }).collect())
}
