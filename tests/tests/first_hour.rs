//! A user's first hour with own photos: what there is, what will happen, train, stop, move the photos, continue, sample by
//! class, edit, evaluate, export, package, and use the model in another folder.

use std::process::Command;

use anyhow::ensure;
use image::ImageFormat;
use tests::packages::{path_with_pytorch, xtask};
use tests::{Place, data, program};

/// 58 photos in three folders, and two files that are none.
fn photos(place: &Place) -> anyhow::Result<()> {
    for (class, name) in ["cat", "dog", "hare"].into_iter().enumerate() {
        for n in 0..20 {
            let file = match (class, n) {
                (0, 7) => b"this is a text".to_vec(),
                (2, 3) => data::grey_file(n, (28, 28), ImageFormat::Png)?[..60].to_vec(),
                _ => data::grey_file(class * 100 + n, (28, 28), ImageFormat::Png)?,
            };
            place.write(&format!("photos/{name}/{n:02}.png"), file)?;
        }
    }
    Ok(())
}

/// What `cargo xtask package` makes of the run draws the same images by class in another folder, in an environment that
/// has a search path alone, with the libtorch of a PyTorch that pip installed.
fn use_packaged(place: &Place, draw: &str) -> anyhow::Result<()> {
    let program = program()?.display().to_string();
    xtask(place, &["package", "--run", "runs/pets", "--out", "package", "--program", &program])?;
    let elsewhere = Place::new()?;
    std::fs::rename(place.at("package"), elsewhere.at("package"))?;
    let mut command = Command::new(elsewhere.at("package/ddpm"));
    command
        .arg("sample")
        .args(draw.split_whitespace())
        .args(["--out", "samples"])
        .current_dir(elsewhere.path());
    command
        .args(["--device", "cpu", "--threads", "1"])
        .env_clear()
        .env("PATH", path_with_pytorch(&elsewhere)?);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(elsewhere.read("samples/samples.npz")? == place.read("out/same/samples.npz")?);
    Ok(())
}

#[test]
fn a_first_hour_with_own_photos() -> anyhow::Result<()> {
    let place = Place::new()?;
    photos(&place)?;

    // The broken files are both named before anything starts.
    let refused = place.ddpm("train --data photos --dry-run")?;
    ensure!(refused.code == Some(4), "{}", refused.stderr);
    ensure!(
        refused.stderr.contains("cat/07.png") && refused.stderr.contains("hare/03.png"),
        "{}",
        refused.stderr
    );
    let settings = "--preset tiny-16 --set data.size=28 --set model.image_size=28 --set model.attention_resolutions=[14] --set model.base_channels=8 --set \
                    model.groups=4 --set train.batch=4 --set train.steps=60 --set train.checkpoint_every=20 --set train.log_every=2 \
                    --set sample.count=2 --set sample.steps=2 --set precision=f32 --on-bad skip";
    let plan = place.ddpm(&format!("train --data photos {settings} --dry-run"))?.ok();
    for words in ["58", "3 classes", "model.classes=3"] {
        ensure!(
            plan.stdout.contains(words) || plan.stderr.contains(words),
            "{words}: {}{}",
            plan.stdout,
            plan.stderr
        );
    }
    ensure!(place.at("out/preview.png").is_file() && !place.at("runs").exists());

    // Train by class and stop.
    let train =
        format!("train {settings} --set model.classes=3 --set train.label_dropout=0.2 --run runs/pets");
    let mut running = place.start(&format!("{train} --data photos"))?;
    running.wait_for_more(&place.at("runs/pets/metrics.jsonl"))?;
    running.signal("INT")?;
    let stopped = running.wait()?.expect_code(130);
    ensure!(stopped.stderr.contains("run the same command to continue"), "{}", stopped.stderr);

    // The photos move, and the run goes on with them.
    std::fs::rename(place.at("photos"), place.at("pictures"))?;
    let _ = place.ddpm(&format!("{train} --data pictures"))?.ok();

    // Sample by class, from the run that was trained last.
    let sampled = place.ddpm("sample --class dog,hare --count 4 --save grid,png,npz --out out/pets")?.ok();
    ensure!(sampled.stderr.contains("runs/pets"), "{}", sampled.stderr);
    ensure!(place.names("out/pets").len() == 6, "{:?}", place.names("out/pets"));
    let wrong = place.ddpm("sample --class horse --count 1")?;
    wrong.expect_refusal(&["horse", "cat", "dog", "hare"]);

    // Edit a photo.
    let vary = "edit vary --image pictures/cat/00.png --t-start 200 --count 2 --steps 4 --sampler ddim --out out/vary";
    let _ = place.ddpm(vary)?.ok();
    ensure!(
        place.names("out/vary/t-0200").contains(&"grid.png".to_owned()),
        "{:?}",
        place.names("out/vary/t-0200")
    );

    // Evaluate: the photos are of the size of the shipped features.
    let evaluated =
        place.ddpm("evaluate --n 40 --metrics fd,copying --sampler ddim --steps 2 --json")?.json();
    ensure!(evaluated["images"] == 40, "{evaluated}");

    // Export, and use the model where nothing else is.
    let _ = place.ddpm("export --out pets.safetensors")?.ok();
    let elsewhere = Place::new()?;
    elsewhere.write("pets.safetensors", place.read("pets.safetensors")?)?;
    let draw = "--class cat --count 2 --save npz --seed 3 --precision f32";
    let _ = elsewhere.ddpm(&format!("sample --model pets.safetensors {draw} --out samples"))?.ok();
    let _ = place.ddpm(&format!("sample {draw} --out out/same"))?.ok();
    ensure!(elsewhere.read("samples/samples.npz")? == place.read("out/same/samples.npz")?);
    if cfg!(target_os = "linux") {
        use_packaged(&place, draw)?;
    }
    Ok(())
}
