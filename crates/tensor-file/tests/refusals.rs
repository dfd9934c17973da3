//! Every way in which a header can be invalid, and the error it gives.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use safetensors::{Dtype as Theirs, SafeTensors, tensor::TensorView};
use tensor_file::{Dtype, TensorFile, TensorFileError, parse, read_header};

/// A file with this header and this many zero bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = Vec::from((header.len() as u64).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    let from_memory = parse(Path::new("m.safetensors"), bytes).unwrap_err().to_string();
    // Reading from disk gives the same error, without looking at the data.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    fs::write(&path, bytes).unwrap();
    let from_disk = read_header(&path).unwrap_err().to_string();
    assert_eq!(from_disk.replace(&path.display().to_string(), "m.safetensors"), from_memory);
    from_memory
}

/// A file written by the reference library: two tensors and a string.
fn sound() -> Vec<u8> {
    let (a, b) = ([1_u8; 24], [2_u8; 8]);
    let tensors = [
        ("a.weight", TensorView::new(Theirs::F32, vec![2, 3], &a).unwrap()),
        ("step", TensorView::new(Theirs::I64, vec![1], &b).unwrap()),
    ];
    let text = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(tensors, Some(text)).unwrap()
}

#[test]
fn a_sound_file_is_read() {
    let header = parse(Path::new("m"), &sound()).unwrap();
    assert_eq!(header.tensors.len(), 2);
    let a = &header.tensors["a.weight"];
    assert_eq!((a.dtype, a.shape.as_slice(), a.range.end - a.range.start), (Dtype::F32, &[2, 3][..], 24));
    assert_eq!(header.metadata["format"], "pt");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    fs::write(&path, sound()).unwrap();
    let mut file = TensorFile::open(&path).unwrap();
    assert_eq!(*file.header(), header);
    assert_eq!(file.read(a).unwrap(), [1; 24]);
    assert_eq!(file.read(&header.tensors["step"]).unwrap(), [2; 8]);
}

#[test]
fn scalars_and_empty_tensors_are_tensors() {
    let header = r#"{"s":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"e":{"dtype":"F32","shape":[0,3],"data_offsets":[1,1]}}"#;
    let header = parse(Path::new("m"), &file(header, 1)).unwrap();
    assert_eq!((header.tensors["s"].shape.len(), header.tensors["e"].shape.as_slice()), (0, &[0, 3][..]));
    assert_eq!(parse(Path::new("m"), &file("{}   ", 0)).unwrap().tensors.len(), 0);
}

