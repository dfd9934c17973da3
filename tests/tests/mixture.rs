//! `ddpm mixture`: a start for few steps, from a run's own images.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::ensure;
use tests::{Place, trained};

/// A folder with a trained run (6 steps) and its mixture, shared by the tests that only read it.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("mixture"));
        let made = place
            .ddpm("mixture --run run --components 4 --out mixture.safetensors")
            .map(|output| output.ok());
        assert!(made.is_ok_and(|made| made.stdout.contains("fitted to")), "no mixture");
        place
    })
}

fn drawn(flags: &str, out: &str) -> anyhow::Result<Vec<u8>> {
    let line =
        format!("sample --run run --count 3 --save npz --sampler ddim --precision f32 --out {out} {flags}");
    let _ = place().ddpm(&line)?.ok();
    place().read(&format!("{out}/samples.npz"))
}

const FROM: &str = "--mixture mixture.safetensors";

#[test]
fn images_of_a_mixture_are_those_of_their_seed() -> anyhow::Result<()> {
    let first = drawn(&format!("{FROM} --steps 2"), "first")?;
    ensure!(
        first == drawn(&format!("{FROM} --steps 2 --batch 1"), "by-one")?,
        "an image depends on its batch"
    );
    ensure!(
        first == drawn(&format!("{FROM} --steps 2 --mixture-noise 1"), "named")?,
        "the default is another"
    );
    for (other, out) in
        [("--steps 3", "three"), ("--steps 2 --seed 1", "seed"), ("--steps 2 --mixture-noise 2", "far")]
    {
        ensure!(first != drawn(&format!("{FROM} {other}"), out)?, "{other} changes nothing");
    }
    ensure!(first != drawn("--steps 2", "noise")?, "pure noise gives the same images");
    // Images 1 and 2 of the seed, drawn alone.
    let rest = drawn(&format!("{FROM} --steps 2 --start 1"), "rest")?;
    ensure!(rest.len() == first.len() && rest != first);
    Ok(())
}

/// The same seed gives the same file, and the start is all that the mixture changes: without noise the samples are its own.
#[test]
fn with_hardly_any_noise_the_samples_are_the_mixtures() -> anyhow::Result<()> {
    let place = place();
    let _ = place.ddpm("mixture --run run --components 4 --out again.safetensors")?.ok();
    ensure!(place.read("again.safetensors")? == place.read("mixture.safetensors")?, "two fits differ");
    let near = drawn(&format!("{FROM} --mixture-noise 0.01 --steps 1"), "near")?;
    let nearer = drawn(&format!("{FROM} --mixture-noise 0.011 --steps 1"), "nearer")?;
    let pixels = |bytes: &[u8]| bytes.to_vec();
    let far = pixels(&near).iter().zip(pixels(&nearer)).filter(|(a, b)| a.abs_diff(*b) > 8).count();
    ensure!(far * 20 < near.len(), "{far} of {} bytes differ", near.len());
    Ok(())
}

#[test]
fn an_evaluation_says_where_it_started() -> anyhow::Result<()> {
    let line = format!(
        "evaluate --run run {FROM} --mixture-noise 1.5 --steps 2 --n 4 --metrics copying --held-out fashion-mnist:test --json"
    );
    let said = place().ddpm(&line)?.json();
    let settings = said["settings"].as_str().unwrap_or_default();
    ensure!(settings.starts_with("mixture mixture.safetensors, mixture noise 1.5"), "{said}");
    ensure!(said["steps"] == 2, "{said}");
    let refused = place().ddpm(&format!("evaluate --run run {FROM} --mixture-noise 0"))?;
    refused.expect_refusal(&["--mixture-noise 0", "0.01 to 100"]);
    let images = format!("evaluate --images fashion-mnist:train --data fashion-mnist {FROM}");
    place().ddpm(&images)?.expect_refusal(&["--mixture", "--images"]);
    Ok(())
}

#[test]
fn classes_have_gaussians_of_their_own() -> anyhow::Result<()> {
    let place = place();
    let train = "train --preset tiny-16 --run classes --set model.classes=10 --set train.steps=2 --set train.batch=4 --set \
                 data.limit=200 --set sample.count=1 --set sample.steps=1 --set precision=f32 --set train.checkpoint_every=2";
    let _ = place.ddpm(train)?.ok();
    let said = place.ddpm("mixture --run classes --components 5 --out classes.safetensors --json")?.json();
    ensure!(said["classes"].as_array().is_some_and(|classes| classes.len() == 10), "{said}");
    ensure!(said["components"].as_u64() >= Some(10), "{said}");
    let _ = place
        .ddpm("sample --run classes --mixture classes.safetensors --class all --count 10 --steps 2 --out of-classes")?
        .ok();
    // The mixture of a run without classes serves one with classes too, but tells none apart.
    let _ = place.ddpm(&format!("sample --run classes {FROM} --class 3 --count 1 --steps 2 --out any"))?.ok();
    Ok(())
}

#[test]
fn what_has_no_mixture_or_is_none_is_refused_in_a_line() -> anyhow::Result<()> {
    let place = place();
    let _ = place.ddpm("export --run run --out model.safetensors")?.ok();
    let bytes = place.read("mixture.safetensors")?;
    place.write("cut.safetensors", &bytes[..bytes.len() - 1])?;
    place.write("folder/x", "")?;
    for (flags, expected) in [
        ("--mixture nothing --steps 2", "no such file"),
        ("--mixture folder --steps 2", "found a folder"),
        ("--mixture model.safetensors --steps 2", "no string ddpm.mixture"),
        ("--mixture mixture.safetensors --mixture-noise 0", "0.01 to 100"),
        ("--mixture mixture.safetensors --mixture-noise nan", "0.01 to 100"),
        ("--mixture mixture.safetensors --timesteps 9,3", "--mixture-noise chooses"),
        ("--mixture mixture.safetensors --sampler ddim --steps 1000", "--steps 1000: expected 1 to "),
    ] {
        place
            .ddpm(&format!("sample --run run --count 1 {flags}"))?
            .expect_code(2)
            .expect_refusal(&[expected]);
    }
    let cut = place.ddpm("sample --run run --count 1 --mixture cut.safetensors --steps 2")?;
    let cut = cut.expect_code(5);
    ensure!(cut.errors()[0].starts_with("error: --mixture: cut.safetensors: file size"), "{}", cut.stderr);
    for (flags, expected) in [
        ("--components 0", "--components 0: expected 1 to 1024"),
        ("--directions 2000", "--directions 2000: expected 1 to 1024"),
        ("--n 1", "--n 1: expected at least 2"),
    ] {
        place.ddpm(&format!("mixture --run run {flags}"))?.expect_refusal(&[expected]);
    }
    Ok(())
}

/// The run's own number of steps gives way where there are fewer, and a spacing that starts lower is reported.
#[test]
fn the_steps_below_the_start_are_enough() -> anyhow::Result<()> {
    let said =
        place().ddpm(&format!("sample --run run --count 1 {FROM} --mixture-noise 0.02 --out near-all"))?.ok();
    ensure!(said.stdout.contains("1 image in"), "{}", said.stdout);
    let said = place()
        .ddpm(&format!(
            "sample --run run --count 1 {FROM} --sampler ddim --steps 3 --spacing leading --out leading"
        ))?
        .ok();
    ensure!(said.stderr.contains("--spacing leading: these steps start at t ="), "{}", said.stderr);
    Ok(())
}
