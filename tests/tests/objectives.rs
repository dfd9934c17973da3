//! Every objective from outside: trained, stopped and resumed to the same bits, sampled with every kind of solver,
//! edited, averaged afterwards, guided. The commands of docs/objectives.md for learned variances are run as they stand there.

use anyhow::{Context, ensure};
use ndarray::ArrayD;
use tests::{Place, arrays};

/// The name, and further settings.
const OBJECTIVES: &[(&str, &str)] = &[
    ("ddpm", ""),
    ("learned", ""),
    ("learned", "--set train.loss=vlb --set train.time_sampling=by-loss"),
    ("v", "--set train.loss=huber --set train.micro_batch=3"),
    ("min-snr", "--set train.ema_decays=[0.5]"),
    ("edm", "--set train.augment=0.5"),
    ("edm", "--set train.augment=0.5 --set model.classes=10 --set train.label_dropout=0.2"),
    ("flow", "--set train.pairing=optimal"),
    ("flow", "--set train.pairing=nearest --set train.time_sampling=uniform"),
];
const TRAIN: &str = "train --preset tiny-16 --set train.batch=8 --set data.limit=40 --set sample.count=4 --set sample.steps=4 \
                     --set precision=f32 --set train.warmup_steps=1 --json";

fn images(place: &Place, folder: &str) -> anyhow::Result<ArrayD<f64>> {
    arrays::read_npz(&place.read(&format!("{folder}/samples.npz"))?)?.remove("images").context("images")
}

fn weights(place: &Place, run: &str, step: u64) -> anyhow::Result<Vec<u8>> {
    place.read(&format!("{run}/checkpoints/step-{step:08}/model.safetensors"))
}

#[test]
fn each_is_trained_resumed_and_sampled() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (number, (objective, extra)) in OBJECTIVES.iter().enumerate() {
        let train = |run: &str, steps: u64| {
            let cut = format!(
                "--set train.steps={steps} --set train.lr_decay=constant --set train.checkpoint_every=4"
            );
            place.ddpm(&format!("{TRAIN} --objective {objective} --run {run} {cut} {extra}"))
        };
        let (whole, parts) = (format!("{number}-whole"), format!("{number}-parts"));
        assert_eq!(train(&whole, 8)?.json()["finished"], true, "{objective}");
        let _ = train(&parts, 4)?.ok();
        let _ = place.ddpm(&format!("train --run {parts} --resume --set train.steps=8"))?.ok();
        assert!(
            weights(&place, &whole, 8)? == weights(&place, &parts, 8)?,
            "{objective}: the run differs after a stop"
        );

        for sampler in ["ddpm --steps 6", "dpmpp-2m --steps 4", "heun --steps 3 --churn 2"] {
            let line = format!("sample --run {whole} --sampler {sampler} --count 2 --save npz --out out");
            let _ = place.ddpm(&line)?.ok();
            assert_eq!(images(&place, "out")?.shape(), [2, 16, 16, 1], "{objective}, {sampler}");
        }
        let learned = place
            .ddpm(&format!("sample --run {whole} --sampler ddpm-learned --steps 5 --count 2 --out out"))?;
        if *objective == "learned" {
            let _ = learned.ok();
        } else {
            learned.expect_refusal(&["train.variance"]);
        }
        let edit = format!("edit encode --index 1 --steps 6 --run {whole} --out out-edit");
        let _ = place.ddpm(&edit)?.ok();
        let _ = place.ddpm(&format!("inspect checkpoint {whole}/checkpoints/step-00000008"))?.ok();
    }
    Ok(())
}

/// The page's own commands, on a smaller network: training, then each solver from the same noise.
#[test]
fn learned_variances_are_trained_and_sampled_as_the_page_says() -> anyhow::Result<()> {
    let page = include_str!("../../docs/objectives.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Learned variances\n"));
    let lines = section.context("the section")?.lines().filter_map(|line| line.strip_prefix("    ddpm "));
    let lines: Vec<&str> = lines.collect();
    let [train, samples @ ..] = &lines[..] else { anyhow::bail!("no commands") };
    ensure!(train.starts_with("train --preset fashion-28 --objective learned"), "{train}");
    for sampler in ["ddpm-learned", "ddim", "dpmpp-2m"] {
        let flag = format!("--sampler {sampler} ");
        ensure!(samples.iter().any(|line| line.contains(&flag)), "{sampler} is not in {samples:?}");
    }

    let place = Place::new()?;
    // The preset's own objective has no chain.
    place.ddpm("train --preset fashion-28 --set train.variance=learned")?.expect_refusal(&["train.variance"]);
    let small = "--set model.base_channels=8 --set data.limit=64 --set train.batch=8 --set train.steps=40 \
                 --set train.warmup_steps=2 --set train.sample_every=0 --set sample.count=1 --set sample.steps=2 \
                 --set precision=f32 --json";
    let said = place.ddpm(&format!("{train} {small}"))?.json();
    ensure!(said["finished"] == true && said["loss"].as_f64().is_some_and(f64::is_finite), "{said}");
    let mut drawn = Vec::new();
    for (number, line) in samples.iter().enumerate() {
        // A trajectory has the samples before they are rounded to grey levels.
        let line = format!("{line} --count 2 --trajectory 2 --save npz --out out-{number}");
        let _ = place.ddpm(&line)?.ok();
        let path = format!("out-{number}/samples.npz");
        let x = arrays::read_npz(&place.read(&path)?)?.remove("x_t").context("x_t")?;
        let x = x.index_axis(ndarray::Axis(0), x.shape()[0] - 1).to_owned();
        let (least, most) =
            x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        ensure!(x.iter().all(|x| x.is_finite()) && most - least > 0.1, "{line}: {least} to {most}");
        drawn.push((line, x));
    }
    for (number, (line, x)) in drawn.iter().enumerate() {
        for (other, y) in &drawn[..number] {
            ensure!(x.shape() == y.shape() && x != y, "the same images by {line} and by {other}");
        }
    }
    Ok(())
}

