//! The processes of a launcher.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::failure::OTHER_RANK;
use crate::signals::Signals;

/// How often the processes are looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the other ranks may take to end by themselves after the first.
const GRACE: Duration = Duration::from_secs(10);
/// Exit codes of a rank that was asked to stop.
const STOPPED: [u8; 3] = [129, 130, 143];

/// How the ranks ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// All did what they were to do.
    Done,
    /// A signal stopped them, with this exit code.
    Stopped(u8),
    /// One failed, and all are gone.
    Failed(Failure),
}

/// The rank that failed first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    rank: usize,
    size: usize,
    /// The exit code, or 128 + N for signal N.
    pub(super) code: u8,
    signal: Option<i32>,
    /// Whether it did not end by itself after the others had.
    is_stuck: bool,
    /// What it wrote last.
    line: Option<String>,
    /// Whether the user has seen its message.
    pub(super) is_told: bool,
}

impl Failure {
    /// What happened, in one line.
    pub(super) fn text(&self) -> String {
        let Self { rank, size, code, .. } = self;
        if self.is_stuck {
            return format!("rank {rank} of {size} was stuck, and has been ended");
        }
        match (self.signal, &self.line) {
            (Some(signal), _) => {
                let name = match signal {
                    6 => " (SIGABRT)",
                    9 => " (SIGKILL: by a user, or by the system for lack of memory)",
                    11 => " (SIGSEGV)",
                    15 => " (SIGTERM)",
                    _ => "",
                };
                format!("rank {rank} of {size} was killed by signal {signal}{name}")
            }
            (None, Some(line)) => format!("rank {rank} of {size}: {line}"),
            (None, None) => format!("rank {rank} of {size} failed with exit code {code}"),
        }
    }
}

/// A rank's process. Dropping it kills it.
struct Rank {
    child: Child,
    status: Option<ExitStatus>,
    /// The last error it wrote; rank 0 writes to the screen.
    line: Arc<Mutex<Option<String>>>,
}

impl Drop for Rank {
    fn drop(&mut self) {
        if self.status.is_none() {
            // A process that has ended meanwhile cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// All ranks of this machine.
pub(super) struct Children(Vec<Rank>);

impl Children {
    /// Starts `size` processes of a program with these words and variables. Rank 0 has the screen.
    pub(super) fn start(
        program: &Path,
        words: &[OsString],
        variables: &[(&str, String)],
        size: usize,
    ) -> anyhow::Result<Self> {
        let mut ranks = Vec::new();
        for rank in 0..size {
            let mut command = Command::new(program);
            command.args(words).stdin(Stdio::null());
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            command.env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
            if rank > 0 {
                command.stdout(Stdio::null()).stderr(Stdio::piped());
            }
            apart(&mut command);
            let mut child = command.spawn().with_context(|| format!("cannot start rank {rank}"))?;
            let line = Arc::default();
            if let Some(stderr) = child.stderr.take() {
                keep_last_error(stderr, Arc::clone(&line));
            }
            ranks.push(Rank { child, status: None, line });
        }
        Ok(Self(ranks))
    }

    /// Waits for the end of all. Passes a signal on to them.
    pub(super) fn watch(&mut self, signals: &Signals) -> anyhow::Result<Ended> {
        let (mut failures, mut first_end, mut passed_on, mut killed) = (Vec::new(), None, false, false);
        loop {
            for rank in 0..self.0.len() {
                if self.ends(rank)? && !self.succeeded(rank) {
                    failures.push(self.failure(rank, killed));
                    first_end.get_or_insert_with(Instant::now);
                }
            }
            if self.0.iter().all(|rank| rank.status.is_some()) {
                break;
            }
            if let Some(signal) = signals.caught().filter(|_| !passed_on) {
                self.send(signal);
                passed_on = true;
            }
            if !killed && first_end.is_some_and(|end| end.elapsed() > GRACE) {
                // The rest has nothing to save without the others.
                self.0.iter_mut().for_each(|rank| drop(rank.child.kill()));
                killed = true;
            }
            thread::sleep(PAUSE);
        }
        Ok(ended(&failures))
    }

    /// Whether a rank has just ended.
    fn ends(&mut self, rank: usize) -> anyhow::Result<bool> {
        let rank = &mut self.0[rank];
        if rank.status.is_some() {
            return Ok(false);
        }
        rank.status = rank.child.try_wait().context("cannot wait for a rank")?;
        Ok(rank.status.is_some())
    }

    fn succeeded(&self, rank: usize) -> bool {
        self.0[rank].status.is_some_and(|status| status.success())
    }

    fn failure(&self, rank: usize, killed: bool) -> Failure {
        let (size, of) = (self.0.len(), &self.0[rank]);
        let signal = of.status.as_ref().and_then(signal_of);
        let code = of.status.and_then(|status| status.code());
        let code = code.or(signal.map(|signal| 128 + signal)).and_then(|code| u8::try_from(code).ok());
        let is_stuck = killed && signal == Some(9);
        let code = code.filter(|_| !is_stuck).unwrap_or(1);
        // Its last line may still be on the way.
        thread::sleep(PAUSE);
        let line = of.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_told = rank == 0 && signal.is_none() && code != OTHER_RANK;
        Failure { rank, size, code, signal, is_stuck, line, is_told }
    }

    fn send(&self, signal: i32) {
        for rank in self.0.iter().filter(|rank| rank.status.is_none()) {
            send(&rank.child, signal);
        }
    }
}

/// How all ended, by those that did not succeed, in the order of their ends. A rank that only lost another one is not the
/// cause, unless there is no other. If all have the same reason, such as wrong flags, rank 0 has shown it already.
fn ended(failures: &[Failure]) -> Ended {
    let is_stop = |failure: &Failure| failure.signal.is_none() && STOPPED.contains(&failure.code);
    let causes: Vec<&Failure> = failures.iter().filter(|failure| failure.code != OTHER_RANK).collect();
    let Some(first) = causes.first().copied().or(failures.first()) else { return Ended::Done };
    let is_cause = |failure: &&&Failure| !is_stop(failure);
    let told = causes.iter().filter(is_cause).find(|failure| failure.is_told);
    match told.or(causes.iter().find(is_cause)) {
        Some(&cause) => Ended::Failed(cause.clone()),
        None if is_stop(first) => Ended::Stopped(first.code),
        None => Ended::Failed(first.clone()),
    }
}

/// A thread that keeps the last error of a process, and reads the rest away, so that the process does not wait.
fn keep_last_error(stderr: ChildStderr, kept: Arc<Mutex<Option<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if let Some(message) = line.strip_prefix("error: ") {
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.trim().to_owned());
            }
        }
    });
}

