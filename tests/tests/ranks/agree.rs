//! Several ranks compute what one does.

use anyhow::{Context, ensure};
use tests::arrays::read_npz;
use tests::tensors::read_floats;
use tests::{Place, Running};

use super::{PATIENCE, TRAIN, checkpoint, launch, pairs};

#[test]
fn one_two_and_four_ranks_train_alike() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!("{TRAIN} --set train.steps=12 --set train.log_every=1");
    let _ = place.ddpm(&format!("{line} --run alone"))?.ok();
    for ranks in [1, 2, 4] {
        let output = launch(&place, &format!("--nproc {ranks}"), &format!("{line} --run on-{ranks}"))?.ok();
        let run = format!("on-{ranks}");
        if ranks == 1 {
            ensure!(checkpoint(&place, &run, 12)? == checkpoint(&place, "alone", 12)?);
            continue;
        }
        let own = 64 / ranks;
        let said = format!("{ranks} ranks: {own} images per step on each, 64 together");
        ensure!(output.stderr.contains(&said), "{}", output.stderr);
        let by = "sums over the ranks: Gloo, in host memory (rank 0: it computes on the CPU)";
        ensure!(output.stderr.contains(by), "{}", output.stderr);
        for (key, most) in [("loss", 1e-3), ("grad_norm", 1e-2)] {
            for (step, (a, b)) in pairs(&place, [&run, "alone"], key)?.into_iter().enumerate() {
                ensure!(
                    (a / b - 1.0).abs() < most,
                    "{ranks} ranks: {key} of record {step} is {a}, alone {b}"
                );
            }
        }
        let logs: Vec<String> = (1..ranks).map(|rank| format!("rank-{rank}.log")).collect();
        ensure!(place.names(&format!("{run}/ranks")) == logs);
        for log in logs {
            let text = String::from_utf8(place.read(&format!("{run}/ranks/{log}"))?)?;
            ensure!(text.contains("step 12/12  loss") && text.contains("12 steps done"), "{text}");
        }
    }
    // Before the weights have been rounded in different ways, the loss is the same to f32.
    let first = pairs(&place, ["on-4", "alone"], "loss")?[0];
    ensure!((first.0 / first.1 - 1.0).abs() < 1e-6, "{first:?}");
    Ok(())
}

/// A network so small that 100 steps take seconds. No weight of it has a gradient that only rounding makes, as the
/// biases before a normalisation of single channels and the keys' biases of attention have: Adam would enlarge it.
const SMALL: &str = "--set train.log_every=1 --set data.size=8 --set model.base_channels=4 --set model.channel_mults=[1] \
                     --set model.groups=1 --set model.attention_resolutions=[] --set model.mid_attention=false";

/// 2 ranks with 32 images each and 4 with 16 take the steps of 1 with 64. Every rounding of a gradient changes the weights a
/// little, and so all later gradients, so the difference may grow with the step. Prints what it was.
#[test]
#[allow(clippy::print_stderr, reason = "the differences of this machine, for `--nocapture`")]
fn ranks_agree_to_rounding_over_100_steps() -> anyhow::Result<()> {
    /// Relative differences that each step may add: rounding of f32 is 6e-8, and a loss or norm sums thousands of numbers.
    const LOSS: f64 = 1e-5;
    const NORM: f64 = 1e-4;
    /// Adam moves a weight by about the learning rate, 2e-3 falling to 0, so by 0.1 in all. A hundredth of it may differ.
    const WEIGHT: f32 = 1e-3;

    let place = Place::new()?;
    let _ = place.ddpm(&format!("{TRAIN} {SMALL} --set train.steps=100 --run alone"))?.ok();
    let weights =
        |run: &str| read_floats(&place.read(&format!("{run}/checkpoints/step-00000100/model.safetensors"))?);
    let alone = weights("alone")?;
    for ranks in [2, 4] {
        let run = format!("on-{ranks}");
        // Before each checkpoint the ranks compare their weights and end if they differ.
        let saving = "--set train.steps=100 --set train.checkpoint_every=10 --set train.keep_checkpoints=10";
        let command = format!("{TRAIN} {SMALL} {saving} --run {run}");
        let _ = launch(&place, &format!("--nproc {ranks}"), &command)?.ok();
        ensure!(place.names(&format!("{run}/checkpoints")).len() == 10);

        for (key, most) in [("loss", LOSS), ("grad_norm", NORM)] {
            let found = pairs(&place, [&run, "alone"], key)?;
            ensure!(found.len() == 100, "{} records", found.len());
            let differences: Vec<f64> = found.iter().map(|(a, b)| (a / b - 1.0).abs()).collect();
            let largest = differences.iter().copied().fold(0.0, f64::max);
            eprintln!(
                "{ranks} ranks: {key} differs by {:.1e} in step 1, {largest:.1e} at most",
                differences[0]
            );
            for (step, difference) in (1_u32..).zip(&differences) {
                let most = most * f64::from(step);
                ensure!(*difference <= most, "{ranks} ranks: {key} of step {step} differs by {difference:e}");
            }
        }
        let own = weights(&run)?;
        ensure!(own.len() == alone.len() && own.len() > 10, "{} and {} tensors", own.len(), alone.len());
        let mut largest = (0.0_f32, "");
        for (name, values) in &alone {
            let others = own.get(name).with_context(|| format!("no {name}"))?;
            ensure!(others.len() == values.len(), "{name}: {} and {}", others.len(), values.len());
            for difference in values.iter().zip(others).map(|(a, b)| (a - b).abs()) {
                if difference > largest.0 {
                    largest = (difference, name.as_str());
                }
            }
        }
        eprintln!("{ranks} ranks: weights differ by {:.1e} at most, in {}", largest.0, largest.1);
        ensure!(largest.0 <= WEIGHT, "{ranks} ranks: {largest:?}");
    }
    Ok(())
}

