//! `ddpm launch`: starts the ranks of one machine, watches them, and starts them again after a failure.

mod children;

use std::ffi::OsString;

use anyhow::Context;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use distributed::{Server, Transport};
use tracing::warn;

use crate::exit::ExitCode;
use crate::failure::{self, RankFailed, bail_usage};
use crate::flags::Global;
use crate::signals::Signals;
use children::{Children, Ended, Failure};

/// Commands that several ranks can run together.
pub(super) const COMMANDS: [&str; 4] = ["train", "distill", "sample", "bench"];
/// More processes than this on one machine are a mistake.
const MOST: usize = 1024;

/// Starts a command as several processes, which share its work.
#[derive(Debug, Args)]
#[command(
    after_help = "The processes are called ranks. They divide every batch and the cores, take the same steps, and rank 0 \
writes. If one fails, all are ended, and the exit code is that of the first that failed (128 + N after signal N). A run \
continues from its last checkpoint, also with another number of ranks. On several machines, use torchrun or srun: see \
docs/scale.md.

Examples:
  ddpm launch --nproc 2 -- train --data photos/ --run runs/photos
  ddpm launch --nproc 8 --restarts 3 -- train --data photos/
  ddpm launch --nproc 4 -- sample --run runs/photos --count 50000 --save npz"
)]
pub(crate) struct Launch {
    /// Number of ranks, 1 to 1024
    #[arg(long, value_name = "N")]
    nproc: usize,
    /// After a failure, start all ranks again, at most this often
    #[arg(long, value_name = "K", default_value_t = 0)]
    restarts: u32,
    /// Seconds after which a rank gives up waiting for the others, 1 to 86400 [default: DDPM_RANK_TIMEOUT,
    /// else 600]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Type in which gradients are summed: f32, or bf16 for half the traffic [default: DDPM_REDUCE, else f32]
    #[arg(long, value_name = "KIND")]
    reduce: Option<String>,
    /// How tensors of GPUs travel: nccl, between them; gloo, through host memory; auto, by nccl if every rank has a
    /// GPU of its own [default: DDPM_TRANSPORT, else auto]
    #[arg(long, value_name = "KIND")]
    transport: Option<String>,
    /// Divide the state of Adam over the ranks: the same run in less memory, more traffic; also with
    /// DDPM_SHARD_STATE=1
    #[arg(long)]
    shard_state: bool,
    /// The command and its flags: train, distill, sample, bench train or bench sums
    #[arg(last = true, required = true, value_name = "COMMAND", value_parser = OsStringValueParser::new().map(Word))]
    command: Vec<Word>,
}

/// A word of the command, which may be a path. The command itself reads it.
#[derive(Debug, Clone)]
struct Word(OsString);

impl Launch {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        self.check()?;
        // The ranks decide about a stop; a second signal ends the launcher, and with it the ranks.
        let signals = Signals::install()?;
        signals.hold();
        let server = Server::new()?;
        for attempt in 0_u32.. {
            let mut children = self.start(&server, attempt, global)?;
            let failure = match children.watch(&signals)? {
                Ended::Done => return Ok(ExitCode::SUCCESS),
                Ended::Stopped(code) => return Ok(ExitCode::from(code)),
                Ended::Failed(failure) => failure,
            };
            if attempt >= self.restarts || !may_pass(&failure) {
                return failed(failure);
            }
            warn!("{}; starting all ranks again ({} of {})", failure.text(), attempt + 1, self.restarts);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(1..=MOST).contains(&self.nproc) {
            bail_usage!("--nproc {}: expected 1 to {MOST}", self.nproc);
        }
        if let Some(seconds) = self.timeout.filter(|seconds| !(1..=86_400).contains(seconds)) {
            bail_usage!("--timeout {seconds}: expected 1 to 86400 seconds");
        }
        if let Some(kind) = self.reduce.as_deref().filter(|kind| !["f32", "bf16"].contains(kind)) {
            bail_usage!("--reduce {kind}: expected f32 or bf16");
        }
        if let Some(kind) = self.transport.as_deref().filter(|kind| Transport::named(kind).is_none()) {
            bail_usage!("--transport {kind}: expected auto, gloo or nccl");
        }
        let command = self.command.first().map(|word| word.0.to_string_lossy()).unwrap_or_default();
        if !COMMANDS.contains(&&*command) {
            bail_usage!("launch: {command}: expected train, distill, sample or bench after --");
        }
        Ok(())
    }

