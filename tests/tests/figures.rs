//! End-to-end tests of the report with all its figures.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use serde_json::json;
use tests::{Place, trained};

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures")))
}

/// A run with classes, in the folder where runs are searched.
const CLASSES: &str = "train --preset tiny-16 --run runs/classes --set model.classes=10 --set train.label_dropout=0.2 \
                       --set train.steps=4 --set train.batch=8 --set data.limit=80 --set sample.count=10 \
                       --set sample.steps=2 --set precision=f32";

const FIGURES: &[&str] = &[
    "01-schedules.png",
    "02-forward.png",
    "03-one-step.png",
    "04-histograms.png",
    "05-embedding.png",
    "06-loss.png",
    "07-samples.png",
    "08-trajectories.png",
    "09-sigmas.png",
    "10-variations.png",
    "11-fewer-steps.png",
    "12-solvers.png",
    "13-fast-and-slow.png",
    "14-convergence.png",
    "15-guidance.png",
    "16-interpolation.png",
    "17-inpainting.png",
    "18-encoding.png",
    "19-upscaling.png",
    "20-bits.png",
];

/// The part of `ddpm evaluate` that figure 20 needs.
const EVALUATION: &str = r#"{"n": 10, "step": 6, "metrics": [],
    "bits": {"reference": "test", "n": 10, "prior": 0.25, "total": 2.5, "by_t": [[0, 1.5], [1, 0.5], [2, 0.25]]}}"#;

#[test]
fn the_report_shows_every_figure() -> anyhow::Result<()> {
    let place = place();
    // One figure needs a network with classes: it is left out without one, and drawn once a run has classes.
    let said = place.ddpm("figures --run run --quick --only 15,1 --out none --json")?.json();
    ensure!(said["skipped"][0]["figure"] == 15, "{said}");
    let _ = place.ddpm(CLASSES)?.ok();
    place.write("run/evaluations/step-00000006.json", EVALUATION)?;
    let all = "figures --run run --class-run runs/classes --quick --out report --json";
    let said = place.ddpm(all)?.json();
    ensure!(said["run"] == "run" && said["step"] == 6, "{said}");
    ensure!(said["skipped"].as_array().is_some_and(Vec::is_empty), "{said}");
    ensure!(said["figures"].as_array().is_some_and(|list| list.iter().eq(FIGURES)), "{said}");
    let mut expected = FIGURES.to_vec();
    expected.extend(["dark", "report.html"]);
    ensure!(place.names("report") == expected, "{:?}", place.names("report"));
    ensure!(place.names("report/dark") == FIGURES, "{:?}", place.names("report/dark"));
    for name in FIGURES {
        let picture = image::load_from_memory(&place.read(&format!("report/{name}"))?)?;
        ensure!(
            picture.width() > 200 && picture.height() > 100,
            "{name} is {}x{}",
            picture.width(),
            picture.height()
        );
        let (first, pixels) = (picture.to_rgb8().get_pixel(0, 0).0, picture.to_rgb8());
        ensure!(pixels.pixels().any(|pixel| pixel.0 != first), "{name} has only one colour");
        // On a dark page it is the same picture on dark paper.
        let dark = image::load_from_memory(&place.read(&format!("report/dark/{name}"))?)?.to_rgb8();
        ensure!(dark.dimensions() == pixels.dimensions(), "{name}");
        let corners = [first, dark.get_pixel(0, 0).0].map(|corner| corner.map(u16::from).iter().sum::<u16>());
        ensure!(corners[0] == 765 && corners[1] < 150, "{name}: {corners:?}");
    }
    // Self-contained, in the order of the figures, each with its equation.
    let html = String::from_utf8(place.read("report/report.html")?)?;
    let sliders = 2;
    ensure!(html.matches("data:image/png;base64,").count() == 2 * FIGURES.len() + sliders);
    // Each says how it was made, and from what.
    ensure!(html.matches("<p class=\"about\">").count() == FIGURES.len());
    for about in [
        "<code>ddpm figures --run run --only 1 --quick</code>; computed from the configuration, without",
        "<code>ddpm figures --run run --only 4 --quick</code>; seed 0; no network calls.",
        "<code>ddpm figures --run run --only 6 --quick</code>; from the log of the run up to step 6;",
        "<code>ddpm figures --run run --only 7 --quick</code>; seed 0; 20 network calls per image; DDPM; checkpoint of step \
         6, averaged weights (EMA).",
        "<code>ddpm figures --run runs/classes --only 15 --quick</code>; seed 0; 8 network calls per image; \
         DPM-Solver++ (2M), above w = 1 with and without the class in each call; checkpoint of step 4,",
        "From another run, classes:",
    ] {
        ensure!(html.contains(about), "{about} is not in the report");
    }
    for foreign in ["src=\"http", "href=\"http", "@import"] {
        ensure!(!html.contains(foreign), "the report needs {foreign}");
    }
    let places: Vec<_> = FIGURES
        .iter()
        .map(|name| html.find(&format!("id=\"{}\"", name.trim_end_matches(".png"))).context(*name))
        .collect::<anyhow::Result<_>>()?;
    ensure!(places.is_sorted(), "{places:?}");

    // The same run gives the same bytes, also for a subset of the figures.
    let _ = place.ddpm("figures --run run --quick --only 1,4,7-8 --out part")?.ok();
    for name in ["01-schedules.png", "04-histograms.png", "07-samples.png", "08-trajectories.png"] {
        ensure!(place.read(&format!("report/{name}"))? == place.read(&format!("part/{name}"))?, "{name}");
    }
    ensure!(place.names("part").len() == 6, "{:?}", place.names("part"));
    Ok(())
}