/// Makes a process the first of a group of its own: a signal from the terminal reaches the launcher only, which passes it
/// on once.
#[cfg(unix)]
fn apart(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}

#[cfg(unix)]
fn signal_of(status: &ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}

#[cfg(not(unix))]
fn signal_of(_: &ExitStatus) -> Option<i32> {
    None
}

#[cfg(unix)]
fn send(child: &Child, signal: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = [Signal::HUP, Signal::INT, Signal::TERM].into_iter().find(|known| known.as_raw() == signal);
    if let (Some(signal), Some(pid)) = (signal, Pid::from_raw(child.id() as i32)) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(not(unix))]
fn send(_: &Child, _: i32) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(rank: usize, code: u8, signal: Option<i32>, line: Option<&str>) -> Failure {
        let is_told = rank == 0 && signal.is_none() && code != OTHER_RANK;
        Failure { rank, size: 4, code, signal, is_stuck: false, line: line.map(str::to_owned), is_told }
    }

    #[test]
    fn the_cause_is_the_first_rank_that_did_not_just_lose_another() {
        let (lost, killed) = (failure(0, 7, None, None), failure(2, 137, Some(9), None));
        let wrong = failure(1, 4, None, Some("no such file"));
        let cause = |failures: &[Failure]| match ended(failures) {
            Ended::Failed(failure) => failure.text(),
            other => format!("{other:?}"),
        };
        let killed_text =
            "rank 2 of 4 was killed by signal 9 (SIGKILL: by a user, or by the system for lack of memory)";
        assert_eq!(cause(&[lost.clone(), killed.clone()]), killed_text);
        assert_eq!(cause(&[killed.clone(), wrong.clone()]), killed_text);
        assert_eq!(cause(&[wrong, killed]), "rank 1 of 4: no such file");
        assert_eq!(cause(std::slice::from_ref(&lost)), "rank 0 of 4 failed with exit code 7");
        let stuck = Failure { is_stuck: true, ..failure(3, 1, Some(9), None) };
        assert_eq!(cause(&[lost, stuck]), "rank 3 of 4 was stuck, and has been ended");
        let told = ended(&[failure(1, 2, None, Some("x")), failure(0, 2, None, None)]);
        assert!(matches!(told, Ended::Failed(Failure { rank: 0, is_told: true, .. })), "{told:?}");
    }

    #[test]
    fn a_stop_of_all_is_not_a_failure_and_a_failure_beside_a_stop_is() {
        let stop = |rank| failure(rank, 143, None, None);
        assert!(matches!(ended(&[stop(1), stop(0)]), Ended::Stopped(143)));
        assert!(matches!(
            ended(&[stop(1), failure(0, 6, None, None)]),
            Ended::Failed(Failure { code: 6, .. })
        ));
        assert!(matches!(ended(&[stop(1), failure(0, 143, Some(15), None)]), Ended::Failed(_)));
        assert!(matches!(ended(&[]), Ended::Done));
    }

    #[cfg(unix)]
    #[test]
    fn the_first_failure_ends_all_and_its_line_is_kept() {
        let script = "if [ $RANK = 1 ]; then echo 'error: no data' >&2; exit 4; fi; exec sleep 600";
        let words = ["-c", script].map(OsString::from);
        let mut children =
            Children::start(Path::new("/bin/sh"), &words, &[("WORLD_SIZE", "3".to_owned())], 3).unwrap();
        let Ended::Failed(failure) = children.watch(&Signals::without_handlers()).unwrap() else {
            panic!("no failure")
        };
        assert_eq!((failure.code, failure.text()), (4, "rank 1 of 3: no data".to_owned()));
        assert!(children.0.iter().all(|rank| rank.status.is_some()));
    }
}
