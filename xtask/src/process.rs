//! Child processes of xtask: their environment, and how their exit codes are passed on.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fmt, thread};

use anyhow::{Context, ensure};

use crate::setup;
use crate::workspace::Workspace;

/// How many of its last lines are quoted when a program fails.
const QUOTED: usize = 40;

/// A failure with its own exit code; any other error exits with 1.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// The user asked for something that does not exist: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The user stopped the work by a signal, whose exit code this is.
    pub(crate) fn stopped(code: u8) -> Self {
        Self { code, message: "stopped".to_owned() }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Exit {}

/// The cargo that runs us, in the environment of a normal shell.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    cleaned(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())), workspace)
}

/// A command that runs cargo, now or later, without the variables that `cargo run` added to xtask's environment. Build
/// scripts would see them as a change and run again.
pub(crate) fn cleaned(mut command: Command, workspace: &Workspace) -> Command {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(set_by_cargo_run) {
            command.env_remove(name);
        }
    }
    if setup::libtorch_of_the_user(workspace).is_none() {
        command.env_remove("LIBTORCH");
    }
    command
}

fn set_by_cargo_run(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
}

/// Runs `command`. Ctrl-C ends it and xtask.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command.status().with_context(|| format!("`{}` cannot be started", line_of(command)))
}

/// Runs `command`, which must succeed.
pub(crate) fn run_to_success(command: &mut Command) -> anyhow::Result<()> {
    let status = run(command)?;
    ensure!(status.success(), "`{}`: expected exit code 0, found {status}", line_of(command));
    Ok(())
}