/// Figure 15 may need another run, which must be named if the first one is.
#[test]
fn no_figure_is_drawn_from_a_run_that_was_not_named() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures-named"));
    let alone = "figures --run run --quick --only 7,15";
    let said = place.ddpm(&format!("{alone} --out alone --json"))?.json();
    ensure!(said["figures"] == json!(["07-samples.png"]), "{said}");
    // A newer run, with classes, where runs are searched.
    let _ = place.ddpm(CLASSES)?.ok();
    let said = place.ddpm(&format!("{alone} --out named --json"))?.json();
    ensure!(said["run"] == "run" && said["figures"] == json!(["07-samples.png"]), "{said}");
    let reason = said["skipped"][0]["reason"].as_str().context("no reason")?;
    ensure!(reason.contains("--class-run"), "{reason}");
    ensure!(place.read("alone/07-samples.png")? == place.read("named/07-samples.png")?);

    // Without --run it is the newest, and the program says which.
    let output = place.ddpm("figures --quick --only 7,15 --out newest --json")?;
    ensure!(output.stderr.contains("using runs/classes"), "{}", output.stderr);
    let said = output.json();
    ensure!(said["run"] == "runs/classes" && said["step"] == 4, "{said}");
    ensure!(place.read("newest/07-samples.png")? != place.read("named/07-samples.png")?);

    // A run without classes is no answer.
    let refused = place.ddpm("figures --run runs/classes --only 15 --class-run run --out refused")?;
    refused.expect_refusal(&["--class-run run", "model.classes"]);
    ensure!(!place.at("refused").exists(), "an output of a refused call");
    Ok(())
}

/// A best checkpoint is one of a run, so the shipped model does not stand in for it.
#[test]
fn without_a_network_the_figures_of_the_forward_process_are_drawn() -> anyhow::Result<()> {
    let empty = Place::new()?;
    let said = empty.ddpm("figures --quick --best --out report --json")?.json();
    ensure!(said["figures"].as_array().is_some_and(|list| list.iter().eq(&FIGURES[..5])), "{said}");
    ensure!(said["skipped"].as_array().is_some_and(|list| list.len() == FIGURES.len() - 5), "{said}");
    Ok(())
}
