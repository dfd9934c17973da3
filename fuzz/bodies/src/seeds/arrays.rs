//! Arrays: IDX, CIFAR, npy, npz.

use std::io::Cursor;

use dataset::{AnyArray, encode_npz};
use ndarray::{Array, ArrayD, array};

use super::{Seeds, named};
use crate::archive::{Claims, of_one};
use crate::npz::{CLAIMS, ENTRY};
use crate::{gzip, idx, npy};

/// Counts up, so every element differs.
fn counting(shape: &[usize]) -> ArrayD<u8> {
    let size = shape.iter().product::<usize>();
    Array::from_iter((0..size).map(|i| i as u8)).into_shape_with_order(shape).unwrap_or_default()
}

fn idx_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut four_gib = idx::encode(&counting(&[2, 2]));
    four_gib[4] = 0x80;
    vec![
        ("labels", idx::encode(&counting(&[7]))),
        ("column", idx::encode(&counting(&[7, 1]))),
        ("images", idx::encode(&counting(&[2, 3, 4]))),
        ("colour", idx::encode(&counting(&[2, 3, 4, 3]))),
        ("channels-second", idx::encode(&counting(&[2, 3, 2, 2]))),
        ("no-image", idx::encode(&counting(&[0, 28, 28]))),
        ("claims-4-gib", four_gib),
        ("floats", vec![0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        ("five-dimensions", vec![0, 0, 8, 5, 0, 0, 0, 1]),
    ]
}

pub(crate) fn idx() -> Seeds {
    named(idx_files())
}

pub(crate) fn idx_gz() -> Seeds {
    let files = idx_files();
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, bytes) in &files {
        // An odd first byte: to be wrapped.
        seeds.push((format!("bare-{name}"), [&[1], &bytes[..]].concat()));
    }
    for (name, bytes) in &files[..3] {
        seeds.push((format!("stored-{name}"), gzip::stored(bytes)));
    }
    let (first, second) = files[2].1.split_at(9);
    seeds.push(("two-members".into(), [gzip::stored(first), gzip::stored(second)].concat()));
    let mut cut = gzip::stored(&files[2].1);
    cut.truncate(cut.len() - 5);
    seeds.push(("cut".into(), cut));
    // RFC 1952, flags: a name, a comment, an extra field.
    let mut with_name = gzip::stored(&files[0].1);
    with_name[3] = 8;
    with_name.splice(10..10, *b"labels\0");
    seeds.push(("with-name".into(), with_name));
    seeds.extend(gzip::compressed(&files[2].1[..]).ok().map(|bytes| ("compressed".into(), bytes)));
    seeds
}

pub(crate) fn cifar() -> Seeds {
    named([
        ("ten", vec![1, 9, 200, 100]),
        ("hundred", vec![2, 19, 99, 7, 3]),
        ("three-records", vec![1 + 8, 0]),
        ("label-10", vec![1, 10, 10]),
        ("like-idx", vec![1, 0, 0, 8, 3, 0, 0, 0, 1]),
        ("like-icon", vec![1, 0, 0, 1, 0, 1]),
        ("short", vec![0, 1, 2, 3]),
        ("whole-record", [vec![0, 3], vec![77; 3072]].concat()),
    ])
}

fn arrays() -> Vec<(&'static str, AnyArray)> {
    vec![
        ("bytes", counting(&[2, 3]).into()),
        ("images", counting(&[2, 4, 4]).into()),
        ("integers", array![-1_i64, 1 << 40].into()),
        ("floats", array![[0.5_f32, -1.0], [f32::NAN, f32::INFINITY]].into()),
        ("doubles", array![[[0.0, 1.0], [0.25, 0.5]]].into()),
        ("scalar", ndarray::arr0(0.25).into()),
        ("nothing", ArrayD::<f32>::zeros(vec![0, 5]).into()),
    ]
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

fn npy_files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = arrays()
        .into_iter()
        .map(|(name, a)| (name.to_owned(), npy::encode(&a).unwrap_or_default()))
        .collect();
    // Headers that numpy does not write, or only for other types.
    let types = ["|b1", "|i1", "<u2", ">i2", ">u4", "<i4", ">u8", ">i8", ">f4", ">f8"];
    for descr in types {
        let width = usize::from(descr.as_bytes()[2] - b'0');
        let header = format!("{{'descr':'{descr}','fortran_order':True,'shape':(1,2)}}");
        let data: Vec<u8> = (0..2 * width).map(|i| (i % 2) as u8).collect();
        files.push((format!("type-{}", &descr[1..]), with_header(&header, &data)));
    }
    let odd = [
        ("no-comma", "{\"descr\": \"|u1\", \"shape\": (2), \"fortran_order\": False}"),
        ("zero-times-much", "{'descr':'<f4','fortran_order':False,'shape':(0,4294967296,4294967296)}"),
        ("zero-times-less", "{'descr':'|u1','fortran_order':True,'shape':(4611686018427387904,0)}"),
        ("object", "{'descr':'|O','fortran_order':False,'shape':(2,)}"),
        ("records", "{'descr':[('a','<f4')],'fortran_order':False,'shape':(2,)}"),
        ("twice", "{'descr':'|u1','descr':'<f8','shape':(2,)}"),
    ];
    files.extend(odd.map(|(name, header)| (name.to_owned(), with_header(header, &[1, 2]))));
    let mut second = b"\x93NUMPY\x02\x00".to_vec();
    let header = "{'descr':'|u1','fortran_order':False,'shape':(1,)}";
    second.extend((header.len() as u32).to_le_bytes());
    second.extend(header.as_bytes());
    second.push(9);
    files.push(("version-2".to_owned(), second));
    files
}

pub(crate) fn npy() -> Seeds {
    npy_files()
}

pub(crate) fn npz() -> Seeds {
    let files = npy_files();
    let mut seeds: Seeds = Vec::new();
    for (name, bytes) in &files[..7] {
        seeds.push((format!("entry-{name}"), [&[ENTRY], &bytes[..]].concat()));
    }
    let bytes = &files[0].1;
    let length = (bytes.len() as u16).to_le_bytes();
    let claims = |method: u8, flags: u8, compressed: [u8; 2], size: [u8; 3]| {
        let fields = [CLAIMS, method, flags, compressed[0], compressed[1], size[0], size[1], size[2]];
        [&fields[..], bytes].concat()
    };
    let [low, high] = length;
    seeds.push(("claims-honest".into(), claims(0, 0, length, [low, high, 0])));
    seeds.push(("claims-16-mib".into(), claims(0, 0, length, [0xff, 0xff, 0xff])));
    seeds.push(("claims-deflated".into(), claims(8, 0, length, [low, high, 0])));
    seeds.push(("claims-locked".into(), claims(0, 1, length, [low, high, 0])));
    seeds.push(("archive".into(), of_one("x.npy", bytes, Claims::honest(bytes))));
    let mut several = Cursor::new(Vec::new());
    let arrays = arrays();
    if encode_npz(&mut several, &arrays[..3]).is_ok() {
        seeds.push(("several".into(), several.into_inner()));
    }
    if let Ok((stream, ..)) = gzip::deflated(&bytes[..]) {
        let claims = Claims { method: 8, compressed: stream.len() as u32, ..Claims::honest(bytes) };
        seeds.push(("deflated".into(), of_one("x.npy", &stream, claims)));
    }
    seeds.push((
        "zip64".into(),
        [b"PK\x06\x07".to_vec(), vec![0; 16], b"PK\x05\x06".to_vec(), vec![0xff; 16], vec![0; 2]].concat(),
    ));
    seeds
}
