//! An interrupted run resumes where it stopped, and ends like the uninterrupted one.
#![cfg(unix)]

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, ensure};
use image::ImageFormat;
use tests::{Place, Running, data};

/// A training of at most some seconds, long enough for a signal to hit it.
const TRAIN: &str = "train --preset tiny-16 --set train.steps=120 --set train.batch=4 --set data.limit=30 \
                     --set model.dropout=0.1 --set train.log_every=5 --set train.checkpoint_every=40 \
                     --set sample.count=2 --set sample.steps=2";

/// The run that nothing interrupts, in `whole`.
static WHOLE: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::shared(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("resume")).expect("a folder");
    let _ = place.ddpm(&format!("{TRAIN} --run whole")).expect("the built program").ok();
    place
});

/// Asserts that a run ended like `other` in another folder.
fn assert_same_end(place: &Place, run: &str, (elsewhere, other): (&Place, &str)) -> anyhow::Result<()> {
    let last = "checkpoints/step-00000120";
    for name in place.names(&format!("{run}/{last}")) {
        let sha = |place: &Place, run: &str| place.sha256(&format!("{run}/{last}/{name}"));
        ensure!(sha(place, run)? == sha(elsewhere, other)?, "{name} of {run} and of {other} differ");
    }
    ensure!(place.names(&format!("{run}/{last}")).len() == 6);
    ensure!(place.records(run)? == elsewhere.records(other)?, "the records of {run} and {other} differ");
    ensure!(place.records(run)?.len() == 24);
    // The final grid must not differ either.
    let grid = "samples/step-00000120-ema.png";
    ensure!(place.read(&format!("{run}/{grid}"))? == elsewhere.read(&format!("{other}/{grid}"))?);
    Ok(())
}

fn steps_saved(place: &Place, run: &str) -> Vec<u64> {
    let names = place.names(&format!("{run}/checkpoints"));
    names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect()
}

#[test]
fn interrupted_runs_end_as_the_whole_one() -> anyhow::Result<()> {
    let place = Place::new()?;
    let whole = (&*WHOLE, "whole");

    // User interruptions, one at a time. With a handler here, the child does not ignore SIGHUP, even under `nohup`.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, std::sync::Arc::default())?;
    let line = format!("{TRAIN} --run stopped");
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let before = steps_saved(&place, "stopped").last().copied().unwrap_or(0);
        let mut running = place.start(&line)?;
        running.wait_for_more(&place.at("stopped/metrics.jsonl"))?;
        running.signal(signal)?;
        let output = running.wait()?.expect_code(code);
        ensure!(output.stderr.contains("run the same command to continue"), "{}", output.stderr);
        let saved = steps_saved(&place, "stopped").last().copied().context("nothing saved")?;
        ensure!(saved > before && saved < 120, "stopped after step {saved}, before at {before}");
    }
    let _ = place.ddpm(&line)?.ok();
    assert_same_end(&place, "stopped", whole)?;

    // Started once more, it changes nothing.
    let manifest = place.sha256("stopped/checkpoints/step-00000120/manifest.json")?;
    let output = place.ddpm(&line)?.ok();
    ensure!(output.stderr.contains("this run is finished"), "{}", output.stderr);
    ensure!(place.sha256("stopped/checkpoints/step-00000120/manifest.json")? == manifest);
    assert_same_end(&place, "stopped", whole)
}

#[test]
fn a_run_that_was_killed_goes_on_from_its_last_checkpoint() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!("{TRAIN} --run killed");
    let mut running = place.start(&line)?;
    running.wait_for_more(&place.at("killed/metrics.jsonl"))?;
    running.signal("KILL")?;
    ensure!(running.wait()?.code.is_none(), "it ended before the signal");
    let _ = place.ddpm(&line)?.ok();
    assert_same_end(&place, "killed", (&*WHOLE, "whole"))
}

#[test]
fn one_process_at_a_time_and_one_configuration_a_run() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = format!("{TRAIN} --run run");
    let mut first = place.start(&line)?;
    first.wait_for_more(&place.at("run/metrics.jsonl"))?;
    // Stopped, so that it cannot finish before the second one starts.
    first.signal("STOP")?;
    let config = place.read("run/config.toml")?;
    let second = place.ddpm(&line)?;
    let third = place.ddpm("train --resume --run run")?;
    first.signal("INT")?;
    first.signal("CONT")?;
    let _ = first.wait()?.expect_code(130);
    for refused in [second, third] {
        let refused = refused.expect_code(6);
        ensure!(refused.errors().len() == 1 && refused.stderr.contains("in use"), "{}", refused.stderr);
    }
    ensure!(place.read("run/config.toml")? == config);

    // Other values mean another run, unless --resume says that this one continues with them.
    let other = place.ddpm(&format!("{line} --set train.lr=1e-4"))?.expect_code(2);
    ensure!(other.stderr.contains("train.lr") && other.stderr.contains("--resume"), "{}", other.stderr);
    let frozen = place.ddpm("train --resume --run run --set model.heads=2")?.expect_code(2);
    ensure!(frozen.stderr.contains("model.heads is 1 in this run and 2 here"), "{}", frozen.stderr);
    ensure!(place.read("run/config.toml")? == config);
    let _ = place.ddpm("train --resume --run run --set train.steps=121 --set train.lr=1e-4")?.ok();
    ensure!(steps_saved(&place, "run").last() == Some(&121));
    Ok(())
}

