//! Several processes train and sample as one: `ddpm launch`, its ranks, and what happens when one of them dies.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tests::arrays::read_npz;
use tests::ranks::{self, Rank};
use tests::tensors::read_floats;
use tests::{Place, Running};

/// A short run without random masks, which are drawn per rank.
const TRAIN: &str = "train --preset tiny-16 --set train.batch=64 --set data.limit=100 --set model.dropout=0.0 \
                     --set train.warmup_steps=0 --set sample.count=4 --set sample.steps=2 --set precision=f32";
/// Longer than any run here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// `ddpm launch` with a command, on one thread per rank.
fn launch(place: &Place, flags: &str, command: &str) -> anyhow::Result<tests::Output> {
    place.start(&format!("launch {flags} -- {command}"))?.wait_within(PATIENCE)
}

/// Pairs of a number of each record of two runs.
fn pairs(place: &Place, runs: [&str; 2], key: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let [one, other] = runs.map(|run| place.records(run));
    let (one, other) = (one?, other?);
    ensure!(one.len() == other.len(), "{runs:?}: {} and {} records", one.len(), other.len());
    let number = |record: &serde_json::Value| record[key].as_f64().with_context(|| format!("no {key}"));
    one.iter().zip(&other).map(|(one, other)| Ok((number(one)?, number(other)?))).collect()
}

/// The hashes of the files of a checkpoint.
fn checkpoint(place: &Place, run: &str, step: u64) -> anyhow::Result<Vec<(String, String)>> {
    let folder = format!("{run}/checkpoints/step-{step:08}");
    let names = place.names(&folder);
    ensure!(names.len() == 6, "{folder}: {names:?}");
    let hash = |name: String| Ok((name.clone(), place.sha256(&format!("{folder}/{name}"))?));
    names.into_iter().map(hash).collect()
}

/// A rank that runs now.
fn rank_of(place: &Place, number: usize) -> anyhow::Result<Rank> {
    let found = ranks::running(place)?.into_iter().find(|rank| rank.number == number);
    found.with_context(|| format!("rank {number} is not there"))
}

/// Kills a rank after the run has logged something.
fn kill(place: &Place, running: &mut Running, run: &str, number: usize) -> anyhow::Result<()> {
    running.wait_for_more(&place.at(&format!("{run}/metrics.jsonl")))?;
    ensure!(rank_of(place, number)?.signal("KILL")?, "rank {number} has ended");
    Ok(())
}

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

/// 100 steps of a network so small that they take seconds. No weight of it has a gradient that only rounding makes, as the
/// biases before a normalisation of single channels and the keys' biases of attention have: Adam would enlarge it.
const LONG: &str = "--set train.steps=100 --set train.log_every=1 --set data.size=8 --set model.base_channels=4 \
                    --set model.channel_mults=[1] --set model.groups=1 --set model.attention_resolutions=[] \
                    --set model.mid_attention=false";

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
    let _ = place.ddpm(&format!("{TRAIN} {LONG} --run alone"))?.ok();
    let weights =
        |run: &str| read_floats(&place.read(&format!("{run}/checkpoints/step-00000100/model.safetensors"))?);
    let alone = weights("alone")?;
    for ranks in [2, 4] {
        let run = format!("on-{ranks}");
        // Before each checkpoint the ranks compare their weights and end if they differ: here after every step.
        let saving = "--set train.checkpoint_every=1 --set train.keep_checkpoints=100";
        let command = format!("{TRAIN} {LONG} {saving} --run {run}");
        let _ = launch(&place, &format!("--nproc {ranks}"), &command)?.ok();
        ensure!(place.names(&format!("{run}/checkpoints")).len() == 100);

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

#[test]
fn a_killed_rank_ends_all_and_restarts_end_as_the_undisturbed_run() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!(
        "{TRAIN} --set train.steps=40 --set train.log_every=1 --set train.checkpoint_every=5 \
         --set model.dropout=0.1"
    );
    let _ = launch(&place, "--nproc 2", &format!("{line} --run whole"))?.ok();

    // Without restarts: one clear line, the exit code of the killed rank, and a checkpoint to go on from.
    let start = |flags: &str| place.start(&format!("launch --nproc 2 {flags} -- {line} --run hurt"));
    let mut running = start("")?;
    kill(&place, &mut running, "hurt", 1)?;
    let output = running.wait_within(PATIENCE)?.expect_code(137);
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.contains("error")).collect();
    ensure!(
        errors.len() == 1 && errors[0].starts_with("error: rank 1 of 2 was killed by signal 9"),
        "{errors:?}"
    );

    // With them: each of the ranks is killed once.
    for rank in [0, 1] {
        let mut running = start("--restarts 1")?;
        kill(&place, &mut running, "hurt", rank)?;
        if rank == 0 {
            running.wait_for_more(&place.at("hurt/metrics.jsonl"))?;
            running.signal("TERM")?;
            let output = running.wait_within(PATIENCE)?.expect_code(143);
            ensure!(output.stderr.contains("starting all ranks again (1 of 1)"), "{}", output.stderr);
        } else {
            let _ = running.wait_within(PATIENCE)?.ok();
        }
    }
    ensure!(checkpoint(&place, "hurt", 40)? == checkpoint(&place, "whole", 40)?);
    ensure!(place.records("hurt")? == place.records("whole")?);

    // Another number of ranks continues the same run.
    let more = "train --run hurt --resume --set train.steps=44";
    let _ = launch(&place, "--nproc 4", more)?.ok();
    let _ = place.ddpm("train --run hurt --resume --set train.steps=46")?.ok();
    ensure!(place.names("hurt/checkpoints").contains(&"step-00000046".to_owned()));
    Ok(())
}