#[test]
fn choices_that_do_not_go_together_are_one_line() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (flags, word) in [
        ("--objective flw", "did you mean flow?"),
        ("--objective flow --set train.prediction=eps", "train.prediction"),
        ("--objective flow --set train.variance=learned", "train.variance"),
        ("--objective ddpm --set train.sigma_data=0.5", "train.sigma_data"),
        ("--objective edm --set schedule.beta_end=0.1", "schedule.beta_end"),
        ("--objective edm --set schedule.sigma_max=0.001", "sigma_max"),
        ("--set schedule.zero_terminal_snr=true --set train.prediction=eps", "train.prediction"),
        ("--objective ddpm --set sample.sampler=ddpm-learned", "train.variance"),
    ] {
        place.ddpm(&format!("{TRAIN} --run none {flags}"))?.expect_refusal(&[word]);
    }
    Ok(())
}

#[test]
fn averages_are_made_afterwards_and_a_worse_network_guides() -> anyhow::Result<()> {
    let place = Place::new()?;
    let keys = "--set train.steps=12 --set train.checkpoint_every=3 --set train.keep_checkpoints=3 \
                --set train.ema_decays=[0.8] --set train.ema_sigma_rels=[0.05,0.1]";
    let _ = place.ddpm(&format!("{TRAIN} --objective flow --run run {keys}"))?.ok();
    let made = place.ddpm("ema --run run --sigma-rel 0.1 --out made --json")?.json();
    assert!(made["error"].as_f64().is_some_and(|error| error < 1e-3), "{made}");
    let _ =
        place.ddpm("sample --model made/step-00000012 --count 2 --steps 4 --sampler ddim --out out")?.ok();
    // An existing model is not overwritten.
    place.ddpm("ema --run run --sigma-rel 0.05 --out made")?.expect_refusal(&["already exists"]);
    place.ddpm("ema --run run --sigma-rel 0.05 --out run/checkpoints")?.expect_refusal(&["already exists"]);
    let kept = place.ddpm("ema --run run --decay 0.8 --out kept --json")?.json();
    assert_eq!(kept["error"], 0.0);
    let _ = place
        .ddpm(&format!(
            "{TRAIN} --objective flow --run one --set train.steps=4 --set train.ema_sigma_rels=[0.02]"
        ))?
        .ok();
    place.ddpm("ema --run one --sigma-rel 0.28 --out far")?.expect_refusal(&["no nearer than"]);
    place.ddpm("ema --run run --sigma-rel 0.5 --out made")?.expect_refusal(&["--sigma-rel 0.5"]);
    place.ddpm("ema --run run --decay 1.0 --out made")?.expect_refusal(&["--decay 1"]);

    let sample = |flags: &str, out: &str| -> anyhow::Result<ArrayD<f64>> {
        let line =
            format!("sample --run run --sampler ddim --steps 6 --count 2 --save npz --out {out} {flags}");
        let _ = place.ddpm(&line)?.ok();
        images(&place, out)
    };
    let guide = "--guide-with run/checkpoints/step-00000006";
    let (plain, strong) = (sample("", "a")?, sample(&format!("{guide} --guidance 4"), "b")?);
    assert_eq!(sample(&format!("{guide} --guidance 1"), "c")?, plain);
    assert_ne!(strong, plain);
    let _ = place.ddpm(&format!("{TRAIN} --objective ddpm --run other --set train.steps=2"))?.ok();
    place
        .ddpm("sample --run run --guide-with other/checkpoints/step-00000002 --out d")?
        .expect_refusal(&["same kind"]);
    let nothing = place.ddpm("ema --run other --sigma-rel 0.1 --out made")?;
    assert!(
        nothing.errors().len() == 1 && nothing.errors()[0].contains("ema_sigma_rels"),
        "{:?}",
        nothing.errors()
    );
    Ok(())
}
