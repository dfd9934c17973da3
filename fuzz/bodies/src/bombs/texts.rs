//! Endless text: TOML, JSON, and the header of a safetensors file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use checkpoints::Manifest;
use config::{ImageShape, Layers, UserFile, parse_set};

use super::Bomb;

const MIB: usize = 1 << 20;
/// The maximum length of a configuration.
const TEXT: usize = MIB / 2;

pub(super) const BOMBS: &[Bomb] = &[
    toml("toml-brackets", |path| fs::write(path, format!("a = {}", "[".repeat(TEXT - 10)))),
    toml("toml-braces", |path| fs::write(path, "a={".repeat(TEXT / 3))),
    toml("toml-key-of-many-parts", |path| fs::write(path, format!("{}a = 1", "a.".repeat(TEXT / 2 - 10)))),
    toml("toml-many-keys", |path| {
        fs::write(path, (0..50_000).map(|n| format!("a{n}=1\n")).collect::<String>())
    }),
    toml("toml-many-tables", |path| fs::write(path, "[[a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p]]\n".repeat(14_000))),
    toml("toml-long-list", |path| {
        fs::write(path, format!("[model]\nchannel_mults = [{}]", "1,".repeat(TEXT / 2 - 20)))
    }),
    toml("toml-1-tib", |path| File::create(path)?.set_len(1 << 40)),
    flag("set-key-of-many-parts", |path| fs::write(path, format!("{}a=1", "a.".repeat(64 << 10)))),
    flag("set-brackets", |path| fs::write(path, format!("train.lr={}", "[".repeat(128 << 10)))),
    flag("set-channels-of-2^63", |path| fs::write(path, "model.base_channels=9223372036854775807")),
    flag("set-channels-of-2^62", |path| fs::write(path, "model.base_channels=4611686018427387904")),
    flag("set-steps-of-2^63", |path| fs::write(path, "schedule.steps=9223372036854775807")),
    flag("set-blocks-of-2^63", |path| fs::write(path, "model.blocks_per_level=9223372036854775807")),
    flag("set-frequencies-of-2^63", |path| {
        fs::write(path, "model.embedding.frequencies=9223372036854775807")
    }),
    flag("set-many-levels", |path| {
        fs::write(path, format!("model.channel_mults=[{}]", "1,".repeat(60 << 10)))
    }),
    tensors("safetensors-header-of-2^60", |path| {
        fs::write(path, [&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat())
    }),
    tensors("safetensors-header-of-1-gib", |path| {
        // A sparse file of the claimed size.
        let file = File::create(path)?;
        io::Write::write_all(&mut &file, &(1_u64 << 30).to_le_bytes())?;
        file.set_len(2 << 30)
    }),
    tensors("safetensors-brackets", |path| plant_header(path, &"[".repeat(16 * MIB))),
    tensors("safetensors-many-tensors", |path| {
        let tensor = |n: usize| format!(r#""{n}":{{"dtype":"U8","shape":[],"data_offsets":[{n},{n}]}},"#);
        plant_header(path, &format!("{{{}", (0..200_000).map(tensor).collect::<String>()))
    }),
    tensors("safetensors-many-dimensions", |path| {
        plant_header(path, &format!(r#"{{"a":{{"dtype":"U8","shape":[{}"#, "1,".repeat(8 * MIB - 40)))
    }),
    tensors("safetensors-long-name", |path| {
        plant_header(path, &format!(r#"{{"{}"#, "a".repeat(16 * MIB - 2)))
    }),
    tensors("safetensors-long-escaped-name", |path| {
        plant_header(path, &format!(r#"{{"{}"#, r"\u0001".repeat(16 * MIB / 6 - 2)))
    }),
    tensors("safetensors-many-strings", |path| {
        let strings: String = (0..1_000_000).map(|n| format!(r#""{n}":"","#)).collect();
        plant_header(path, &format!(r#"{{"__metadata__":{{{strings}"#))
    }),
    tensors("safetensors-claims-2^63-bytes", |path| {
        let text =
            r#"{"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,9223372036854775808]}}"#;
        plant_header(path, text)
    }),
    json("manifest-brackets", |path| fs::write(manifest_in(path)?, "[".repeat(MIB))),
    json("manifest-braces", |path| fs::write(manifest_in(path)?, r#"{"a":"#.repeat(MIB / 5))),
    json("manifest-many-files", |path| {
        let file = r#"{"name":"a","bytes":0,"sha256":""},"#;
        fs::write(
            manifest_in(path)?,
            format!(r#"{{"files":[{}{}]}}"#, file.repeat(29_000), file.trim_end_matches(',')),
        )
    }),
    json("manifest-1-tib", |path| File::create(manifest_in(path)?)?.set_len(1 << 40)),
];

const fn toml(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: settle }
}

/// The text of a `--set`.
const fn flag(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: set }
}

const fn tensors(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: |path| tensor_file::read_header(path).map(drop).map_err(|e| e.to_string()) }
}

/// A folder with a manifest.
const fn json(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: |path| Manifest::read(path).map(drop).map_err(|e| e.to_string()) }
}

const IMAGES: ImageShape = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };

fn settle(path: &Path) -> Result<(), String> {
    let file = UserFile::read(path).map_err(|e| e.to_string())?;
    let layers = Layers { preset: Some("tiny-16"), file: Some(&file), ..Layers::default() };
    layers.settle(&IMAGES).map(drop).map_err(|e| e.to_string())
}

/// The text of a flag, which no system lets exceed 128 KiB.
fn set(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let set = [parse_set(&text).map_err(|e| e.to_string())?];
    let layers = Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() };
    layers.settle(&IMAGES).map(drop).map_err(|e| e.to_string())
}

fn manifest_in(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir(folder)?;
    Ok(folder.join(checkpoints::MANIFEST))
}

fn plant_header(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat())
}