/// Runs `command`, which must succeed, and passes on what it prints, standard error included, as standard output. An
/// error is one line that says so, and below it the last lines that were printed.
pub(crate) fn run_to_success_or_quote(command: &mut Command) -> anyhow::Result<()> {
    let line = line_of(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{line}` cannot be started"))?;
    let last = Mutex::new(VecDeque::new());
    let pass_on = |from: Option<&mut dyn Read>| {
        let Some(from) = from else { return };
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            last.push_back(line.into_owned());
            if last.len() > QUOTED {
                last.pop_front();
            }
        }
    };
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| pass_on(out.as_mut().map(|out| out as &mut dyn Read)));
        pass_on(err.as_mut().map(|err| err as &mut dyn Read));
    });
    let status = child.wait().with_context(|| line.clone())?;
    let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    let quoted: String = last.iter().flat_map(|line| ["\n", line.as_str()]).collect();
    ensure!(status.success(), "`{line}`: expected exit code 0, found {status}{quoted}");
    Ok(())
}

/// Runs `command`, which must succeed, and adds what it prints to `said`, both outputs in the order of printing. An error
/// is that of [`run_to_success_or_quote`].
pub(crate) fn run_and_collect(mut command: Command, said: &mut String) -> anyhow::Result<()> {
    let line = line_of(&command);
    let (mut from, to) = io::pipe().context("a pipe cannot be opened")?;
    let also_to = to.try_clone().context("a pipe cannot be opened")?;
    command.stdin(Stdio::null()).stdout(to).stderr(also_to);
    let mut child = command.spawn().with_context(|| format!("`{line}` cannot be started"))?;
    // It keeps the pipe open, whose end the next line waits for.
    drop(command);
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).with_context(|| line.clone())?;
    let status = child.wait().with_context(|| line.clone())?;
    let text = String::from_utf8_lossy(&bytes);
    *said += &text;
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(QUOTED)..];
    let quoted: String = last.iter().flat_map(|line| ["\n", *line]).collect();
    ensure!(status.success(), "`{line}`: expected exit code 0, found {status}{quoted}");
    Ok(())
}

/// Runs `command` with a text on its standard input; it must succeed.
pub(crate) fn feed(command: &mut Command, input: &str) -> anyhow::Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let line = line_of(command);
    let mut child = command.spawn().with_context(|| format!("`{line}` cannot be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A failed program closes its input; its own error says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| line.clone())?;
    let why = || last_error(&output.stderr).unwrap_or_default();
    ensure!(output.status.success(), "`{line}`: expected exit code 0, found {}: {}", output.status, why());
    Ok(())
}

/// The last non-empty line of an error text; lines that pip marks as errors come first. For an exception it is the line
/// below the traceback.
pub(crate) fn last_error(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let marked = lines().find(|line| line.starts_with("ERROR") && *line != "ERROR: Exception:");
    let line = marked.or_else(|| lines().next());
    line.map(|line| line.trim_start_matches("ERROR: ").to_owned())
}

/// Runs `command`, which decides itself how to stop on Ctrl-C (a training run saves first); xtask waits for it.
pub(crate) fn run_to_its_end(command: &mut Command) -> anyhow::Result<ExitStatus> {
    // From here on Ctrl-C only sets an unused flag instead of ending xtask.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))
        .context("cannot set the Ctrl-C handler")?;
    run(command)
}

/// The exit code of a program as ours: 128 + N when signal N ended it, as in shells.
pub(crate) fn code_of(status: ExitStatus) -> ExitCode {
    #[cfg(unix)]
    let by_signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    #[cfg(not(unix))]
    let by_signal = None;
    let code = status.code().or(by_signal).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// The command as one would type it: without the program's folder and without quoting.
pub(crate) fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_child_is_passed_on() {
        let status = Command::new("sh").args(["-c", "exit 7"]).status().unwrap();
        assert_eq!(code_of(status), ExitCode::from(7));
        let killed = Command::new("sh").args(["-c", "kill -9 $$"]).status().unwrap();
        assert_eq!(code_of(killed), ExitCode::from(137));
    }

    #[test]
    fn a_failure_quotes_the_last_lines_of_both_outputs() {
        let run = |script: &str| run_to_success_or_quote(Command::new("sh").args(["-c", script]));
        run("echo fine; echo well >&2").unwrap();
        let error = run("seq 100; exit 3").unwrap_err().to_string();
        assert!(error.contains("found exit status: 3\n61\n62\n") && error.ends_with("\n99\n100"), "{error}");
        let error = run("echo 'no such panel' >&2; exit 4").unwrap_err().to_string();
        assert!(error.ends_with("found exit status: 4\nno such panel"), "{error}");
    }

    #[test]
    fn both_outputs_are_collected_in_order() {
        let mut said = String::from("before\n");
        let mut run = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_and_collect(command, &mut said)
        };
        run("echo fine; echo well >&2; echo again").unwrap();
        let error = run("seq 100; exit 3").unwrap_err().to_string();
        assert!(error.contains("found exit status: 3\n61\n62\n") && error.ends_with("\n99\n100"), "{error}");
        assert!(said.starts_with("before\nfine\nwell\nagain\n1\n2\n"), "{said}");
        let error = run_and_collect(Command::new("/no/such-program-here"), &mut said).unwrap_err();
        assert!(error.to_string().contains("`such-program-here` cannot be started"), "{error}");
    }

    #[test]
    fn a_program_is_fed_and_its_failure_told() {
        let feed = |script: &str| feed(Command::new("sh").args(["-c", script]), "panels");
        feed("read line; test \"$line\" = panels").unwrap();
        let error = feed("echo 'no such panel' >&2; exit 4").unwrap_err().to_string();
        assert!(error.contains("exit status: 4: no such panel"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(Command::new("/no/such-program-here").arg("--flag")).unwrap_err();
        assert!(error.to_string().contains("`such-program-here --flag`"), "{error}");
    }

    #[test]
    fn variables_of_the_caller_stay() {
        assert!(set_by_cargo_run("CARGO_PKG_NAME") && set_by_cargo_run("CARGO_MANIFEST_DIR"));
        for name in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO", "PATH"] {
            assert!(!set_by_cargo_run(name), "{name}");
        }
    }
}