#[test]
fn a_signal_cancels_a_grid_that_is_drawn_later() -> anyhow::Result<()> {
    let place = Place::new()?;
    // A grid of a thousand steps takes much longer than the signal needs.
    let line = "train --preset tiny-16 --run run --set train.steps=3 --set train.batch=4 --set data.limit=30 --set train.log_every=1 \
                --set train.sample_every=2 --set sample.count=4 --set sample.sampler=ddpm --set sample.steps=1000";
    let mut running = place.start(line)?;
    let logged =
        || place.read("run/metrics.jsonl").map_or(0, |text| text.split(|&byte| byte == b'\n').count() - 1);
    while logged() < 2 {
        ensure!(!running.let_run(std::time::Duration::from_millis(5))?, "it ended before its second step");
    }
    running.signal("INT")?;
    let _ = running.wait()?.expect_code(130);
    ensure!(place.names("run/samples").is_empty(), "{:?}", place.names("run/samples"));
    ensure!(steps_saved(&place, "run") == [2], "{:?}", steps_saved(&place, "run"));
    let _ = place.ddpm(line)?.ok();
    ensure!(place.names("run/samples") == ["step-00000002-ema.png", "step-00000003-ema.png"]);
    Ok(())
}

/// Also on a GPU, if there is one: `auto` chooses it.
#[test]
fn deterministic_runs_are_the_same_whether_interrupted_or_not() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = |run| format!("{TRAIN} --run {run} --deterministic --device auto --threads 1");
    let _ = place.run(&line("whole"))?.ok();
    let stopped = line("stopped");
    let mut running = Running::start(&stopped, &mut place.command(&stopped)?)?;
    running.wait_for_more(&place.at("stopped/metrics.jsonl"))?;
    running.signal("INT")?;
    let _ = running.wait()?.expect_code(130);
    let _ = place.run(&stopped)?.ok();
    assert_same_end(&place, "stopped", (&place, "whole"))?;

    // On the CPU the flag changes nothing, so the run is the same without it.
    let _ = place.ddpm(&format!("{TRAIN} --run chosen --deterministic"))?.ok();
    assert_same_end(&place, "chosen", (&*WHOLE, "whole"))
}

/// Activation checkpointing only affects memory. A run may start with it and resume without it, or the other way round,
/// and stays the same run, dropout included.
#[test]
fn checkpointing_activations_changes_no_bit_and_may_change_on_resume() -> anyhow::Result<()> {
    let place = Place::new()?;
    let short = TRAIN
        .replace("train.steps=120", "train.steps=4")
        .replace("checkpoint_every=40", "checkpoint_every=4");
    let _ = place.run(&format!("{short} --run without"))?.ok();
    let _ = place.run(&format!("{short} --run with --checkpoint-activations"))?.ok();
    let said = |run: &str| -> anyhow::Result<bool> {
        Ok(String::from_utf8(place.read(&format!("{run}/config.toml"))?)?
            .contains("checkpoint_activations = true"))
    };
    ensure!(said("with")? && !said("without")?);
    let same = |step: u64| -> anyhow::Result<()> {
        for name in ["model", "ema", "optimizer"] {
            let sha =
                |run: &str| place.sha256(&format!("{run}/checkpoints/step-{step:08}/{name}.safetensors"));
            ensure!(sha("with")? == sha("without")?, "{name} of step {step} differs");
        }
        Ok(())
    };
    same(4)?;
    let more = "train --resume --set train.steps=8";
    let _ = place.run(&format!("{more} --run without --checkpoint-activations"))?.ok();
    let _ = place.run(&format!("{more} --run with --set train.checkpoint_activations=false"))?.ok();
    ensure!(!said("with")? && said("without")?);
    same(8)
}

