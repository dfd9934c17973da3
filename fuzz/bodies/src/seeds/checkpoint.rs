//! The files of a checkpoint.

use checkpoints::{FILES, Manifest, ManifestEntry, State};

use super::{Seeds, named};
use crate::tensor_file::HEADER;

pub(crate) fn manifest() -> Seeds {
    let mut manifest = Manifest { files: FILES.iter().map(|name| ManifestEntry::of(name, b"abc")).collect() };
    let sound = serde_json::to_vec(&manifest).unwrap_or_default();
    manifest.files.push(ManifestEntry::of("notes.txt", b""));
    let more = serde_json::to_vec(&manifest).unwrap_or_default();
    manifest.files.push(ManifestEntry::of("../notes.txt", b""));
    let outside = serde_json::to_vec(&manifest).unwrap_or_default();
    named([
        ("sound", sound),
        ("more", more),
        ("outside", outside),
        ("none", br#"{"files":[]}"#.to_vec()),
        ("nested", b"[".repeat(200)),
    ])
}

pub(crate) fn state() -> Seeds {
    let sums = serde_json::json!({ "loss": 0.1, "by_t": [1.5, -0.0, 5e-324, 1e308], "steps": 3 });
    let sound = serde_json::to_vec(&State::new(7, u64::MAX, sums)).unwrap_or_default();
    named([
        ("sound", sound),
        ("newer", br#"{"format_version":2,"steps":[]}"#.to_vec()),
        ("zero", br#"{"format_version":0,"step":1,"seed":1,"interval":[]}"#.to_vec()),
        ("folder", b"step-00000007".to_vec()),
        ("long-folder", b"step-100000000".to_vec()),
    ])
}

pub(crate) fn tensor_file() -> Seeds {
    // The number of data bytes, and the header.
    let headers = [
        (
            "two",
            24_u16,
            r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"I64","shape":[],"data_offsets":[16,24]}}"#,
        ),
        (
            "metadata",
            2,
            r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}   "#,
        ),
        ("nothing", 0, "{}"),
        (
            "empty",
            0,
            r#"{"a":{"dtype":"U8","shape":[0,3],"data_offsets":[0,0]},"b":{"dtype":"F16","shape":[3,0],"data_offsets":[0,0]}}"#,
        ),
        (
            "overlap",
            4,
            r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}"#,
        ),
        ("hole", 8, r#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[4,8]}}"#),
        (
            "twice",
            8,
            r#"{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"U32","shape":[1],"data_offsets":[4,8]}}"#,
        ),
        (
            "large",
            4,
            r#"{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,18446744073709551615]}}"#,
        ),
        (
            "types",
            51,
            r#"{"c":{"dtype":"C64","shape":[1],"data_offsets":[0,8]},"d":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[8,9]},"e":{"dtype":"U64","shape":[1,1],"data_offsets":[9,17]},"f":{"dtype":"F8_E8M0","shape":[1],"data_offsets":[17,18]}}"#,
        ),
        ("half-bytes", 1, r#"{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#),
    ];
    let mut seeds: Seeds = Vec::new();
    for (name, numbers, header) in headers {
        seeds.push((
            format!("header-{name}"),
            [&[HEADER], &numbers.to_le_bytes()[..], header.as_bytes()].concat(),
        ));
    }
    let (_, numbers, header) = headers[0];
    let length = (header.len() as u64).to_le_bytes();
    seeds.push(("file".into(), [&length[..], header.as_bytes(), &vec![1; usize::from(numbers)]].concat()));
    seeds.push(("claims-2^60".into(), [&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat()));
    seeds
}
