//! Images that are not kept in memory train the same network as images that are, and runs on them resume.

use anyhow::ensure;
use image::ImageFormat;
use tests::{Place, data};

const TRAIN: &str = "train --preset tiny-16 --set train.batch=4 --set sample.count=2 --set sample.steps=2 \
                     --set train.log_every=1 --set train.lr_decay=constant --set precision=f32 --set train.jitter=0.2 \
                     --set data.order=blocks --set data.shuffle_buffer=300";
/// Decoded, so many images of 16x16 pixels take more than a MiB.
const COUNT: usize = 1400;
const STREAM: &str = "--set data.memory=1";
const KEEP: &str = "--set data.memory=2";
const SHARDS: &str = "set-{0..2}.tar";

/// Three shards of images with classes.
fn shards(place: &Place) -> anyhow::Result<()> {
    let each = COUNT.div_ceil(3);
    for shard in 0..3 {
        let mut files = Vec::new();
        for n in shard * each..COUNT.min((shard + 1) * each) {
            files.push((format!("{n:05}.cls"), (n % 3).to_string().into_bytes()));
            files.push((format!("{n:05}.png"), data::colour_file(n, (16, 16), ImageFormat::Png)?));
        }
        let files: Vec<(&str, Vec<u8>)> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        place.write(&format!("set-{shard}.tar"), data::tar("set", &files))?;
    }
    Ok(())
}

fn weights(steps: u64) -> String {
    format!("run/checkpoints/step-{steps:08}/ema.safetensors")
}

#[test]
fn streamed_images_train_the_same_network() -> anyhow::Result<()> {
    let (streamed, kept) = (Place::new()?, Place::new()?);
    let mut configs = Vec::new();
    for (place, memory) in [(&streamed, STREAM), (&kept, KEEP)] {
        shards(place)?;
        let _ = place.ddpm(&format!("{TRAIN} --data {SHARDS} {memory} --set train.steps=6 --run run"))?.ok();
        configs.push(place.run("inspect checkpoint run --json")?.json()["config"].clone());
    }
    ensure!(streamed.sha256(&weights(6))? == kept.sha256(&weights(6))?, "the weights differ");
    let hash = |place: usize| configs[place]["images"]["sha256"].as_str().unwrap_or_default().to_owned();
    ensure!(hash(0).starts_with("index:") && !hash(1).starts_with("index:"), "{} {}", hash(0), hash(1));
    ensure!(configs[0]["images"]["count"] == COUNT, "{configs:?}");

    // A run continues with the next image, streamed or not, wherever the shards are now.
    let _ = streamed.ddpm(&format!("{TRAIN} --data {SHARDS} {STREAM} --set train.steps=3 --run run-1"))?.ok();
    std::fs::create_dir(streamed.at("moved"))?;
    for shard in 0..3 {
        let name = format!("set-{shard}.tar");
        std::fs::rename(streamed.at(&name), streamed.at("moved").join(&name))?;
    }
    for (steps, memory) in [(4, STREAM), (5, KEEP), (6, STREAM)] {
        let line = format!("train --run run-1 --resume --data moved {memory} --set train.steps={steps}");
        let _ = streamed.ddpm(&line)?.ok();
    }
    let resumed = weights(6).replacen("run/", "run-1/", 1);
    ensure!(streamed.sha256(&resumed)? == kept.sha256(&weights(6))?, "the resumed weights differ");

    // Other images are not accepted.
    streamed.write("moved/set-1.tar", streamed.read("moved/set-0.tar")?)?;
    let line = format!("train --run run-1 --resume --data moved {STREAM} --set train.steps=7");
    let said = streamed.ddpm(&line)?.expect_code(4);
    ensure!(said.stderr.contains("these are not the images"), "{}", said.stderr);
    Ok(())
}

