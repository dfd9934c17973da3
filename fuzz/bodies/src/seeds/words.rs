//! Text.

use super::{Seeds, named};

pub(crate) fn region() -> Seeds {
    let texts = [
        ("inside", "1,2,3,4"),
        ("spaces", " 0 , 0 , 32 , 32 "),
        ("empty", "0,0,0,1"),
        ("beyond", "30,0,3,1"),
        ("largest", "18446744073709551615,0,2,1"),
        ("too-large", "18446744073709551616,0,2,1"),
        ("three", "1,2,3"),
        ("negative", "1,-2,3,4"),
    ];
    named(texts.map(|(name, text)| (name, [&[32, 32][..], text.as_bytes()].concat())))
}

pub(crate) fn class_labels() -> Seeds {
    named([
        ("classes", "bird/9.png\ncat/1.png\ncat/2\ncat/deep/3.png"),
        ("flat", "a.png\nb.png"),
        ("mixed", "a.png\nsub/b.png"),
        ("prefixes", "a/1\na b/1\na-b/1\na/b/1\n./a/2\na//3"),
    ])
}

pub(crate) fn source_spec() -> Seeds {
    named([
        ("embedded", "fashion-mnist"),
        ("test", "fashion-mnist:test"),
        ("train", "fashion-mnist:train"),
        ("both", "fashion-mnist:test:train"),
        ("folder", "corpus"),
        ("none", "./no such\nfile"),
        ("nothing", ""),
    ])
}