#[test]
fn every_invalid_header_is_explained() {
    let many: String = (0..=100_000)
        .map(|n| format!(r#""{n}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},"#))
        .collect();
    let strings: String = (0..=10_000).map(|n| format!(r#""{n}":"","#)).collect();
    let one = |entry: &str| format!(r#"{{"w":{entry}}}"#);
    let of = |shape: &str, offsets: &str| {
        one(&format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#))
    };
    let cases: &[(String, usize, &[&str])] = &[
        ("not json".into(), 0, &["header", "JSON"]),
        ("[]".into(), 0, &["header", "an object of tensors"]),
        (r#"{"w":"#.into(), 0, &["header"]),
        (one("3"), 0, &["header"]),
        (one(r#"{"dtype":"F32","shape":[1]}"#), 4, &["header", "data_offsets"]),
        (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}"#), 4, &["header", "`x`"]),
        (one(r#"{"dtype":"F33","shape":[1],"data_offsets":[0,4]}"#), 4, &["dtype of tensor w", "F32", "F33"]),
        (one(r#"{"dtype":"F4","shape":[2],"data_offsets":[0,1]}"#), 1, &["dtype of tensor w", "found F4"]),
        (one(&format!(r#"{{"{}":1}}"#, "long".repeat(1000))), 4, &["header", "unknown field"]),
        (of("[-1]", "[0,4]"), 4, &["header", "-1"]),
        (of("[1.5]", "[0,4]"), 4, &["header", "1.5"]),
        (of("[1]", "[0,8]"), 8, &["data_offsets of tensor w", "4 bytes for [1] of F32", "0 to 8"]),
        (of("[1]", "[4,0]"), 4, &["data_offsets of tensor w", "4 to 0"]),
        (of("[1]", "[4,8]"), 8, &["data_offsets of tensor w", "a start of 0", "found 4"]),
        (of("[1]", "[0,4]"), 5, &["file size", "bytes"]),
        (of("[1]", "[0,4]"), 3, &["file size", "bytes"]),
        (of("[2000000000,1,1]", "[0,8000000000]"), 9, &["file size", "8000000"]),
        // Products that overflow 64 bits, and one that would without its dimension of 0.
        (of("[4294967296,4294967296]", "[0,0]"), 0, &["shape of tensor w", "4294967296"]),
        (of("[0,18446744073709551615]", "[0,0]"), 0, &["shape of tensor w", "18446744073709551615"]),
        (of("[0]", "[18446744073709551615,18446744073709551615]"), 0, &["data_offsets of tensor w"]),
        (of(&format!("[{}1]", "1,".repeat(16)), "[0,4]"), 4, &["header", "16 dimensions"]),
        (format!(r#"{{"{}":{{}}}}"#, "n".repeat(513)), 0, &["header", "513"]),
        (
            r#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#.into(),
            1,
            &["header", "tensor w twice"],
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#.into(),
            3,
            &["data_offsets of tensor b", "a start of 2", "found 1"],
        ),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, &["header"]),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), 0, &["header", "__metadata__ twice"]),
        (format!(r#"{{"__metadata__":{{{strings}"x":""}}}}"#), 0, &["header", "10000 strings"]),
        (format!("{{{many}\"x\":{{}}}}"), 0, &["header", "100000 tensors"]),
    ];
    for (header, data, words) in cases {
        let message = refusal(&file(header, *data));
        assert!(message.starts_with("m.safetensors: "), "{message}");
        assert!(message.contains("expected") && message.contains("found"), "{message}");
        for word in *words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
        assert!(message.len() < 400 && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_header_that_claims_more_than_there_is_costs_nothing() {
    for claim in [1 << 60, u64::MAX, (16 << 20) + 1, 3] {
        let mut bytes = Vec::from(claim.to_le_bytes());
        bytes.extend(b"{}");
        assert!(refusal(&bytes).contains(&format!(
            "header size: expected a safetensors header of at most 2 bytes, found {claim}"
        )));
    }
    // A sparse file larger than any model.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    fs::File::create(&path).unwrap().set_len((64 << 30) + 1).unwrap();
    assert!(read_header(&path).unwrap_err().to_string().contains("file size"));
    // A file of 17 MiB whose header would fill it.
    fs::write(&path, (17_u64 << 20).to_le_bytes()).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8 + (17 << 20)).unwrap();
    assert!(read_header(&path).unwrap_err().to_string().contains("header size"));
}

#[test]
fn anything_but_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("absent")] {
        assert!(matches!(read_header(&path), Err(TensorFileError::File { .. })));
    }
    let path = folder.path().join("short");
    for length in 0..8 {
        fs::write(&path, vec![0; length]).unwrap();
        let found = format!("found {}", files::counted(length as u64, "byte"));
        assert!(read_header(&path).unwrap_err().to_string().contains(&found));
    }
}

/// A name from a file cannot forge a line in a log.
#[test]
fn names_are_shown_escaped() {
    let header = r#"{"w\n\u001b[31m":{"dtype":"X","shape":[1],"data_offsets":[0,4]}}"#;
    let message = refusal(&file(header, 4));
    assert!(message.contains(r"w\n\u{1b}[31m"), "{message}");
}

proptest! {
    /// Whatever this crate reads, the reference library reads as well, with the same result. What that library refuses
    /// is refused here.
    #[test]
    fn nothing_is_read_that_the_reference_library_refuses(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = sound();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let ours = parse(Path::new("m"), &bytes);
        let theirs = SafeTensors::deserialize(&bytes);
        if let Ok(header) = &ours {
            let theirs = theirs.unwrap();
            prop_assert_eq!(header.tensors.len(), theirs.len());
            for (name, info) in &header.tensors {
                let view = theirs.tensor(name).unwrap();
                prop_assert_eq!(view.dtype().to_string(), info.dtype.name());
                prop_assert_eq!(view.shape(), info.shape.as_slice());
                prop_assert_eq!(view.data(), &bytes[info.range.start as usize..info.range.end as usize]);
            }
        }
    }

    /// This crate reads what the reference library writes, whatever the shapes.
    #[test]
    fn files_of_the_reference_library_are_read(
        tensors in prop::collection::btree_map("[a-z.]{1,8}", prop::collection::vec(0_usize..4, 0..4), 0..5)
    ) {
        let zeros = vec![0_u8; 4 * 81];
        let views = tensors.iter().map(|(name, shape)| {
            let bytes = 4 * shape.iter().product::<usize>();
            (name.as_str(), TensorView::new(Theirs::F32, shape.clone(), &zeros[..bytes]).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let header = parse(Path::new("m"), &bytes).unwrap();
        let shapes: std::collections::BTreeMap<_, _> =
            header.tensors.into_iter().map(|(name, info)| (name, info.shape)).collect();
        prop_assert_eq!(shapes, tensors);
    }
}
