//! `ddpm distill`: a run from a teacher, whose numbers follow from the teacher's, that samples in one or two calls.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::ensure;
use tests::{Place, trained};

/// A folder with a trained run (6 steps), shared by the tests that only read it.
fn teacher() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("distill")))
}

#[test]
fn a_tuned_run_follows_from_its_teacher_and_samples_in_two_calls() -> anyhow::Result<()> {
    let place = teacher();
    let config = place.ddpm("distill run --dump-config --json")?.json();
    let before = place.ddpm("train --resume --run run --dump-config --json")?.json();
    for key in ["batch", "beta2", "ema_decay", "prediction", "flip"] {
        ensure!(
            config["train"][key] == before["train"][key],
            "{key}: {} and {}",
            config["train"],
            before["train"]
        );
    }
    ensure!(config["schedule"] == before["schedule"] && config["model"] == before["model"]);
    ensure!(config["train"]["steps"] == 1 && config["train"]["loss"] == "consistency", "{config}");
    ensure!(config["sample"]["sampler"] == "consistency" && config["sample"]["steps"] == 2, "{config}");

    let line = "distill run --steps 6 --run few --set train.checkpoint_every=3 --set sample.count=1 --set train.log_every=1 \
                --set precision=f32";
    let first = place.ddpm(line)?.ok();
    ensure!(first.stderr.contains("starts from the weights of run"), "{}", first.stderr);
    // Again: nothing is left to do, and the run is the same one.
    let again = place.ddpm(line)?.ok();
    ensure!(again.stdout.contains("step 6 of 6"), "{}", again.stdout);

    let drawn = |flags: &str, out: &str| -> anyhow::Result<Vec<u8>> {
        let _ = place
            .ddpm(&format!("sample --run few --count 3 --save npz --out {out} --precision f32 {flags}"))?
            .ok();
        place.read(&format!("{out}/samples.npz"))
    };
    let own = drawn("", "own")?;
    ensure!(own == drawn("--sampler consistency --steps 2", "two")?, "the run's own way is not the default");
    ensure!(own == drawn("--batch 1", "by-one")?, "an image depends on its batch");
    ensure!(own != drawn("--steps 1", "one")?);
    Ok(())
}

/// A resumed tuning is the uninterrupted one, so what it computes is a function of the step.
#[test]
fn an_interrupted_tuning_ends_like_another() -> anyhow::Result<()> {
    let place = teacher();
    let line = |run: &str, steps: u64| {
        format!(
            "distill run --steps {steps} --run {run} --set train.checkpoint_every=2 --set sample.count=1 --set precision=f32 \
             --set train.lr_decay=constant --set train.warmup_steps=0"
        )
    };
    let _ = place.ddpm(&line("whole", 6))?.ok();
    let _ = place.ddpm(&format!("{} ", line("parts", 6)))?.ok();
    let weights = |run: &str| place.read(&format!("{run}/checkpoints/step-00000006/model.safetensors"));
    ensure!(weights("whole")? == weights("parts")?, "two runs of one command differ");
    // From the checkpoint in the middle.
    std::fs::remove_dir_all(place.path().join("parts/checkpoints/step-00000006"))?;
    let _ = place.ddpm(&line("parts", 6))?.ok();
    ensure!(weights("whole")? == weights("parts")?, "a resumed tuning ended differently");
    Ok(())
}

#[test]
fn what_cannot_be_tuned_is_refused_in_a_line() -> anyhow::Result<()> {
    let place = teacher();
    place.ddpm("distill nothing")?.expect_code(2).expect_refusal(&["TEACHER", "nothing"]);
    place.ddpm("distill run --steps 0")?.expect_code(2).expect_refusal(&["--steps 0", "at least 1"]);
    let refused = place.ddpm("distill run --set train.halvings=0 --run x")?;
    refused.expect_code(2).expect_refusal(&["train.halvings", "1 to 16"]);
    let learned = "train --preset tiny-16 --objective learned --run learned --set data.limit=40 --set train.steps=1 --set \
                   train.batch=4 --set sample.count=1 --set sample.steps=1 --set precision=f32";
    let _ = place.ddpm(learned)?.ok();
    place.ddpm("distill learned --run x")?.expect_code(2).expect_refusal(&["variance", "learned", "fixed"]);
    ensure!(!place.path().join("x").exists(), "a refused tuning left a folder");
    Ok(())
}
