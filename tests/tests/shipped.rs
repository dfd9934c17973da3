//! The model that is built into the program: used where there is no run and no flag names a model, and by its name.

use anyhow::{Context, ensure};
use ndarray::ArrayD;
use serde_json::Value;
use tests::{Place, arrays};

/// What is said where the model is used without being asked for.
const NOTICE: &str = "no run found in runs/; using the shipped model fashion-28 (10 classes, 28x28 images)";

/// The images and labels of a sampling into this folder.
fn drawn(place: &Place, folder: &str) -> anyhow::Result<(ArrayD<f64>, Vec<f64>)> {
    let mut found = arrays::read_npz(&place.read(&format!("{folder}/samples.npz"))?)?;
    let labels = found.remove("labels").context("labels")?.into_iter().collect();
    Ok((found.remove("images").context("images")?, labels))
}

#[test]
fn without_a_run_it_draws_every_class_and_says_so() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = "sample --class all --count 20 --steps 2 --save npz,png";
    let said = place.ddpm(&format!("{line} --out default"))?.ok();
    let lines: Vec<&str> = said.stderr.lines().filter(|line| line.contains("shipped")).collect();
    ensure!(lines.len() == 1 && lines[0].ends_with(NOTICE), "{}", said.stderr);
    let (images, labels) = drawn(&place, "default")?;
    ensure!(images.shape() == [20, 28, 28, 1], "{:?}", images.shape());
    ensure!(labels == (0..20_u8).map(|n| f64::from(n % 10)).collect::<Vec<_>>(), "{labels:?}");
    ensure!(place.names("default").iter().any(|name| name.starts_with("00007-sneaker")));

    // By its name it is the same model, and there is nothing to say.
    let said = place.ddpm(&format!("{line} --model shipped --out named --json"))?.ok();
    ensure!(!said.stderr.contains("no run found"), "{}", said.stderr);
    let summary: Value = serde_json::from_str(&said.stdout)?;
    ensure!(summary["checkpoint"] == "shipped" && summary["images"] == 20, "{summary}");
    ensure!(place.read("named/samples.npz")? == place.read("default/samples.npz")?);
    let quiet = place.ddpm("sample --count 1 --steps 1 --out quiet --quiet")?.ok();
    ensure!(quiet.stderr.is_empty(), "{}", quiet.stderr);

    let wrong = place.ddpm("sample --class horse --count 1 --out none")?.expect_code(2);
    let error = wrong.errors().last().copied().unwrap_or_default().to_owned();
    ensure!(error.contains("--class horse") && error.contains("Trouser"), "{error}");
    Ok(())
}

#[test]
fn its_samples_are_garments() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _ = place.ddpm("sample --class trouser,bag --count 16 --save npz --out out")?.ok();
    let (images, labels) = drawn(&place, "out")?;
    // Trousers leave the left and right edges black, and bags fill the width: noise would do neither.
    let light = |class: f64, columns: std::ops::Range<usize>| {
        let own: Vec<f64> = labels
            .iter()
            .enumerate()
            .filter(|(_, label)| **label == class)
            .flat_map(|(n, _)| columns.clone().map(move |x| (n, x)))
            .flat_map(|(n, x)| (0..28).map(move |y| (n, y, x)))
            .map(|(n, y, x)| images[[n, y, x, 0]])
            .collect();
        own.iter().sum::<f64>() / own.len() as f64
    };
    let (edge, middle) = (light(1.0, 0..4), light(1.0, 10..18));
    ensure!(edge < 15.0 && middle > 60.0, "trousers: {edge} at the edge, {middle} in the middle");
    ensure!(light(8.0, 10..18) > 60.0, "bags: {}", light(8.0, 10..18));
    Ok(())
}

#[test]
fn every_command_that_needs_a_network_takes_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    for line in [
        "edit vary --index 0 --t-start 100 --steps 2 --count 2 --out edited",
        "evaluate --n 24 --steps 2 --metrics copying --out evaluated",
        "figures --only 1,7 --quick --samples 4 --steps 2 --out figures",
        "export --out again.safetensors --dtype f16",
    ] {
        let said = place.ddpm(line)?.ok();
        ensure!(said.stderr.matches(NOTICE).count() == 1, "ddpm {line}: {}", said.stderr);
    }
    ensure!(place.names("figures") == ["01-schedules.png", "07-samples.png", "dark", "report.html"]);
    let evaluated: Value = serde_json::from_slice(&place.read("evaluated/evaluation.json")?)?;
    // The embedded images are some of those it was trained on.
    ensure!(
        evaluated["references"][0]["data"] == "fashion-mnist"
            && evaluated["what"].as_str().is_some_and(|what| what.starts_with("shipped, step ")),
        "{evaluated}"
    );
    // It starts a training, and is recorded by its name.
    let train = "train --init-from shipped --run tuned --set data.limit=16 --set train.steps=1 --set train.batch=4 \
                 --set sample.count=1 --set sample.steps=1";
    let _ = place.ddpm(train)?.ok();
    let config = String::from_utf8(place.read("tuned/config.toml")?)?;
    ensure!(config.contains("from = \"shipped\""), "{config}");
    let said = place.ddpm("inspect model --model shipped --json")?.json();
    ensure!(said.is_object(), "{said}");
    Ok(())
}

#[test]
fn a_run_and_an_own_folder_come_first() -> anyhow::Result<()> {
    let place = Place::new()?;
    let train = "train --preset tiny-16 --set train.batch=2 --set data.limit=10 --set train.steps=1 --set sample.count=1 \
                 --set sample.steps=1 --set precision=f32";
    // A folder of the same name is a path.
    let _ = place.ddpm(&format!("{train} --run shipped"))?.ok();
    let sample = "sample --count 1 --steps 2 --out out --json";
    ensure!(place.ddpm(&format!("{sample} --model shipped"))?.json()["checkpoint"] == "shipped");
    let said = place.ddpm(&format!("{sample} --model ./shipped/checkpoints/step-00000001"))?.json();
    ensure!(said["checkpoint"] == "./shipped/checkpoints/step-00000001", "{said}");
    // A run without a checkpoint is still a run.
    std::fs::create_dir_all(place.at("runs/begun/checkpoints"))?;
    std::fs::copy(place.at("shipped/config.toml"), place.at("runs/begun/config.toml"))?;
    let said = place.ddpm(sample)?.expect_code(1);
    ensure!(said.stderr.contains("no checkpoint yet"), "{}", said.stderr);
    let _ = place.ddpm(&format!("{train} --run runs/mine"))?.ok();
    let said = place.ddpm(sample)?.ok();
    ensure!(
        said.stderr.contains("using runs/mine") && !said.stderr.contains("shipped model"),
        "{}",
        said.stderr
    );
    // What belongs to runs alone does not fall back to it.
    let empty = Place::new()?;
    for line in ["sample --best --out out", "train --resume", "ema --sigma-rel 0.1 --out out"] {
        let said = empty.ddpm(line)?.expect_code(1);
        ensure!(said.errors()[0].contains("no run in runs"), "ddpm {line}: {}", said.stderr);
    }
    Ok(())
}