/// Settings on resume must fit what the run has done; a refusal changes nothing in its folder.
#[test]
fn a_run_resumes_as_itself_or_not_at_all() -> anyhow::Result<()> {
    let place = Place::new()?;
    let short = TRAIN
        .replace("train.steps=120", "train.steps=8")
        .replace("checkpoint_every=40", "checkpoint_every=4")
        + " --set train.warmup_steps=2";
    let _ = place.run(&format!("{short} --run run"))?.ok();
    let _ = place.run(&format!("{short} --run other --set train.lr=1e-4"))?.ok();
    let manifest = place.sha256("run/checkpoints/step-00000008/manifest.json")?;
    for (change, words) in [
        ("train.prediction=eps", "train.prediction is \"v\" in this run and \"eps\" here"),
        ("schedule.kind=cosine", "schedule.kind is \"linear\" in this run and \"cosine\" here"),
        ("model.norm_eps=0.001", "model.norm_eps is 0.000001 in this run and 0.001 here"),
        ("train.steps=5", "this run has done 8 steps"),
        ("data.source=nowhere", "nowhere"),
    ] {
        let refused = place.run(&format!("train --resume --run run --set {change}"))?.expect_code(2);
        ensure!(
            refused.errors().len() == 1 && refused.stderr.contains(words),
            "{change}: {}",
            refused.stderr
        );
    }
    // A configuration edited by hand differs from the checkpoint's.
    let config = String::from_utf8(place.read("run/config.toml")?)?;
    place.write("run/config.toml", config.replace("groups = 8", "groups = 4"))?;
    let edited = place.run("train --resume --run run")?.expect_code(2);
    ensure!(edited.stderr.contains("model.groups is 8 in this run and 4 here"), "{}", edited.stderr);
    place.write("run/config.toml", &config)?;
    ensure!(place.sha256("run/checkpoints/step-00000008/manifest.json")? == manifest);

    // A longer run with cosine decay logs how the learning rate changes.
    let longer = place.run("train --resume --run run --set train.steps=16")?.ok();
    ensure!(longer.stderr.contains("the learning rate rises from"), "{}", longer.stderr);

    // A checkpoint of another run with the same shapes is refused.
    let _ = place.run("train --resume --run other --set train.steps=20")?.ok();
    let (from, to) = (place.at("other/checkpoints/step-00000020"), place.at("run/checkpoints/step-00000020"));
    std::fs::create_dir(&to)?;
    for file in std::fs::read_dir(&from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    for line in ["train --resume --run run", &format!("{short} --run run --set train.steps=16")] {
        let foreign = place.run(line)?;
        let said = foreign.errors().join(" ");
        ensure!(
            foreign.code != Some(0) && said.contains("step-00000020: it belongs to run"),
            "{line}: {}",
            foreign.stderr
        );
    }
    Ok(())
}

/// Images are identified by their hash, so their location may change.
#[test]
fn images_that_moved_are_named_and_the_run_ends_as_it_would_have() -> anyhow::Result<()> {
    let place = Place::new()?;
    for (folder, first) in [("photos", 0), ("others", 50)] {
        for n in 0..6 {
            place.write(
                &format!("{folder}/{n}.png"),
                data::grey_file(first + n, (16, 16), ImageFormat::Png)?,
            )?;
        }
    }
    let train = "train --preset tiny-16 --data photos --set train.batch=3 --set train.checkpoint_every=4 --set model.dropout=0.1 \
                 --set sample.count=2 --set sample.steps=2 --set train.log_every=1 --set precision=f32";
    let _ = place.run(&format!("{train} --set train.steps=8 --run whole"))?.ok();
    let _ = place.run(&format!("{train} --set train.steps=8 --run moved"))?.ok();
    std::fs::remove_dir_all(place.at("moved/checkpoints/step-00000008"))?;
    std::fs::rename(place.at("photos"), place.at("pictures"))?;

    let gone = place.run("train --resume --run moved")?;
    ensure!(
        gone.code != Some(0) && gone.errors().join(" ").contains("pass their new place with --data"),
        "{}",
        gone.stderr
    );
    let other = place.run("train --resume --run moved --data others")?;
    ensure!(other.code != Some(0) && other.errors().len() == 1, "{}", other.stderr);
    ensure!(
        other.stderr.contains("are not the images that the run in moved was started with"),
        "{}",
        other.stderr
    );
    let _ = place.run("train --resume --run moved --data pictures")?.ok();
    let sha =
        |run: &str, name: &str| place.sha256(&format!("{run}/checkpoints/step-00000008/{name}.safetensors"));
    for name in ["model", "ema", "optimizer"] {
        ensure!(sha("moved", name)? == sha("whole", name)?, "{name} differs");
    }
    ensure!(place.records("moved")? == place.records("whole")?);
    // Once given, the new location is stored; --set does the same, and so does the whole command.
    let _ = place.run("train --resume --run moved")?.ok();
    let _ = place.run("train --resume --run whole --set data.source=pictures")?.ok();
    std::fs::rename(place.at("pictures"), place.at("photos-2"))?;
    let again = train.replace("--data photos", "--data photos-2");
    let _ = place.run(&format!("{again} --set train.steps=8 --run whole"))?.ok();
    Ok(())
}
