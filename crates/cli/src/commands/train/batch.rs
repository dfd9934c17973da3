//! `--batch`: how many images a step has, and how many of them fit into memory at the same time.

use std::env;
use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;

use anyhow::{Context, bail};
use tracing::info;

use crate::config::{Config, to_toml};
use crate::failure::RESOURCES;
use crate::flags::Global;

/// What `--batch` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchSize {
    /// So many images.
    Images(usize),
    /// Those of the configuration, as many at the same time as fit.
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

/// The largest half, quarter and so on of the batch with which a step fits into memory, as `train.micro_batch`; 0 when
/// the whole batch fits.
pub(super) fn fitting(config: &Config, global: &Global) -> anyhow::Result<usize> {
    let batch = config.train.batch;
    let mut images = batch;
    while !fits(config, images, global)? {
        if images == 1 {
            bail!(
                "--batch auto: not enough memory for one image of {0}x{0} at a time; smaller images or a smaller model \
                 need less",
                config.model.image_size
            );
        }
        images = images.div_ceil(2);
    }
    if images == batch {
        info!("a batch of {batch} images fits into memory");
        return Ok(0);
    }
    info!("a batch of {batch} images goes through the network {images} at a time, to fit into memory");
    Ok(images)
}

/// Whether there is memory for so many images at the same time.
fn fits(config: &Config, images: usize, global: &Global) -> anyhow::Result<bool> {
    let program = env::current_exe().context("the place of this program is not known")?;
    let mut command = Command::new(program);
    command.args(["try-step", "--quiet", "--images", &images.to_string(), "--device", &global.device]);
    if let Some(threads) = global.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if global.deterministic {
        command.arg("--deterministic");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("--batch auto: a process to try a step in cannot be started")?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read everything says why by its exit code.
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
    bail!("--batch auto: a step was tried and failed: {}", line.trim_start_matches("error: "))
}

/// By the system, which does so when memory runs out, or by its own libraries, which give up then.
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
    fn a_batch_is_a_number_or_found() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert_eq!("12".parse(), Ok(BatchSize::Images(12)));
        for wrong in ["0", "-1", "", "Auto", "1.5", "99999999999999999999999"] {
            assert!(wrong.parse::<BatchSize>().is_err(), "{wrong}");
        }
    }
}
