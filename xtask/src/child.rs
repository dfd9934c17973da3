//! Runs the program: its log goes to a file, its failure becomes one line, and stops are passed on.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::bench::object;
use crate::ddpm;
use crate::process::{Exit, last_error, line_of};
use crate::workspace::Workspace;

/// Exit codes of `ddpm` for a training that diverged, and for runs that were stopped and have saved.
const DIVERGED: i32 = 3;
const STOPPED: [i32; 3] = [129, 130, 143];
/// How often to check whether the child has ended.
const POLL: Duration = Duration::from_millis(25);
/// Bytes at the end of a log that are searched for the reason of a failure.
const TAIL: usize = 8192;

/// Which program to start, and the device.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Program {
    /// Device of the computation: auto, cpu, cuda or cuda:N [default: auto].
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// A built `ddpm` [default: build it now, optimised].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

impl Program {
    /// Builds the program if none is named.
    pub(crate) fn path(&self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        self.path_or(|| ddpm::build(workspace))
    }

    /// Builds the program in this way if none is named.
    pub(crate) fn path_or(&self, build: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => build(),
        }
    }
}

/// The program, and arguments shared by all calls.
#[derive(Debug)]
pub(crate) struct Ddpm {
    program: PathBuf,
    device: Option<String>,
    /// The signal that requested a stop, 0 for none.
    stop: Arc<AtomicUsize>,
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    /// Succeeded, with its answer.
    Done(Value),
    /// Failed, with the reason in one line.
    Failed(String),
    /// Stopped by a user's signal, with the exit code for it.
    Stopped(u8),
}

impl Ddpm {
    /// Signals to this process end the running call and the study.
    pub(crate) fn new(program: PathBuf, device: Option<String>) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let registered = signal_hook::flag::register_usize(signal, Arc::clone(&stop), signal as usize);
            registered.context("cannot set the signal handlers")?;
        }
        Ok(Self { program, device, stop })
    }

    /// The program with these arguments, followed by the shared ones.
    pub(crate) fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        if let Some(device) = &self.device {
            command.args(["--device", device]);
        }
        // The user's log settings must not add lines.
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs a call that answers with a JSON object. Its log is appended to `log`.
    pub(crate) fn run(&self, args: &[String], log: &Path) -> anyhow::Result<Ended> {
        if let Some(code) = self.stop_code() {
            return Ok(Ended::Stopped(code));
        }
        let mut command = self.command(args);
        let before = fs::metadata(log).map_or(0, |meta| meta.len());
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdout(Stdio::piped()).stderr(file);
        let line = line_of(&command);
        let mut child = command.spawn().with_context(|| format!("`{line}` cannot be started"))?;
        let mut stdout = child.stdout.take().context("no standard output")?;
        let said = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let status = self.wait(&mut child).with_context(|| line.clone())?;
        let said = said.join().ok().and_then(Result::ok).unwrap_or_default();
        if let Some(code) = self.stop_code().or_else(|| stopped(status)) {
            return Ok(Ended::Stopped(code));
        }
        if !status.success() {
            return Ok(Ended::Failed(reason(status, &tail(log, before))));
        }
        Ok(object(&said).map_or_else(|error| Ended::Failed(format!("`{line}`: {error:#}")), Ended::Done))
    }

    /// [`Ddpm::run`] for work that cannot go on without the answer.
    ///
    /// # Errors
    /// A failed call, with only the reason, and a stop by the user, with its exit code.
    pub(crate) fn answer_with_log(&self, args: &[String], log: &Path) -> anyhow::Result<Value> {
        match self.run(args, log)? {
            Ended::Done(said) => Ok(said),
            Ended::Failed(reason) => bail!(reason),
            Ended::Stopped(code) => Err(Exit::stopped(code).into()),
        }
    }

    /// The JSON object that a short call answers with.
    ///
    /// # Errors
    /// A failed call, with only the reason.
    pub(crate) fn answer(&self, args: &[String]) -> anyhow::Result<Value> {
        let mut command = self.command(args);
        let line = line_of(&command);
        let output = command.output().with_context(|| format!("`{line}` cannot be started"))?;
        ensure!(output.status.success(), reason(output.status, &output.stderr));
        object(&String::from_utf8_lossy(&output.stdout))
    }

    /// Waits for the child to end. Ctrl-C reaches it directly; a signal sent only to us is passed on, once.
    fn wait(&self, child: &mut Child) -> anyhow::Result<ExitStatus> {
        let mut told = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            let signal = self.stop.load(Ordering::Relaxed) as i32;
            if !told && signal != 0 && signal != SIGINT {
                told = true;
                // Without that command the child runs to its end.
                let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            }
            thread::sleep(POLL);
        }
    }

    pub(crate) fn stop_code(&self) -> Option<u8> {
        match self.stop.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))),
        }
    }
}

