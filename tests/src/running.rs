//! A running program.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::output::Output;

/// Longer than any of the programs here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A started program, killed when dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Option<Child>,
}

impl Running {
    /// Starts a command; messages call it `line`. Its output is kept, up to the capacity of a pipe.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(line: &str, command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Ok(Self { line: line.to_owned(), child: Some(child.with_context(|| format!("ddpm {line}"))?) })
    }

    /// The process id.
    ///
    /// # Errors
    /// When it has been waited for.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.child.as_ref().context("it has ended")?.id())
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system cannot report it.
    pub fn is_over(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.as_mut().context("it has ended")?.try_wait()?.is_some())
    }

    /// Lets it run for this long, or to its end if that comes first; returns whether it has ended.
    ///
    /// # Errors
    /// As [`Running::is_over`].
    pub fn let_run(&mut self, time: Duration) -> anyhow::Result<bool> {
        let begun = Instant::now();
        while !self.is_over()? {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(left.min(Duration::from_millis(2)));
        }
        Ok(true)
    }

    /// Waits for its end, at most for `limit`.
    ///
    /// # Errors
    /// When it does not end in time; it is then killed.
    pub fn wait_within(mut self, limit: Duration) -> anyhow::Result<Output> {
        ensure!(self.let_run(limit)?, "ddpm {}: still running after {:.1} s", self.line, limit.as_secs_f64());
        self.wait()
    }

    /// Waits until the file has a new line.
    ///
    /// # Errors
    /// When the program ends first, or no line appears for a minute.
    pub fn wait_for_more(&mut self, file: &Path) -> anyhow::Result<()> {
        let lines = || std::fs::read_to_string(file).map_or(0, |text| text.matches('\n').count());
        let (begun, before) = (Instant::now(), lines());
        while lines() <= before {
            ensure!(begun.elapsed() < PATIENCE, "ddpm {}: nothing new in {}", self.line, file.display());
            let child = self.child.as_mut().context("it has ended")?;
            if let Some(status) = child.try_wait()? {
                bail!("ddpm {}: ended with {status}, nothing new in {}", self.line, file.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal by its name: INT, TERM, HUP, STOP, CONT or KILL.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("it has ended")?;
        let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status()?;
        ensure!(status.success(), "kill -{name}: {status}");
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(mut self) -> anyhow::Result<Output> {
        let child = self.child.take().context("it has ended")?;
        let output = child.wait_with_output()?;
        Ok(Output::new(&self.line, output.status, output.stdout, output.stderr))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; either way no process is left behind.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
