//! Hostile run folders: each kind starts as a valid run and is changed in one way.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::Place;

/// Writes to the clipboard of a terminal that obeys it (OSC 52).
const OSC_52: &str = "\u{1b}]52;c;ZXZpbA==\u{7}";
/// The same as TOML and JSON escape it.
const OSC_52_QUOTED: &str = "\\u001b]52;c;ZXZpbA==\\u0007";

/// The newest checkpoint of the run.
pub(super) const NEWEST: &str = "run/checkpoints/step-00000006";

/// The kind whose data are images of the reader.
pub(super) const READER: &str = "data of the reader";

/// One way to change a run folder.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) plant: fn(&Place) -> anyhow::Result<()>,
}

macro_rules! kinds {
    ($($name:literal: $plant:expr;)*) => { &[$(Kind { name: $name, plant: $plant }),*] };
}

/// All of them.
pub(super) const KINDS: &[Kind] = kinds! {
    "run.lock is a link": |place| link("../outside/file", &place.at("run/run.lock"));
    "metrics.jsonl is a link": |place| link("../outside/file", &place.at("run/metrics.jsonl"));
    "metrics.jsonl is a pipe": |place| pipe(&place.at("run/metrics.jsonl"));
    "metrics.jsonl is an endless device": |place| link("/dev/zero", &place.at("run/metrics.jsonl"));
    "metrics.jsonl has a line of 1 GB": |place| sparse(&place.at("run/metrics.jsonl"), 1 << 30);
    "metrics.jsonl has values that are not numbers": |place| {
        let line = r#"{"step":18446744073709551615,"loss":1e308,"lr":-1e308,"grad_norm":0,"images_per_s":1e-308,"loss_by_t":[1e308,null,-1e308]}"#;
        Ok(fs::write(place.at("run/metrics.jsonl"), format!("{line}\n{line}\n{{\"step\":NaN}}\n"))?)
    };
    "metrics.jsonl goes back in time": |place| {
        let line = |step: u64| format!(r#"{{"step":{step},"loss":1e308,"lr":1,"grad_norm":1,"images_per_s":1,"loss_by_t":[1e308]}}"#);
        let lines: Vec<String> = [u64::MAX, 3, 3, 0, 1 << 60].map(line).into();
        Ok(fs::write(place.at("run/metrics.jsonl"), lines.join("\n") + "\n")?)
    };
    "a network of 3 GB": |place| config(place, &[("base_channels = 16", "base_channels = 1024")]);
    "a network of many blocks": |place| config(place, &[("blocks_per_level = 1", "blocks_per_level = 64")]);
    "images of another height": |place| config(place, &[("\nheight = 16", "\nheight = 4096")]);
    "huge images": |place| config(place, &[
        ("\nheight = 16", "\nheight = 4096"), ("\nwidth = 16", "\nwidth = 4096"),
        ("image_size = 16", "image_size = 4096"), ("attention_resolutions = [8]", "attention_resolutions = [2048]"),
    ]);
    "data of the reader": |place| {
        let source = place.at("outside/private");
        data_source(place, &source.display().to_string())
    };
    "data in the root folder": |place| data_source(place, "/");
    "data in a device": |place| data_source(place, "/dev/zero");
    "data with a control code in its name": |place| data_source(place, OSC_52_QUOTED);
    "a schedule with a control code in its name": |place| {
        config(place, &[("kind = \"linear\"", &format!("kind = \"{OSC_52_QUOTED}\""))])
    };
    "tensors with control codes in their names": |place| {
        for name in ["model", "ema", "optimizer"] {
            let path = place.at(&format!("{NEWEST}/{name}.safetensors"));
            let bytes = fs::read(&path)?;
            let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into()?))?;
            let text = std::str::from_utf8(&bytes[8..8 + length])?.replace("conv_in.bias", OSC_52_QUOTED);
            fs::write(&path, [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &bytes[8 + length..]].concat())?;
        }
        seal(place)
    };
    "files with control codes in their names": |place| {
        fs::write(place.at(&format!("{NEWEST}/{OSC_52}")), "")?;
        fs::rename(place.at(NEWEST), place.at(&format!("run/checkpoints/step-{OSC_52}")))?;
        fs::create_dir(place.at(NEWEST))?;
        Ok(())
    };
    "huge counts": |place| config(place, &[
        ("\nsteps = 6", "\nsteps = 9223372036854775807"), ("\ncount = 40", "\ncount = 9223372036854775807"),
    ]);
    "an endless chain": |place| config(place, &[("\nsteps = 1000", "\nsteps = 9223372036854775807")]);
    "an endlessly nested configuration": |place| text(place, &format!("a = {}", "[".repeat(1 << 20)));
    "a configuration of 1 GB": |place| {
        sparse(&place.at("run/config.toml"), 1 << 30)?;
        sparse(&place.at(&format!("{NEWEST}/config.toml")), 1 << 30)?;
        seal_sizes(place)
    };
    "a configuration of a list": |place| text(place, &format!("a = [{}]", "1,".repeat(1 << 19)));
    "config.toml is a pipe": |place| {
        pipe(&place.at("run/config.toml"))?;
        pipe(&place.at(&format!("{NEWEST}/config.toml")))
    };
    "thousands of checkpoints": |place| {
        (100..3100).try_for_each(|n| fs::create_dir(place.at(&format!("run/checkpoints/step-{n:08}"))))?;
        Ok(())
    };
    "a manifest that leads elsewhere": |place| manifest(place, |files| {
        files.push(serde_json::json!({ "name": "../../../outside/file", "bytes": 4, "sha256": "" }));
        files.push(serde_json::json!({ "name": "/etc/passwd", "bytes": 4, "sha256": "" }));
    });
    "a manifest of 1 GB": |place| sparse(&place.at(&format!("{NEWEST}/manifest.json")), 1 << 30);
    "a manifest that is an endless device": |place| link("/dev/zero", &place.at(&format!("{NEWEST}/manifest.json")));
    "weights of 60 GB": |place| {
        sparse(&place.at(&format!("{NEWEST}/ema.safetensors")), 60 << 30)?;
        seal_sizes(place)
    };
    "a checkpoint that is a link to itself": |place| {
        fs::remove_dir_all(place.at(NEWEST))?;
        link("step-00000006", &place.at(NEWEST))
    };
    "samples is a link": |place| link("../outside/folder", &place.at("run/samples"));
    "checkpoints is a link": |place| {
        fs::rename(place.at("run/checkpoints"), place.at("outside/checkpoints"))?;
        link("../outside/checkpoints", &place.at("run/checkpoints"))
    };
    "a future grid is a link": |place| link("../../outside/file", &place.at("run/samples/step-00000007-ema.png"));
    "an event file is a link": |place| link("../outside/file", &place.at("run/events.out.tfevents.1.ddpm.1"));
    "an event file is a pipe": |place| pipe(&place.at("run/events.out.tfevents.1.ddpm.1"));
    "an event file of 1 TB": |place| sparse(&place.at("run/events.out.tfevents.1.ddpm.1"), 1 << 40);
    "leftovers are links": |place| {
        link("../../outside/folder", &place.at("run/checkpoints/.tmp-1-step-00000009"))?;
        link("../outside/file", &place.at("run/.metrics.jsonl.1-0.tmp"))
    };
    "a state of another type": |place| {
        fs::write(place.at(&format!("{NEWEST}/state.json")), "[[1e999, {\"step\": -1}]]")?;
        seal(place)
    };
    "a state with endless numbers": |place| {
        let path = place.at(&format!("{NEWEST}/state.json"));
        let mut state: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let passed: Vec<u64> = (0..100_000).collect();
        state["recovery"]["passed_over"] = serde_json::json!(passed);
        state["recovery"]["rollbacks"] = serde_json::json!(u32::MAX);
        fs::write(&path, serde_json::to_vec(&state)?)?;
        seal(place)
    };
};