/// The exit code of a run that was stopped from outside.
fn stopped(status: ExitStatus) -> Option<u8> {
    let code = status.code().filter(|code| STOPPED.contains(code))?;
    u8::try_from(code).ok()
}

/// The reason of a failure.
fn reason(status: ExitStatus, log: &[u8]) -> String {
    let last = last_error(log).map(|line| line.trim_start_matches("error: ").to_owned());
    let last = last.filter(|line| !line.is_empty());
    match (status.code(), last) {
        (Some(DIVERGED), Some(last)) => format!("diverged: {last}"),
        (Some(_), Some(last)) => last,
        (Some(code), None) => format!("exit code {code} without a message"),
        // The system kills the largest process when memory runs out.
        (None, _) => format!("killed by a signal ({status}); memory may have run out"),
    }
}

/// The end of a log, from what was written after `before`.
fn tail(log: &Path, before: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| file.read_to_end(&mut bytes));
    let new = bytes.get(before as usize..).filter(|_| read.is_ok()).unwrap_or_default();
    new[new.len().saturating_sub(TAIL)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Ended, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "error: of before\n").unwrap();
        let ddpm = Ddpm { program: "sh".into(), device: None, stop: Arc::default() };
        let ended = ddpm.run(&["-c".to_owned(), script.to_owned()], &log).unwrap();
        (ended, fs::read_to_string(log).unwrap())
    }

    #[test]
    fn an_answer_is_read_and_the_log_kept() {
        let (ended, log) = shell("echo at work >&2; echo note; echo '{\"steps\": 3}'");
        assert_eq!(ended, Ended::Done(serde_json::json!({ "steps": 3 })));
        assert_eq!(log, "error: of before\nat work\n");
        assert!(matches!(shell("echo nothing").0, Ended::Failed(reason) if reason.contains("JSON object")));
    }

    #[test]
    fn a_failure_is_a_line() {
        let failed = |script: &str| match shell(script).0 {
            Ended::Failed(reason) => reason,
            other => panic!("{script}: {other:?}"),
        };
        assert_eq!(failed("echo 'error: the loss is NaN' >&2; exit 3"), "diverged: the loss is NaN");
        assert_eq!(failed("echo 'error: no memory' >&2; exit 6"), "no memory");
        assert_eq!(failed("exit 5"), "exit code 5 without a message");
        assert!(failed("kill -9 $$").contains("memory may have run out"));
    }

    #[test]
    fn a_stop_is_not_a_failure() {
        assert_eq!(shell("exit 130").0, Ended::Stopped(130));
        let folder = tempfile::tempdir().unwrap();
        let stop = Arc::new(AtomicUsize::new(0));
        let ddpm = Ddpm { program: "sh".into(), device: None, stop: Arc::clone(&stop) };
        let asked = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            stop.store(SIGTERM as usize, Ordering::Relaxed);
        });
        // The child gets the signal; otherwise it would take a minute.
        let args = ["-c".to_owned(), "exec sleep 60".to_owned()];
        assert_eq!(ddpm.run(&args, &folder.path().join("log")).unwrap(), Ended::Stopped(143));
        asked.join().unwrap();
        // Nothing more is started.
        let args = ["-c".to_owned(), format!("touch {}", folder.path().join("late").display())];
        assert_eq!(ddpm.run(&args, &folder.path().join("log")).unwrap(), Ended::Stopped(143));
        assert!(!folder.path().join("late").exists());
    }
}
