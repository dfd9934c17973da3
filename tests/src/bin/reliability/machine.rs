//! Where the table was made, and with which versions.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::context::Context;

/// The machine, the date, the versions.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// UTC, `2026-11-25`.
    pub(crate) date: String,
    /// The commit, with `+` for changes that are not committed.
    pub(crate) commit: String,
    /// `ddpm 0.1.0`, `libtorch 2.11.0`, `rustc 1.95.0`.
    pub(crate) versions: Vec<String>,
}

/// Cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Machine {
    /// The current machine.
    pub(crate) fn this(context: &Context) -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let git = |args: &[&str]| said(Command::new("git").args(args).current_dir(&context.workspace));
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
        let place = context.place()?;
        let ddpm = place.run("--version")?.stdout.trim().to_owned();
        let doctor = place.run("doctor --json --device cpu")?.stdout;
        let doctor: Value = serde_json::from_str(&doctor).unwrap_or_default();
        let found = doctor["checks"].as_array().into_iter().flatten().find(|c| c["name"] == "libtorch");
        let libtorch = found.and_then(|check| check["found"].as_str()?.split_whitespace().next());
        let libtorch = libtorch.map(|version| format!("libtorch {version}"));
        let rustc = said(Command::new("rustc").arg("--version"));
        Ok(Self {
            cores: cores(),
            cpu: model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned()),
            kernel: said(Command::new("uname").arg("-sr")).unwrap_or_default(),
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default(),
            commit: git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
                + if changed { "+" } else { "" },
            versions: [Some(ddpm), libtorch, rustc].into_iter().flatten().collect(),
        })
    }

    /// For `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "cores": self.cores, "cpu": self.cpu, "kernel": self.kernel, "date": self.date, "commit": self.commit,
            "versions": self.versions,
        })
    }
}

/// The output of a command that succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