/// A run with the state of Adam divided over the ranks has the bits of one without, in any part of it.
#[test]
fn a_divided_state_changes_nothing_in_a_run() -> anyhow::Result<()> {
    let place = Place::new()?;
    // The flag and the variable of each part of a run: the flag takes precedence.
    let run = |name: &str, ranks: usize, modes: [(&str, &str); 3]| -> anyhow::Result<Vec<(String, String)>> {
        for (steps, (flag, variable)) in [4, 8, 12].into_iter().zip(modes) {
            let line = match steps {
                4 => format!("{TRAIN} --set train.log_every=1 --set train.steps=4 --run {name}"),
                _ => format!("train --run {name} --resume --set train.steps={steps}"),
            };
            let line = format!("launch --nproc {ranks} {flag} -- {line} --device cpu --threads 1");
            let mut command = place.command(&line)?;
            command.env("DDPM_SHARD_STATE", variable);
            let output = Running::start(&line, &mut command)?.wait_within(PATIENCE)?.ok();
            let is_divided = output.stderr.contains("the state of Adam is divided: at most ");
            ensure!(is_divided == (!flag.is_empty() || variable == "1"), "{line}: {}", output.stderr);
        }
        checkpoint(&place, name, 12)
    };
    for ranks in [2, 4] {
        let (name, other) = (format!("whole-{ranks}"), format!("divided-{ranks}"));
        let whole = run(&name, ranks, [("", "0"), ("", ""), ("", "0")])?;
        let divided = run(&other, ranks, [("--shard-state", "0"), ("", ""), ("", "1")])?;
        ensure!(divided == whole, "{ranks} ranks: {divided:?}, expected {whole:?}");
        ensure!(place.records(&other)? == place.records(&name)?);
    }
    // A single process has nothing to divide, and continues the run.
    let more = "train --run divided-2 --resume --set train.steps=14";
    let output = launch(&place, "--nproc 1 --shard-state", more)?.ok();
    ensure!(!output.stderr.contains("is divided"), "{}", output.stderr);
    ensure!(place.names("divided-2/checkpoints").contains(&"step-00000014".to_owned()));
    Ok(())
}