/// The ranks compare their weights before each checkpoint and end if they differ: here after every step.
#[test]
fn ranks_have_the_same_weights_after_every_step() -> anyhow::Result<()> {
    let place = Place::new()?;
    let saving = "--set train.steps=10 --set train.checkpoint_every=1 --set train.keep_checkpoints=10";
    let _ = launch(&place, "--nproc 2", &format!("{TRAIN} {SMALL} {saving} --run run"))?.ok();
    ensure!(place.names("run/checkpoints").len() == 10, "{:?}", place.names("run/checkpoints"));
    Ok(())
}

/// A run with the state of Adam divided over the ranks has the bits of one without, in any part of it.
#[test]
fn a_divided_state_changes_nothing_in_a_run() -> anyhow::Result<()> {
    let place = Place::new()?;
    // The flag and the variable of both parts of a run: the flag takes precedence.
    let run = |name: &str, modes: [(&str, &str); 2]| -> anyhow::Result<Vec<(String, String)>> {
        for (steps, (flag, variable)) in [4, 8].into_iter().zip(modes) {
            let line = match steps {
                4 => format!("{TRAIN} --set train.log_every=1 --set train.steps=4 --run {name}"),
                _ => format!("train --run {name} --resume --set train.steps={steps}"),
            };
            let line = format!("launch --nproc 2 {flag} -- {line} --device cpu --threads 1");
            let mut command = place.command(&line)?;
            command.env("DDPM_SHARD_STATE", variable);
            let output = Running::start(&line, &mut command)?.wait_within(PATIENCE)?.ok();
            let is_divided = output.stderr.contains("the state of Adam is divided: at most ");
            ensure!(is_divided == (!flag.is_empty() || variable == "1"), "{line}: {}", output.stderr);
        }
        checkpoint(&place, name, 8)
    };
    let whole = run("whole", [("", "0"), ("", "")])?;
    let divided = run("divided", [("--shard-state", "0"), ("", "1")])?;
    ensure!(divided == whole, "{divided:?}, expected {whole:?}");
    ensure!(place.records("divided")? == place.records("whole")?);
    // A single process has nothing to divide, and continues the run.
    let more = "train --run divided --resume --set train.steps=10";
    let output = launch(&place, "--nproc 1 --shard-state", more)?.ok();
    ensure!(!output.stderr.contains("is divided"), "{}", output.stderr);
    ensure!(place.names("divided/checkpoints").contains(&"step-00000010".to_owned()));
    Ok(())
}

#[test]
fn samples_do_not_depend_on_the_number_of_ranks() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _ = place.ddpm(&format!("{TRAIN} --set train.steps=2 --run run"))?.ok();
    let sample =
        "sample --run run --sampler ddim --steps 3 --count 11 --batch 2 --seed 5 --save grid,png,npz";
    let _ = place.ddpm(&format!("{sample} --out alone"))?.ok();
    for ranks in [2, 3] {
        let out = format!("on-{ranks}");
        let said =
            launch(&place, &format!("--nproc {ranks} --json"), &format!("{sample} --out {out}"))?.json();
        ensure!(said["images"] == 11 && said["finished"] == true, "{said}");
        ensure!(place.names(&out) == place.names("alone"), "{:?}", place.names(&out));
        for name in place.names("alone").iter().filter(|name| name.ends_with(".png")) {
            ensure!(place.read(&format!("{out}/{name}"))? == place.read(&format!("alone/{name}"))?, "{name}");
        }
        let arrays = |folder: &str| read_npz(&place.read(&format!("{folder}/samples.npz"))?);
        ensure!(arrays(&out)? == arrays("alone")?);
    }
    let output = launch(&place, "--nproc 2", &format!("{sample} --trajectory 2 --out new"))?.expect_code(2);
    ensure!(output.errors()[0].contains("--trajectory"), "{}", output.stderr);
    Ok(())
}
