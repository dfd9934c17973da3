//! `--batch`: the number of images per step, and how many of them fit in memory at a time.

use std::env;
use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;

use anyhow::{Context, bail};
use tracing::info;
use trainer::RunFolder;

use super::Train;
use crate::config::{Config, read_run, to_toml};
use crate::failure::RESOURCES;
use crate::flags::Global;

/// The value of `--batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchSize {
    /// This many images.
    Images(usize),
    /// The batch of the configuration, split so that it fits in memory.
    Auto,
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(images) if images > 0 => Ok(Self::Images(images)),
            _ => Err("expected a number of images from 1, or auto".to_owned()),
        }
    }
}

impl Train {
    /// The value that `--batch auto` found at the start of the run. A continued run keeps it, since other parts would
    /// make it another run. `--resume` searches again, since there may be less memory now.
    pub(super) fn found_before(&self, folder: &RunFolder, config: &Config) -> anyhow::Result<Option<usize>> {
        let path = folder.config_path();
        if self.resume || path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let before = read_run(&path)?.train;
        let same = before.batch == config.train.batch
            && before.checkpoint_activations == config.train.checkpoint_activations;
        Ok(same.then_some(before.micro_batch))
    }
}

/// The largest half, quarter and so on of the batch for which a step fits in memory, as `train.micro_batch`; 0 if the
/// whole batch fits.
pub(super) fn fitting(config: &Config, global: &Global) -> anyhow::Result<usize> {
    let batch = config.train.batch;
    let mut images = batch;
    while !fits(config, images, global)? {
        if images == 1 {
            bail!(
                "--batch auto: not enough memory for one image of {0}x{0} at a time; use smaller images or a smaller model",
                config.model.image_size
            );
        }
        images = images.div_ceil(2);
    }
    if images == batch {
        info!("a batch of {} fits in memory", files::counted(batch, "image"));
        return Ok(0);
    }
    info!("a batch of {batch} images goes through the network {images} at a time, to fit in memory");
    Ok(images)
}

/// Whether there is memory for this many images at a time.
fn fits(config: &Config, images: usize, global: &Global) -> anyhow::Result<bool> {
    let program = env::current_exe().context("the path of this program is unknown")?;
    let mut command = Command::new(program);
    command.args(["try-step", "--quiet", "--images", &images.to_string(), "--device", &global.device]);
    if let Some(threads) = global.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if global.deterministic {
        command.arg("--deterministic");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("--batch auto: cannot start a process for a trial step")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A process that ends before it has read everything gives the reason in its exit code.
        let _ = stdin.write_all(to_toml(config)?.as_bytes());
    }
    let output = child.wait_with_output().context("--batch auto")?;
    if output.status.success() {
        return Ok(true);
    }
    if output.status.code() == Some(i32::from(RESOURCES)) || was_killed(output.status) {
        return Ok(false);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.trim_end().lines().last().unwrap_or_default();
    bail!("--batch auto: the trial step failed: {}", line.trim_start_matches("error: "))
}

/// Killed by the system, which does so when memory runs out, or aborted by its own libraries, which give up then.
#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use signal_hook::consts::{SIGABRT, SIGKILL};
    use std::os::unix::process::ExitStatusExt;
    status.signal().is_some_and(|signal| [SIGKILL, SIGABRT].contains(&signal))
}

#[cfg(not(unix))]
fn was_killed(_: ExitStatus) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::BatchSize;

    #[test]
    fn a_batch_is_a_number_or_auto() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert_eq!("12".parse(), Ok(BatchSize::Images(12)));
        for wrong in ["0", "-1", "", "Auto", "1.5", "99999999999999999999999"] {
            assert!(wrong.parse::<BatchSize>().is_err(), "{wrong}");
        }
    }
}