/// However the launcher ends, no rank goes on alone.
#[test]
fn the_ranks_of_a_killed_launcher_save_and_end() -> anyhow::Result<()> {
    // With a handler here, the children do not ignore SIGHUP, even under `nohup`.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, std::sync::Arc::default())?;
    let place = Place::new()?;
    let line = format!("{TRAIN} --set train.steps=100000 --set train.log_every=1 --run run");
    let mut running = place.start(&format!("launch --nproc 2 -- {line}"))?;
    running.wait_for_more(&place.at("run/metrics.jsonl"))?;
    let ranks = ranks::running(&place)?;
    ensure!(ranks.len() == 2, "{ranks:?}");
    running.signal("KILL")?;
    let begun = Instant::now();
    while !ranks.iter().all(Rank::is_over) {
        ensure!(begun.elapsed() < PATIENCE, "{ranks:?} are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(place.names("run/checkpoints").len() == 1, "{:?}", place.names("run/checkpoints"));
    Ok(())
}

#[test]
fn a_stuck_rank_ends_all_after_the_timeout() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!("{TRAIN} --set train.steps=100000 --set train.log_every=1 --run run");
    // The ranks must meet within the timeout, on a busy machine.
    let mut running = place.start(&format!("launch --nproc 2 --timeout 30 -- {line}"))?;
    running.wait_for_more(&place.at("run/metrics.jsonl"))?;
    let rank = rank_of(&place, 1)?;
    ensure!(rank.signal("STOP")?);
    let begun = Instant::now();
    let output = running.wait_within(PATIENCE)?;
    ensure!(
        output.code.is_some_and(|code| code != 0) && begun.elapsed().as_secs() >= 20,
        "{}",
        output.stderr
    );
    ensure!(output.errors() == ["error: rank 1 of 2 was stuck, and has been ended"], "{}", output.stderr);
    // Nothing is left of the ranks.
    ensure!(rank.is_over() && ranks::running(&place)?.is_empty());
    Ok(())
}

#[test]
fn wrong_flags_and_data_end_all_ranks_at_once() -> anyhow::Result<()> {
    let place = Place::new()?;
    let refused = |flags: &str, command: &str, code: i32, words: &str| -> anyhow::Result<()> {
        let output = launch(&place, flags, command)?.expect_code(code);
        ensure!(output.errors().len() == 1 && output.errors()[0].contains(words), "{}", output.stderr);
        ensure!(!output.stderr.contains("again"), "{}", output.stderr);
        Ok(())
    };
    refused(
        "--nproc 3 --restarts 2",
        &format!("{TRAIN} --run new"),
        2,
        "expected a multiple of the number of ranks",
    )?;
    refused("--nproc 2 --restarts 2", "train --data nowhere --run new", 2, "nowhere")?;
    place.write("broken/a.png", "not an image")?;
    refused("--nproc 2 --restarts 2", "train --data broken --set data.size=16 --run new", 4, "a.png")?;
    refused("--nproc 2", &format!("{TRAIN} --batch auto --run new"), 2, "--batch auto")?;
    refused("--nproc 0", "train", 2, "--nproc 0")?;
    refused("--nproc 2 --timeout 0", "train", 2, "--timeout 0")?;
    refused("--nproc 2 --reduce f16", "train", 2, "--reduce f16")?;
    refused("--nproc 2", "doctor", 2, "expected train, distill, sample or bench")?;
    ensure!(place.names("new").is_empty(), "{:?}", place.names("new"));

    // The variables of another launcher.
    for (name, value, words) in [
        ("WORLD_SIZE", "2", "RANK is not set"),
        ("RANK", "0", "WORLD_SIZE is not set"),
        ("SLURM_PROCID", "x", "SLURM_PROCID"),
        ("DDPM_REDUCE", "f16", "DDPM_REDUCE=f16: expected f32 or bf16"),
        ("DDPM_SHARD_STATE", "yes", "DDPM_SHARD_STATE=yes: expected 0 or 1"),
    ] {
        let mut command = place.command(&format!("{TRAIN} --run new"))?;
        command.env(name, value).env("SLURM_NTASKS", "2");
        let output = Running::start("train", &mut command)?.wait_within(PATIENCE)?.expect_code(2);
        ensure!(output.errors()[0].contains(words), "{}", output.stderr);
    }
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

#[test]
fn steps_and_sums_are_timed_over_ranks() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = "bench sums --bytes 64,4096,10000 --bucket 4096 --steps 3 --warmup 1 --device cpu --json";
    for (flags, kind) in [("--nproc 2", "f32"), ("--nproc 2 --reduce bf16", "bf16")] {
        let said = launch(&place, flags, line)?.json();
        ensure!(said["ranks"] == 2 && said["reduce"] == kind && said["bucket"] == 4096, "{said}");
        let sums = said["sums"].as_array().context("sums")?;
        for (sum, (bytes, messages)) in sums.iter().zip([(64, 1), (4096, 1), (10_000, 3)]) {
            ensure!(sum["bytes"] == bytes && sum["messages"] == messages, "{said}");
            let seconds = |key: &str| sum[key].as_f64().with_context(|| format!("{key}: {said}"));
            ensure!(0.0 < seconds("min_s")? && seconds("min_s")? <= seconds("median_s")?, "{said}");
        }
        ensure!(sums.len() == 3, "{said}");
    }

    // Training steps: the ranks divide the batch, and the sums are a part of the step.
    let line = "bench train --preset tiny-16 --batch 4 --steps 2 --warmup 1 --device cpu --json";
    let (alone, said) = (place.ddpm(line)?.json(), launch(&place, "--nproc 2", line)?.json());
    for (said, ranks) in [(&alone, 1), (&said, 2)] {
        ensure!(said["ranks"] == ranks && said["batch"] == 4 && said["gflop"] == alone["gflop"], "{said}");
        let reduce = said["parts"]["reduce"].as_f64();
        ensure!(reduce.is_some_and(|seconds| seconds > 0.0) == (ranks == 2), "{said}");
    }

    // What several processes would only repeat.
    for command in ["bench sample --preset tiny-16", "bench solvers --preset tiny-16"] {
        let output = launch(&place, "--nproc 2", command)?.expect_code(2);
        ensure!(output.errors()[0].contains("expected a single process, found 2 ranks"), "{}", output.stderr);
    }
    Ok(())
}
