//! Run folders: which are found, what prevents reading one, and who owns them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::time::Duration;

use tests::Place;

const TRAIN: &str = "train --preset tiny-16 --set train.batch=2 --set data.limit=10 --set sample.count=2 \
                     --set sample.steps=2 --set precision=f32";

/// A run stopped before its first log line: it has a checkpoint and no `metrics.jsonl`.
#[test]
fn a_run_that_has_logged_nothing_is_found() {
    let place = Place::new().unwrap();
    let _ = place.ddpm(&format!("{TRAIN} --set train.steps=2 --run runs/a")).unwrap().ok();
    fs::remove_file(place.at("runs/a/metrics.jsonl")).unwrap();
    // A newer run without a checkpoint is not a model yet.
    fs::create_dir_all(place.at("runs/b/checkpoints")).unwrap();
    fs::copy(place.at("runs/a/config.toml"), place.at("runs/b/config.toml")).unwrap();
    let said = place.ddpm("sample --count 1 --sampler ddim --steps 2 --out out").unwrap().ok();
    assert!(said.stderr.contains("using runs/a"), "{}", said.stderr);
    fs::remove_dir_all(place.at("runs/b")).unwrap();
    let said = place.ddpm("train --resume --set train.steps=3 --json").unwrap().json();
    assert_eq!((&said["run"], &said["steps"]), (&"runs/a".into(), &3.into()));
}

/// As the launcher of a package starts it: the model beside the program is used where there are no runs.
#[test]
fn a_package_uses_its_own_model_until_there_is_a_run() {
    let place = Place::new().unwrap();
    let _ = place.ddpm(&format!("{TRAIN} --set train.steps=1 --run elsewhere")).unwrap().ok();
    let model = place.at("elsewhere/checkpoints/step-00000001");
    let started = |line: &str| {
        let line = format!("{line} --device cpu --threads 1");
        let output = place.command(&line).unwrap().env("DDPM_MODEL", &model).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let sample = "sample --count 1 --sampler ddim --steps 2 --out out";
    let (code, said) = started(sample);
    assert!(code == Some(0) && said.contains("elsewhere/checkpoints/step-00000001"), "{said}");
    assert!(place.at("out/grid.png").is_file());
    // A single checkpoint has no best one.
    let (code, said) = started(&format!("{sample} --best"));
    assert!(code == Some(1) && said.contains("no run in runs"), "{said}");
    let _ = place.ddpm(&format!("{TRAIN} --set train.steps=1 --run runs/mine")).unwrap().ok();
    let (code, said) = started(sample);
    assert!(code == Some(0) && said.contains("using runs/mine"), "{said}");
}

/// A folder, a loop and a pipe in place of a file act like missing permission, which does not stop root.
#[test]
fn what_cannot_be_read_stops_the_run_and_stays_where_it_is() {
    let place = Place::new().unwrap();
    let train = format!("{TRAIN} --set train.checkpoint_every=1 --set train.steps=2 --run run");
    let _ = place.ddpm(&train).unwrap().ok();
    let file = "run/checkpoints/step-00000002/ema.safetensors";
    fs::rename(place.at(file), place.at("kept")).unwrap();
    for way in ["mkdir", "ln -s ema.safetensors", "mkfifo"] {
        let mut words = way.split(' ');
        let mut command = std::process::Command::new(words.next().unwrap());
        assert!(command.args(words).arg(place.at(file)).status().unwrap().success());
        for line in ["train --resume --run run --set train.steps=3", "sample --run run --count 1 --out out"] {
            let output = place.ddpm(line).unwrap().expect_code(6);
            let errors = output.errors();
            assert!(
                errors.len() == 1 && errors[0].contains(&format!("{file}: cannot be read")),
                "{way}: {errors:?}"
            );
        }
        assert_eq!(place.names("run/checkpoints"), ["step-00000001", "step-00000002"], "{way}");
        std::process::Command::new("rm").arg("-r").arg(place.at(file)).status().unwrap();
    }
    fs::rename(place.at("kept"), place.at(file)).unwrap();
    let said = place.ddpm("train --resume --run run --set train.steps=3 --json").unwrap().json();
    assert_eq!(said["steps"], 3);
}

#[test]
fn a_folder_made_anew_belongs_to_the_new_process() {
    let place = Place::new().unwrap();
    let line = format!("{TRAIN} --set train.log_every=1 --set train.sample_every=0 --run run");
    let mut old = place.start(&format!("{line} --set train.steps=1000000")).unwrap();
    fs::create_dir_all(place.at("run")).unwrap();
    old.wait_for_more(&place.at("run/metrics.jsonl")).unwrap();
    fs::rename(place.at("run"), place.at("moved")).unwrap();
    let _ = place.ddpm(&format!("{line} --set train.steps=2")).unwrap().ok();
    let ended = old.wait_within(Duration::from_secs(60)).unwrap().expect_code(6);
    assert!(ended.errors().last().unwrap().contains("removed or replaced"), "{}", ended.stderr);
    let log = String::from_utf8(place.read("run/metrics.jsonl").unwrap()).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    assert_eq!(place.names("run/checkpoints"), ["step-00000002"]);
}

#[test]
fn a_run_of_other_images_asks_for_them() {
    let place = Place::new().unwrap();
    for n in 0..3_u8 {
        let path = place.write(&format!("mine/{n}.png"), "").unwrap();
        image::GrayImage::from_pixel(16, 16, image::Luma([40 * n])).save(path).unwrap();
    }
    let line =
        format!("{} --data mine --set train.steps=1 --run run", TRAIN.replace("--set data.limit=10", ""));
    let _ = place.ddpm(&line).unwrap().ok();
    let vary = "edit vary --run run --index 0 --t-start 1 --count 1 --sampler ddim --out out";
    let _ = place.ddpm(vary).unwrap().ok();
    // As on another machine, where the path has other images.
    image::GrayImage::from_pixel(16, 16, image::Luma([200])).save(place.at("mine/0.png")).unwrap();
    let output = place.ddpm(vary).unwrap().expect_code(4);
    assert!(output.errors()[0].contains("--data"), "{}", output.stderr);
    let _ = place.ddpm(&format!("{vary} --data mine")).unwrap().ok();
    let figures = "figures --run run --only 1,2 --quick --out report";
    let said = place.ddpm(figures).unwrap().ok();
    assert!(
        said.stderr.contains("--data") && !place.at("report/02-forward-process.png").exists(),
        "{}",
        said.stderr
    );
    let _ = place.ddpm(&format!("{figures} --data mine")).unwrap().ok();
    assert!(place.names("report").iter().any(|name| name.starts_with("02-")), "{:?}", place.names("report"));
}

#[test]
fn nothing_printed_controls_the_terminal() {
    let place = Place::new().unwrap();
    let evil = "\u{1b}]52;c;eA==\u{7}\u{9b}\u{202e}";
    for line in ["inspect checkpoint", "sample --device", "train --preset", "sample --count", "inspect data"]
    {
        let mut command = place.command(line).unwrap();
        let output = command.arg(evil).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // Text that a terminal would obey may be left out; the rest is printed.
        assert!(said.contains("u202e") || said.contains("u{202e}"), "{line}: {said:?}");
        let raw = said.chars().find(|&c| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert_eq!(raw, None, "{line}: {said:?}");
    }
}
