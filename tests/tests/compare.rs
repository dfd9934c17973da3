//! End-to-end tests of `ddpm compare`.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use image::ImageFormat;
use serde_json::{Value, json};
use tests::{Place, data, trained};

/// Three runs: `run`, `other` with the same images and other training, and `colour` with other images.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare"));
        for n in 0..8 {
            let file = data::colour_file(n, (16, 16), ImageFormat::Png).expect("an image");
            place.write(&format!("photos/{n}.png"), file).expect("an image");
        }
        let train = "train --preset tiny-16 --set train.steps=4 --set train.batch=4 --set sample.count=1 \
                     --set sample.steps=1 --set train.log_every=1 --set precision=f32";
        for line in ["--run other --set data.limit=40 --seed 5", "--run colour --data photos"] {
            let line = line.replace("--seed 5", "--set seed=5 --set train.lr=0.0001");
            let _ = place.ddpm(&format!("{train} {line}")).expect("the built program").ok();
        }
        for (run, n, fd) in [("run", 100, 3.0), ("other", 100, 2.0), ("colour", 90, 1.0)] {
            let metric = json!({ "name": "fd", "title": "FD", "reference": "train", "value": fd, "low": fd - 0.5,
                                 "high": fd + 0.5, "better": "lower" });
            let evaluation = json!({ "n": n, "step": 4, "metrics": [metric] });
            place.write(&format!("{run}/evaluations/step-00000004.json"), evaluation.to_string()).expect("a file");
        }
        place
    })
}

const FILES: [&str; 3] = ["01-loss.png", "02-samples.png", "compare.html"];

fn said(line: &str) -> anyhow::Result<Value> {
    Ok(place().ddpm(&format!("compare {line} --count 4 --steps 4 --json"))?.json())
}

#[test]
fn runs_stand_beside_each_other() -> anyhow::Result<()> {
    let place = place();
    let said = said("run other --seed 3 --out pair")?;
    ensure!(place.names("pair") == FILES, "{:?}", place.names("pair"));
    ensure!(said["figures"] == json!(FILES[..2]) && said["page"] == "pair/compare.html", "{said}");
    let runs = said["runs"].as_array().context("runs")?;
    ensure!(runs.iter().map(|run| &run["name"]).eq([&json!("run"), &json!("other")]), "{said}");
    ensure!((&runs[0]["step"], &runs[1]["step"]) == (&json!(6), &json!(4)), "{said}");
    ensure!((&runs[0]["images_seen"], &runs[1]["images_seen"]) == (&json!(48.0), &json!(16.0)), "{said}");
    let keys = said["differences"].as_object().context("differences")?;
    ensure!(keys["train.lr"].as_array().is_some_and(|values| values.len() == 2), "{said}");
    ensure!(
        keys["seed"][1] == "5" && !keys.contains_key("id") && !keys.contains_key("data.source"),
        "{said}"
    );

    let html = String::from_utf8(place.read("pair/compare.html")?)?;
    // The better one is marked, with the interval.
    for part in [
        "<td>FD</td><td>train</td><td>lower</td><td>3 (2.5 to 3.5)</td><td>2 (1.5 to 2.5) ★</td>",
        "<td>images seen</td><td>48</td><td>16</td>",
        "<td>seed</td>",
        "dpmpp-2m, 4 steps, seed 3.",
    ] {
        ensure!(html.contains(part), "{part} is not in the page");
    }
    for foreign in ["http:", "https:", "@import", "<link"] {
        ensure!(!html.contains(foreign), "the page has {foreign}");
    }
    // Metrics of the sixth step are not those of the fourth.
    ensure!(html.contains("run: the metrics are of step 4, the samples of step 6."));

    // The same call gives the same pictures; another seed gives other samples.
    self::said("run other --seed 3 --out again")?;
    self::said("run other --seed 4 --out else")?;
    for name in &FILES[..2] {
        ensure!(place.read(&format!("pair/{name}"))? == place.read(&format!("again/{name}"))?, "{name}");
    }
    ensure!(place.read("pair/02-samples.png")? != place.read("else/02-samples.png")?);
    Ok(())
}

/// Compares a run with itself: only the noise could differ.
#[test]
fn all_runs_start_from_the_same_noise() -> anyhow::Result<()> {
    let said = said("run run --out twice")?;
    ensure!(said["differences"] == json!({}), "{said}");
    ensure!(said["runs"][1]["name"] == "run (2)", "{said}");
    let picture = image::load_from_memory(&place().read("twice/02-samples.png")?)?.to_rgb8();
    // Grids of 2 x 2 images of 16 pixels, enlarged 8 times, are 704 pixels apart.
    let (left, top, side, apart) = (32, 170, 120, 704);
    let mut values = std::collections::BTreeSet::new();
    for (y, x) in (top..top + side).flat_map(|y| (left..left + 2 * side).map(move |x| (y, x))) {
        let (a, b) = (picture.get_pixel(x, y), picture.get_pixel(x + apart, y));
        ensure!(a == b, "{x}, {y}: {a:?} and {b:?}");
        values.insert(a.0);
    }
    ensure!(values.len() > 20, "expected images there, found: {values:?}");
    Ok(())
}

#[test]
fn runs_that_differ_in_shape_are_shown_and_told_apart() -> anyhow::Result<()> {
    let said = said("run colour other --out three")?;
    let notes: Vec<&str> =
        said["notes"].as_array().context("notes")?.iter().filter_map(Value::as_str).collect();
    let noted = |words: &str| notes.iter().any(|note| note.contains(words));
    ensure!(noted("(run 16x16x1, colour 16x16x3, other 16x16x1)"), "{notes:?}");
    ensure!(noted("the evaluations differ in samples."), "{notes:?}");
    ensure!(
        noted("The losses measure different things, since the runs differ in images.sha256."),
        "{notes:?}"
    );
    let html = String::from_utf8(place().read("three/compare.html")?)?;
    ensure!(!html.contains("★</td>"), "values that cannot be compared should have no best mark");
    Ok(())
}

#[test]
fn a_run_without_log_or_evaluation_is_compared_all_the_same() -> anyhow::Result<()> {
    let place = Place::new()?;
    for name in ["run", "other"] {
        let from = self::place().at(name);
        let status = std::process::Command::new("cp").arg("-r").arg(from).arg(place.at(name)).status()?;
        ensure!(status.success(), "cp: {status}");
        std::fs::remove_file(place.at(&format!("{name}/metrics.jsonl")))?;
    }
    place.write("run/evaluations/step-00000004.json", "no JSON")?;
    std::fs::remove_dir_all(place.at("other/evaluations"))?;
    let output = place.ddpm("compare run other --count 2 --steps 2 --out out --json")?;
    ensure!(
        output.stderr.contains("run/evaluations/step-00000004.json: not an evaluation"),
        "{}",
        output.stderr
    );
    let said = output.json();
    ensure!(said["figures"] == json!(["02-samples.png"]), "{said}");
    ensure!(said["runs"][0]["metrics"].is_null() && said["runs"][0]["training_seconds"].is_null(), "{said}");
    ensure!(place.names("out") == FILES[1..], "{:?}", place.names("out"));
    Ok(())
}