#[test]
fn commands_report_that_images_are_streamed() -> anyhow::Result<()> {
    let place = Place::new()?;
    shards(&place)?;
    let said = place.run(&format!("inspect data --data {SHARDS} {STREAM} --json"))?.json();
    ensure!(said["images"] == COUNT && said["streamed"] == true && said["decoded"] == COUNT, "{said}");
    let classes = said["classes"].as_array().map(Vec::len);
    ensure!(classes == Some(3) && said["notes"].to_string().contains("decoded when it is needed"), "{said}");
    ensure!(said["images_per_s"].is_null(), "{said}");
    let blocks = "--set data.order=blocks --set data.shuffle_buffer=300 --rate";
    let rated = place.run(&format!("inspect data --data {SHARDS} {STREAM} {blocks} --json"))?.json();
    ensure!(rated["images_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{rated}");
    let kept = place.run(&format!("inspect data --data {SHARDS} {KEEP} --json"))?.json();
    ensure!(kept["streamed"] == false && kept["mean"] == said["mean"], "{kept} {said}");

    let line = format!("{TRAIN} --data {SHARDS} {STREAM} --set train.steps=9 --dry-run");
    let told = place.ddpm(&line)?.ok().stdout;
    for part in
        ["blocks of neighbouring images, 300 images at a time", "3 classes", "decoded when it is needed"]
    {
        ensure!(told.contains(part), "{part}: {told}");
    }
    // A buffer for more images than there are.
    let larger = line.replace("shuffle_buffer=300", "shuffle_buffer=10000");
    let told = place.ddpm(&larger)?.ok().stdout;
    ensure!(told.contains("neighbouring images, 1,400 images at a time"), "{told}");
    for (flags, words) in [
        ("--on-bad skip", &["leaving out unreadable images", "--set data.memory=2"][..]),
        ("--set data.order=images", &["data.shuffle_buffer", "data.order = blocks"]),
    ] {
        place.ddpm(&format!("{line} {flags}"))?.expect_refusal(words);
    }
    place.run("inspect data --data set-{0..3}.tar")?.expect_refusal(&["there is no file", "set-3.tar"]);
    place.run("inspect data --data set-0.tar:test")?.expect_refusal(&["expected a test part"]);
    Ok(())
}

/// `cargo xtask stream-demo` on 14 MB, which are more than a MiB as 16x16 pixels: written, trained on, killed, and measured.
#[cfg(target_os = "linux")]
#[test]
fn a_small_set_keeps_what_the_large_one_promises() -> anyhow::Result<()> {
    use anyhow::Context;
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new()?;
    let script = format!("#!/bin/sh\nexec \"{}\" \"$@\" --threads 1\n", tests::program()?.display());
    let stands_in = place.write("ddpm", script)?;
    std::fs::set_permissions(&stands_in, std::fs::Permissions::from_mode(0o755))?;
    let stands_in = stands_in.display().to_string();
    let line = "stream-demo --dir set --runs runs --out out --gb 0.014 --preset tiny-16 --steps 20 --rounds 1 --device cpu \
                --set precision=f32 --set train.batch=4 --threads 1 --seed 3 --program";
    let words: Vec<&str> = line.split_whitespace().chain([stands_in.as_str()]).collect();

    // What is no run is not replaced, and nothing is written.
    let photo = place.write("runs/killed/photo.png", "mine")?;
    let refused = tests::packages::xtask(&place, &words).err().context("it replaced a folder of photos")?;
    ensure!(refused.to_string().contains("found a folder that is not a run"), "{refused:#}");
    ensure!(place.read("runs/killed/photo.png")? == b"mine" && !place.at("set").exists(), "{refused:#}");
    std::fs::remove_file(photo)?;

    tests::packages::xtask(&place, &words)?;
    let said: serde_json::Value = serde_json::from_slice(&place.read("out/stream.json")?)?;
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    ensure!(number(&said["set"]["bytes"]) >= 1e7 && number(&said["set"]["images"]) > 3500.0, "{said}");
    let killed = said["killed_at"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(!killed.is_empty() && killed.iter().all(|step| (5.0..=20.0).contains(&number(step))), "{said}");
    ensure!(said["same_weights"] == true && number(&said["peak_bytes"]) > 1e7, "{said}");
    for rate in ["streamed_images_per_s", "in_memory_images_per_s"] {
        ensure!(number(&said[rate][0]) > 0.0 && said[rate][1].is_null(), "{said}");
    }
    let read = &said["read"];
    ensure!(read[0]["threads"] == 1 && number(&read[0]["images_per_s"]) > 0.0 && read[1].is_null(), "{said}");
    let table = String::from_utf8(place.read("out/stream.md")?)?;
    ensure!(table.contains("| the same bits | the same bits |"), "{table}");
    // The trainings on the set streamed it.
    let config = place.run("inspect checkpoint runs/streamed --json")?.json()["config"].clone();
    let hash = config["images"]["sha256"].as_str().unwrap_or_default();
    ensure!(hash.starts_with("index:"), "{hash}");
    Ok(())
}

/// The program of the tests is built without the feature `parquet`.
#[test]
fn parquet_is_refused_with_the_way_to_build_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("set/a.parquet", b"PAR1PAR1")?;
    for source in ["set", "set/a.parquet"] {
        let said = place.run(&format!("inspect data --data {source}"))?;
        said.expect_refusal(&["expected a build that reads Parquet", "--features parquet"]);
    }
    Ok(())
}

/// A shard that ends early or has a broken header is damaged, however it is read.
#[test]
fn damaged_shards_are_refused() -> anyhow::Result<()> {
    let place = Place::new()?;
    let files = [("0.png", data::colour_file(0, (16, 16), ImageFormat::Png)?)];
    let whole = data::tar("set", &files);
    let mut sum = whole.clone();
    sum[520] ^= 1;
    for (bytes, words) in [
        (whole[..whole.len() - 1024].to_vec(), "expected 512 more bytes"),
        (whole[..1100].to_vec(), "more bytes after 1024"),
        (sum, "a header with its checksum"),
    ] {
        place.write("set.tar", bytes)?;
        let said = place.run("inspect data --data set.tar")?.expect_code(4);
        ensure!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    Ok(())
}
