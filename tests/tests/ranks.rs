//! Several processes train and sample as one: `ddpm launch`, its ranks, and what happens when one of them dies.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tests::arrays::read_npz;
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

/// The process id of a rank that a launcher has started.
fn pid_of(launcher: u32, rank: usize) -> anyhow::Result<Option<u32>> {
    let (parent, variable) = (format!("PPid:\t{launcher}\n"), format!("RANK={rank}").into_bytes());
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // It may end at any moment.
        let is_child = fs::read_to_string(path.join("status")).is_ok_and(|status| status.contains(&parent));
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        if is_child && environment.split(|&byte| byte == 0).any(|entry| entry == variable) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Kills a rank after the run has logged something.
fn kill(running: &mut Running, metrics: &Path, rank: usize) -> anyhow::Result<()> {
    running.wait_for_more(metrics)?;
    let pid = pid_of(running.pid()?, rank)?.with_context(|| format!("rank {rank} is not there"))?;
    let status = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    ensure!(status.success(), "kill: {status}");
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
    kill(&mut running, &place.at("hurt/metrics.jsonl"), 1)?;
    let output = running.wait_within(PATIENCE)?.expect_code(137);
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.contains("error")).collect();
    ensure!(
        errors.len() == 1 && errors[0].starts_with("error: rank 1 of 2 was killed by signal 9"),
        "{errors:?}"
    );

    // With them: each of the ranks is killed once.
    for rank in [0, 1] {
        let mut running = start("--restarts 1")?;
        kill(&mut running, &place.at("hurt/metrics.jsonl"), rank)?;
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

/// However the launcher ends, no rank goes on alone.
#[test]
fn the_ranks_of_a_killed_launcher_save_and_end() -> anyhow::Result<()> {
    // With a handler here, the children do not ignore SIGHUP, even under `nohup`.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, std::sync::Arc::default())?;
    let place = Place::new()?;
    let line = format!("{TRAIN} --set train.steps=100000 --set train.log_every=1 --run run");
    let mut running = place.start(&format!("launch --nproc 2 -- {line}"))?;
    running.wait_for_more(&place.at("run/metrics.jsonl"))?;
    let launcher = running.pid()?;
    let ranks = [0, 1].map(|rank| pid_of(launcher, rank)?.context("a rank is not there"));
    running.signal("KILL")?;
    let begun = Instant::now();
    for rank in ranks {
        let path = format!("/proc/{}/environ", rank?);
        // A process that has ended but has no parent that waits for it has no environment.
        while fs::read(&path).is_ok_and(|environment| !environment.is_empty()) {
            ensure!(begun.elapsed() < PATIENCE, "{path} is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
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
    let pid = pid_of(running.pid()?, 1)?.context("rank 1 is not there")?;
    ensure!(std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status()?.success());
    let begun = Instant::now();
    let output = running.wait_within(PATIENCE)?;
    ensure!(
        output.code.is_some_and(|code| code != 0) && begun.elapsed().as_secs() >= 20,
        "{}",
        output.stderr
    );
    ensure!(output.errors() == ["error: rank 1 of 2 was stuck, and has been ended"], "{}", output.stderr);
    // Nothing is left of the ranks.
    ensure!(!Path::new(&format!("/proc/{pid}")).exists());
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
