//! Trainings on the set and on the embedded images, watched from outside: memory, and SIGKILL at random moments.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Args, earlier};
use crate::bench::object;
use crate::child::Ddpm;
use crate::draws::Draws;
use crate::process::{Exit, last_error, line_of};
use crate::run_log::Log;
use crate::setup::hash;

/// How often a training is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Kills of one training.
const KILLS: u64 = 3;
/// Checkpoints and lines in the log of a training.
const CHECKPOINTS: u64 = 5;
const LINES: u64 = 20;

/// What the images of a training come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images<'a> {
    /// The shards of a folder.
    Streamed(&'a Path),
    /// The embedded set.
    InMemory,
}

/// The settings of all trainings.
#[derive(Debug)]
pub(super) struct Trainings<'a> {
    pub(super) ddpm: &'a Ddpm,
    pub(super) args: &'a Args,
    /// MiB of decoded images that may be kept: less than the set has.
    pub(super) memory: u64,
    /// Images of a group of blocks.
    pub(super) buffer: u64,
}

/// A finished training.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trained {
    pub(super) images_per_s: f64,
    /// Peak memory in bytes; `None` where the system does not say.
    pub(super) peak: Option<u64>,
}

/// How a training went that was killed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Killed {
    /// The last logged step at each kill.
    pub(super) at: Vec<u64>,
    /// SHA-256 of the last weights.
    pub(super) weights: String,
    pub(super) peak: Option<u64>,
}