    fn start(&self, server: &Server, attempt: u32, global: &Global) -> anyhow::Result<Children> {
        let mut variables = vec![
            ("WORLD_SIZE", self.nproc.to_string()),
            ("LOCAL_WORLD_SIZE", self.nproc.to_string()),
            ("MASTER_ADDR", Server::HOST.to_owned()),
            ("MASTER_PORT", server.port().to_string()),
            ("TORCHELASTIC_USE_AGENT_STORE", "True".to_owned()),
            ("TORCHELASTIC_RESTART_COUNT", attempt.to_string()),
            (crate::ranks::LAUNCHER, std::process::id().to_string()),
        ];
        variables.extend(self.choices());
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let words: Vec<OsString> =
            self.command.iter().map(|word| word.0.clone()).chain(flags(global)).collect();
        Children::start(&program, &words, &variables, self.nproc)
    }

    /// The variables of the flags that were given. Without a flag the ranks inherit the variable of the environment, and
    /// without that they use the default.
    fn choices(&self) -> impl Iterator<Item = (&'static str, String)> {
        let timeout = self.timeout.map(|seconds| (distributed::TIMEOUT, seconds.to_string()));
        let reduce = self.reduce.clone().map(|kind| (distributed::REDUCE, kind));
        let transport = self.transport.clone().map(|kind| (distributed::TRANSPORT, kind));
        let shard_state = self.shard_state.then(|| (distributed::SHARD_STATE, "1".to_owned()));
        [timeout, reduce, transport, shard_state].into_iter().flatten()
    }
}

/// The flags of every command that were given to the launcher.
fn flags(global: &Global) -> Vec<OsString> {
    let mut flags = Vec::new();
    if global.device != "auto" {
        flags.extend(["--device".to_owned(), global.device.clone()]);
    }
    if let Some(threads) = global.threads {
        flags.extend(["--threads".to_owned(), threads.to_string()]);
    }
    flags.extend((0..global.verbose).map(|_| "--verbose".to_owned()));
    for (given, flag) in
        [(global.deterministic, "--deterministic"), (global.json, "--json"), (global.quiet, "--quiet")]
    {
        flags.extend(given.then(|| flag.to_owned()));
    }
    flags.into_iter().map(Into::into).collect()
}

/// Whether another start may end differently. It does not with wrong flags or data, nor for a run that diverged.
fn may_pass(failure: &Failure) -> bool {
    !failure::is_final(failure.code)
}

fn failed(failure: Failure) -> anyhow::Result<ExitCode> {
    let code = failure.code;
    // Rank 0 shares the screen, so its own message is already there.
    if failure.is_told {
        return Ok(ExitCode::from(code));
    }
    Err(anyhow::Error::new(RankFailed { text: failure.text(), code }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn a_flag_sets_its_variable_and_without_it_the_environment_decides() {
        let choices = |flags: &[&str]| -> Vec<(&'static str, String)> {
            let words = [&["ddpm", "launch", "--nproc", "2"][..], flags, &["--", "train"][..]].concat();
            match Cli::try_parse_from(words).unwrap().command {
                Command::Launch(launch) => launch.choices().collect(),
                other => panic!("{other:?}"),
            }
        };
        assert!(choices(&[]).is_empty());
        assert_eq!(choices(&["--timeout", "5"]), [("DDPM_RANK_TIMEOUT", "5".to_owned())]);
        // The default too: it wins over a variable.
        assert_eq!(choices(&["--reduce", "f32"]), [("DDPM_REDUCE", "f32".to_owned())]);
        assert_eq!(choices(&["--transport", "gloo"]), [("DDPM_TRANSPORT", "gloo".to_owned())]);
        assert_eq!(choices(&["--shard-state"]), [("DDPM_SHARD_STATE", "1".to_owned())]);
    }

    #[test]
    fn flags_before_the_command_are_passed_on() {
        let global = Global {
            device: "cpu".to_owned(),
            threads: Some(3),
            deterministic: true,
            json: false,
            verbose: 2,
            quiet: false,
        };
        let expected = ["--device", "cpu", "--threads", "3", "--verbose", "--verbose", "--deterministic"];
        assert_eq!(flags(&global), expected);
        let global =
            Global { device: "auto".to_owned(), threads: None, deterministic: false, verbose: 0, ..global };
        assert!(flags(&global).is_empty());
    }
}