/// Replaces a file or a folder by a link.
fn link(target: &str, path: &Path) -> anyhow::Result<()> {
    remove(path)?;
    symlink(target, path).with_context(|| path.display().to_string())
}

fn pipe(path: &Path) -> anyhow::Result<()> {
    remove(path)?;
    ensure!(Command::new("mkfifo").arg(path).status()?.success(), "mkfifo {}", path.display());
    Ok(())
}

/// A sparse file of zeros.
fn sparse(path: &Path, bytes: u64) -> anyhow::Result<()> {
    remove(path)?;
    Ok(File::create(path)?.set_len(bytes)?)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(fs::remove_dir_all(path)?),
        Ok(_) => Ok(fs::remove_file(path)?),
        Err(_) => Ok(()),
    }
}

/// Changes the configuration of the run and of its newest checkpoint.
fn config(place: &Place, changes: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut changed = String::from_utf8(place.read("run/config.toml")?)?;
    for (from, to) in changes {
        ensure!(changed.contains(from), "config.toml has no {from:?}");
        changed = changed.replacen(from, to, 1);
    }
    text(place, &changed)
}

fn data_source(place: &Place, source: &str) -> anyhow::Result<()> {
    let before = String::from_utf8(place.read("run/config.toml")?)?;
    let line =
        before.lines().find(|line| line.starts_with("source = ")).context("config.toml has no source")?;
    config(place, &[(line, &format!("source = \"{source}\""))])
}

fn text(place: &Place, text: &str) -> anyhow::Result<()> {
    fs::write(place.at("run/config.toml"), text)?;
    fs::write(place.at(&format!("{NEWEST}/config.toml")), text)?;
    seal(place)
}

fn manifest(place: &Place, change: impl Fn(&mut Vec<Value>)) -> anyhow::Result<()> {
    let path = place.at(&format!("{NEWEST}/manifest.json"));
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path)?)?;
    change(manifest["files"].as_array_mut().context("no files")?);
    Ok(fs::write(&path, serde_json::to_vec(&manifest)?)?)
}

/// Makes the manifest of the newest checkpoint match its files, as an attacker would.
fn seal(place: &Place) -> anyhow::Result<()> {
    manifest(place, |files| {
        for entry in files {
            let name = entry["name"].as_str().unwrap_or_default();
            let bytes = place.read(&format!("{NEWEST}/{name}")).unwrap_or_default();
            let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            (entry["bytes"], entry["sha256"]) = (bytes.len().into(), hash.into());
        }
    })
}

/// Makes it match only the sizes, for files too large to hash.
fn seal_sizes(place: &Place) -> anyhow::Result<()> {
    manifest(place, |files| {
        for entry in files {
            let name = entry["name"].as_str().unwrap_or_default();
            let length = fs::metadata(place.at(&format!("{NEWEST}/{name}"))).map_or(0, |found| found.len());
            entry["bytes"] = length.into();
        }
    })
}
