//! `.npz` archives.

use std::io::Cursor;

use dataset::{AnyArray, FileKind, Npz, encode_npz};

use crate::archive::{Claims, of_one};
use crate::npy;

/// First byte of an input whose rest becomes one entry of a new archive.
pub(crate) const ENTRY: u8 = b'E';
/// First byte of such an input when seven bytes of header claims come before the entry.
pub(crate) const CLAIMS: u8 = b'C';

/// An archive as it is, or the npy file of one entry with honest or made-up headers.
pub(crate) fn body(data: &[u8]) {
    match data {
        [ENTRY, entry @ ..] => {
            let bytes = of_one("x.npy", entry, Claims::honest(entry));
            let array = check(&bytes).pop();
            let bare = dataset::parse_npy("fuzz", entry, entry.len() as u64).ok();
            assert_eq!(array.map(|a| npy::encode(&a).ok()), bare.map(|a| npy::encode(&a).ok()));
        }
        [CLAIMS, method, flags, a, b, c, d, e, entry @ ..] => {
            let claims = Claims::made_up([*method, *flags, *a, *b, *c, *d, *e], entry);
            check(&of_one("x.npy", entry, claims));
        }
        _ => drop(check(data)),
    }
}

fn check(data: &[u8]) -> Vec<AnyArray> {
    let Ok(mut npz) = Npz::new("fuzz", Cursor::new(data)) else { return Vec::new() };
    let names: Vec<String> = npz.names().map(str::to_owned).collect();
    assert!(names.is_sorted());
    let mut arrays = Vec::new();
    for name in &names {
        assert!(npz.contains(name));
        if let Ok(array) = npz.array(name) {
            npy::check(array.clone());
            arrays.push((name.as_str(), array));
        }
    }
    if let [(name, array), ..] = &arrays[..] {
        if data.starts_with(b"PK") {
            let start = &data[..data.len().min(FileKind::START)];
            assert_eq!(FileKind::recognise(start, data.len() as u64), Some(FileKind::Numpy));
        }
        write_and_read(name, array);
    }
    arrays.into_iter().map(|(_, array)| array).collect()
}

/// Written arrays read back.
fn write_and_read(name: &str, array: &AnyArray) {
    let mut written = Cursor::new(Vec::new());
    encode_npz(&mut written, &[(name, array.clone())]).expect("memory should take all");
    let mut npz = Npz::new("fuzz", written).expect("written data should read back");
    let back = npz.array(name).expect("the written array should be there");
    assert_eq!(npy::encode(&back).ok(), npy::encode(array).ok());
}