impl Trainings<'_> {
    /// Trains from the first step to the last; an earlier run of this name is replaced.
    pub(super) fn whole(&self, name: &str, images: Images<'_>) -> anyhow::Result<Trained> {
        let run = self.fresh(name)?;
        let watched = self.watch(&mut self.command(&run, images), &mut || false)?;
        Ok(Trained { images_per_s: Log::read(&run)?.images_per_s()?, peak: watched.peak })
    }

    /// Trains, is killed a few times at random moments after the first checkpoint, and starts again with the same command.
    pub(super) fn killed(&self, name: &str, images: Images<'_>) -> anyhow::Result<Killed> {
        let run = self.fresh(name)?;
        let mut killed = Killed { at: Vec::new(), weights: String::new(), peak: None };
        for (target, share) in moments(self.args.seed, self.args.steps) {
            let (mut reached, before) = (None, written(&run));
            let watched = self.watch(&mut self.command(&run, images), &mut || {
                // The log may have such a step from before the last kill.
                if written(&run) == before || last_logged(&run) < target {
                    return false;
                }
                // Somewhere between this line of the log and the next.
                let since = *reached.get_or_insert_with(Instant::now);
                let step = Log::read(&run).and_then(|log| log.median_step()).unwrap_or(0.0);
                since.elapsed().as_secs_f64() >= share * step * (self.args.steps / LINES).max(1) as f64
            })?;
            killed.peak = killed.peak.max(watched.peak);
            if !watched.killed {
                break;
            }
            killed.at.push(last_logged(&run));
        }
        ensure!(!killed.at.is_empty(), "{name}: no kill hit the training; give more --steps");
        let watched = self.watch(&mut self.command(&run, images), &mut || false)?;
        killed.peak = killed.peak.max(watched.peak);
        killed.weights = self.weights(name)?;
        Ok(killed)
    }

    /// SHA-256 of the last weights of a run.
    pub(super) fn weights(&self, name: &str) -> anyhow::Result<String> {
        let step = format!("checkpoints/step-{:08}", self.args.steps);
        let mut hasher = Sha256::new();
        for file in ["model.safetensors", "ema.safetensors"] {
            let path = self.run(name).join(&step).join(file);
            hasher.update(fs::read(&path).with_context(|| path.display().to_string())?);
        }
        Ok(hash::hex(&hasher.finalize()))
    }

    /// Images per second that are read and decoded on this many threads, without a network.
    pub(super) fn read(&self, folder: &Path, threads: usize) -> anyhow::Result<f64> {
        let mut words = ["inspect", "data", "--rate", "--json", "--data"].map(str::to_owned).to_vec();
        words.push(folder.display().to_string());
        self.of_images(&mut words);
        let mut command = self.ddpm.command(&words);
        let output = command.env("RAYON_NUM_THREADS", threads.to_string()).output()?;
        let line = line_of(&command);
        let why = || last_error(&output.stderr).unwrap_or_default();
        ensure!(output.status.success(), "`{line}`: {}", why());
        let said: Value = object(&String::from_utf8_lossy(&output.stdout))?;
        said["images_per_s"].as_f64().with_context(|| format!("`{line}`: no images_per_s"))
    }

    fn run(&self, name: &str) -> PathBuf {
        self.args.runs.join(name)
    }

    fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let run = self.run(name);
        earlier::remove(&run)?;
        Ok(run)
    }

    /// The settings of a streamed set.
    fn of_images(&self, words: &mut Vec<String>) {
        let (memory, buffer) = (self.memory, self.buffer);
        for value in [
            format!("data.memory={memory}"),
            "data.order=blocks".to_owned(),
            format!("data.shuffle_buffer={buffer}"),
            "data.channels=1".to_owned(),
        ] {
            words.extend(["--set".to_owned(), value]);
        }
        words.extend(["--preset".to_owned(), self.args.preset.clone()]);
    }

    fn command(&self, run: &Path, images: Images<'_>) -> Command {
        let Args { steps, seed, .. } = *self.args;
        let mut words = ["train", "--json", "--run"].map(str::to_owned).to_vec();
        words.push(run.display().to_string());
        match images {
            Images::Streamed(folder) => {
                words.extend(["--data".to_owned(), folder.display().to_string()]);
                self.of_images(&mut words);
            }
            Images::InMemory => {
                for word in ["--data", "fashion-mnist", "--preset", &self.args.preset] {
                    words.push(word.to_owned());
                }
            }
        }
        for value in [
            format!("seed={seed}"),
            format!("train.steps={steps}"),
            format!("train.checkpoint_every={}", (steps / CHECKPOINTS).max(1)),
            format!("train.log_every={}", (steps / LINES).max(1)),
            "train.sample_every=0".to_owned(),
        ]
        .into_iter()
        .chain(self.args.set.iter().cloned())
        {
            words.extend(["--set".to_owned(), value]);
        }
        self.ddpm.command(&words)
    }

    /// Runs a training, and kills it once `kill` says so.
    fn watch(&self, command: &mut Command, kill: &mut dyn FnMut() -> bool) -> anyhow::Result<Watched> {
        let log = self.args.runs.join("log");
        fs::create_dir_all(&self.args.runs).with_context(|| self.args.runs.display().to_string())?;
        let open = OpenOptions::new().create(true).write(true).truncate(true).open(&log);
        let file = open.with_context(|| format!("{} cannot be written", log.display()))?;
        let line = line_of(command);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("`{line}` cannot be started"))?;
        let (watched, status) = self.wait(&mut child, kill).with_context(|| line.clone())?;
        if let Some(code) = self.ddpm.stop_code() {
            return Err(Exit::stopped(code).into());
        }
        if !watched.killed && !status.success() {
            let said = fs::read(&log).unwrap_or_default();
            bail!("`{line}`: {status}: {}", last_error(&said).unwrap_or_default());
        }
        Ok(watched)
    }

    fn wait(
        &self,
        child: &mut Child,
        kill: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<(Watched, ExitStatus)> {
        let mut watched = Watched { peak: None, killed: false };
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((watched, status));
            }
            watched.peak = watched.peak.max(high_water(child.id()));
            if self.ddpm.stop_code().is_some() || (!watched.killed && kill()) {
                child.kill()?;
                watched.killed = true;
            }
            thread::sleep(POLL);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watched {
    peak: Option<u64>,
    killed: bool,
}

/// When to kill: steps between the first checkpoint and three quarters of the training, rising, each with a share of the
/// time between two lines of the log.
fn moments(seed: u64, steps: u64) -> Vec<(u64, f64)> {
    let mut draws = Draws::new(seed, KILLS);
    let (first, last) = ((steps / CHECKPOINTS).max(1) + 1, steps * 3 / 4);
    let mut moments: Vec<(u64, f64)> = (0..KILLS)
        .map(|_| (first + draws.below(last.saturating_sub(first)), draws.below(1000) as f64 / 1000.0))
        .collect();
    moments.sort_by_key(|&(step, _)| step);
    moments
}

/// The log of a run.
const METRICS: &str = "metrics.jsonl";

/// When the log of a run was last written.
fn written(run: &Path) -> Option<SystemTime> {
    fs::metadata(run.join(METRICS)).and_then(|meta| meta.modified()).ok()
}

/// The last step in the log of a run; 0 without one.
fn last_logged(run: &Path) -> u64 {
    let text = fs::read_to_string(run.join(METRICS)).unwrap_or_default();
    // The last line may be half written.
    let step = |line: &str| serde_json::from_str::<Value>(line).ok()?["step"].as_u64();
    text.lines().rev().find_map(step).unwrap_or(0)
}

/// The largest memory that a process has had so far, in bytes; known only on Linux.
fn high_water(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_after_the_first_checkpoint_and_before_the_end() {
        for (seed, steps) in [(0, 300), (1, 20), (2, 20), (3, 1000)] {
            let moments = moments(seed, steps);
            assert_eq!(moments.len() as u64, KILLS);
            assert!(moments.is_sorted_by_key(|&(step, _)| step));
            let range = steps / CHECKPOINTS + 1..=steps * 3 / 4;
            assert!(moments.iter().all(|(step, share)| range.contains(step) && (0.0..1.0).contains(share)));
        }
        assert_ne!(moments(0, 300), moments(1, 300));
    }

    #[test]
    fn the_log_may_end_in_a_half_line() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(last_logged(run.path()), 0);
        assert_eq!(written(run.path()), None);
        fs::write(run.path().join(METRICS), "{\"step\": 5}\n{\"step\": 10}\n{\"st").unwrap();
        assert!(last_logged(run.path()) == 10 && written(run.path()).is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_an_ended_one_has_none() {
        assert!(high_water(std::process::id()).is_some_and(|bytes| bytes > 1_000_000));
        assert_eq!(high_water(0), None);
    }
}
