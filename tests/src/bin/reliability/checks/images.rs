//! A folder of images, some of them broken.

use std::fs;
use std::io::Cursor;
use std::process::Command;

use anyhow::{Context as _, ensure};
use image::ImageFormat;
use serde_json::Value;
use tests::{Place, data};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{PATIENCE, checkpoint, last_line};

pub(crate) const CHECK: Check = Check {
    name: "images",
    goal: "broken images are found at the start",
    meaning: "A folder of small PNG files contains broken files of every kind: empty, truncated, with a \
              wrong checksum, text named .jpg, a HEIC photo, one of 50,000 x 50,000 pixels, dangling and \
              looping links, a pipe that nobody writes to. Training must end with exit code 4 before its \
              first step and list each of them with its reason. With `--on-bad skip` it must train on \
              exactly the others.",
    run,
};

const TRAIN: &str = "train --run run --preset tiny-16 --data images --set train.steps=2 --set train.batch=2 \
                     --set sample.count=2 --set sample.steps=2 --set precision=f32";

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let place = context.place()?;
    let sound = context.count(200, 1000);
    for n in 0..sound {
        let file = data::grey_file(n as usize, (16, 16), ImageFormat::Png)?;
        place.write(&format!("images/{n:04}.png"), file)?;
    }
    let broken = break_some(&place)?;
    let mut complaints = Vec::new();

    let refused = place.start(TRAIN)?.wait_within(PATIENCE)?;
    if refused.code != Some(4) {
        complaints.push(format!(
            "expected exit code 4, found {:?}: {}",
            refused.shell_code(),
            last_line(&refused)
        ));
    }
    if place.at("run/metrics.jsonl").exists() {
        complaints.push("it trained before it refused".to_owned());
    }
    // A reason is more than the file name.
    let told = |name: &&String| {
        let line = refused.stderr.lines().find(|line| line.contains(name.as_str()));
        line.and_then(|line| line.split_once(name.as_str())).is_some_and(|(_, reason)| reason.len() > 10)
    };
    let (listed, silent): (Vec<&String>, Vec<&String>) = broken.iter().partition(told);
    if !silent.is_empty() {
        complaints.push(format!("not listed with a reason: {silent:?}"));
    }
    let used = skipping(&place).unwrap_or_else(|error| {
        complaints.push(format!("--on-bad skip: {error:#}"));
        0
    });
    if used != sound && used > 0 {
        complaints.push(format!("--on-bad skip: trained on {used} images, of which {sound} are sound"));
    }
    Ok(Outcome {
        tried: broken.len() as u64,
        survived: listed.len() as u64,
        figure: format!("{} of {} listed; trained on {used} of {sound} others", listed.len(), broken.len()),
        complaints,
    })
}

/// The number of images used by a training that skips the broken ones.
fn skipping(place: &Place) -> anyhow::Result<u64> {
    let output = place.start(&format!("{TRAIN} --on-bad skip"))?.wait_within(PATIENCE)?;
    ensure!(output.code == Some(0), "exit code {:?}: {}", output.shell_code(), last_line(&output));
    let said = place.run(&format!("inspect checkpoint {} --json --device cpu", checkpoint(2)))?;
    let said: Value = serde_json::from_str(&said.stdout).context("inspect checkpoint --json")?;
    said["config"]["images"]["count"].as_u64().context("no images.count in the configuration")
}

/// Adds broken files to `images`; returns their names.
fn break_some(place: &Place) -> anyhow::Result<Vec<String>> {
    let encoded = |format| data::grey_file(3, (16, 16), format);
    let colour = |format| data::colour_file(3, (64, 64), format);
    let cut = |bytes: &[u8], keep: usize| bytes[..keep.min(bytes.len())].to_vec();
    let png = encoded(ImageFormat::Png)?;
    let jpeg = colour(ImageFormat::Jpeg)?;
    let webp = colour(ImageFormat::WebP)?;
    let bmp = colour(ImageFormat::Bmp)?;
    let tiff = colour(ImageFormat::Tiff)?;
    let mut wrong_checksum = png.clone();
    // The last 16 bytes are the checksum of the pixels and the end chunk.
    let at = png.len() - 16;
    wrong_checksum[at] ^= 0xff;
    let files = [
        ("empty.png", Vec::new()),
        ("cut-jpeg.jpg", cut(&jpeg, jpeg.len() / 3)),
        ("cut-png.png", cut(&png, png.len() / 2)),
        ("wrong-checksum.png", wrong_checksum),
        ("text.jpg", b"these are words and no photograph".to_vec()),
        ("cut-gif.gif", cut(&animation()?, 30)),
        ("cut-tiff.tif", cut(&tiff, tiff.len() / 2)),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec()),
        ("huge.png", huge_png()),
        ("cut-webp.webp", cut(&webp, webp.len() / 2)),
        ("cut-bmp.bmp", cut(&bmp, bmp.len() / 2)),
    ];
    let mut names = Vec::new();
    for (name, bytes) in files {
        place.write(&format!("images/{name}"), bytes)?;
        names.push(name.to_owned());
    }
    // These need a command. There is no unreadable file, since root can read everything.
    for (name, words) in [
        ("dangling.png", ["ln", "-s", "nowhere.png"].as_slice()),
        ("circle.png", ["ln", "-s", "circle.png"].as_slice()),
        ("pipe.png", ["mkfifo"].as_slice()),
    ] {
        let mut command = Command::new(words[0]);
        let status = command.args(&words[1..]).arg(name).current_dir(place.at("images")).status()?;
        ensure!(status.success(), "{words:?} {name}: {status}");
        names.push(name.to_owned());
    }
    ensure!(fs::read_dir(place.at("images"))?.count() > names.len(), "no valid images");
    Ok(names)
}

/// An animated GIF.
fn animation() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    {
        let mut encoder = gif::Encoder::new(Cursor::new(&mut bytes), 16, 16, &[0, 0, 0, 255, 255, 255])?;
        for shade in [0, 1] {
            encoder.write_frame(&gif::Frame::from_indexed_pixels(16, 16, vec![shade; 256], None))?;
        }
    }
    Ok(bytes)
}

/// The beginning of a PNG file of 50,000 x 50,000 pixels.
fn huge_png() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(50_000_u32.to_be_bytes());
    header.extend(50_000_u32.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    let chunk = |body: &[u8]| {
        let mut chunk = ((body.len() - 4) as u32).to_be_bytes().to_vec();
        chunk.extend(body);
        let mut checksum = flate2::Crc::new();
        checksum.update(body);
        chunk.extend(checksum.sum().to_be_bytes());
        chunk
    };
    let nothing = [b"IDAT".as_slice(), &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(&header), chunk(&nothing), chunk(b"IEND")].concat()
}
