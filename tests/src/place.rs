//! A folder with the program in it, isolated from the user's environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::output::Output;
use crate::running::Running;

/// The built program: `DDPM_PROGRAM`, or the one beside the tests' own build folder, `target/debug/ddpm`.
///
/// # Errors
/// When it has not been built.
pub fn program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("DDPM_PROGRAM") {
        return Ok(PathBuf::from(path));
    }
    // A test is in target/debug/deps.
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test is not in a build folder")?;
    let path = folder.join(format!("ddpm{}", std::env::consts::EXE_SUFFIX));
    ensure!(
        path.is_file(),
        "{}: expected the program, found none; build it with `cargo build -p cli` or `cargo xtask test`",
        path.display()
    );
    Ok(path)
}

/// A working folder, removed at the end of the test.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    program: Option<PathBuf>,
    _temporary: Option<TempDir>,
}

impl Place {
    /// An empty folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        // The path as the program sees it: on some systems the temporary folder is a link.
        let path = temporary.path().canonicalize()?;
        Ok(Self { path, program: None, _temporary: Some(temporary) })
    }

    /// The same folder with another program than [`program`].
    #[must_use]
    pub fn with_program(self, program: &Path) -> Self {
        Self { program: Some(program.to_owned()), ..self }
    }

    /// A folder shared by the tests of one file. It is emptied now and stays until the next time.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn shared(folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        Ok(Self { path: folder.canonicalize()?, program: None, _temporary: None })
    }

    /// A path in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and creates its folders.
    ///
    /// # Errors
    /// File system errors.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// File system errors.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        fs::read(self.at(name)).with_context(|| name.to_owned())
    }

    /// The SHA-256 of a file, in hexadecimal.
    ///
    /// # Errors
    /// File system errors.
    pub fn sha256(&self, name: &str) -> anyhow::Result<String> {
        Ok(Sha256::digest(self.read(name)?).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The records in the log of a run, without their speed.
    ///
    /// # Errors
    /// File system errors, and lines that are no JSON objects.
    pub fn records(&self, run: &str) -> anyhow::Result<Vec<serde_json::Value>> {
        let text = String::from_utf8(self.read(&format!("{run}/metrics.jsonl"))?)?;
        let parse = |line: &str| -> anyhow::Result<serde_json::Value> {
            let mut record: serde_json::Value = serde_json::from_str(line)?;
            record.as_object_mut().context("an object")?.remove("images_per_s");
            Ok(record)
        };
        text.lines().map(parse).collect()
    }

    /// The names in a folder, sorted; empty if it does not exist.
    #[must_use]
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs the program with the words of `line` to its end, on one CPU thread.
    ///
    /// # Errors
    /// When the program does not exist or does not start; its own failures are in [`Output`].
    pub fn ddpm(&self, line: &str) -> anyhow::Result<Output> {
        self.run(&format!("{line} --device cpu --threads 1"))
    }

    /// Runs the program with the words of `line` and no other flags.
    ///
    /// # Errors
    /// As [`Place::ddpm`].
    pub fn run(&self, line: &str) -> anyhow::Result<Output> {
        let output = self.command(line)?.output()?;
        Ok(Output::new(line, output.status, output.stdout, output.stderr))
    }

    /// Starts the program with the words of `line`, on one CPU thread.
    ///
    /// # Errors
    /// As [`Place::ddpm`].
    pub fn start(&self, line: &str) -> anyhow::Result<Running> {
        let line = format!("{line} --device cpu --threads 1");
        Running::start(&line, &mut self.command(&line)?)
    }

    /// The command in this folder; of the environment it keeps only where libraries are.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn command(&self, line: &str) -> anyhow::Result<Command> {
        Ok(match &self.program {
            Some(program) => self.command_of(program, line),
            None => self.command_of(&program()?, line),
        })
    }

    /// The same with another program.
    #[must_use]
    pub fn command_of(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command.args(line.split_whitespace()).current_dir(&self.path).stdin(Stdio::null());
        command.env_clear().env("HOME", self.at("home")).env("TMPDIR", std::env::temp_dir());
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // A user who sets this must not see a backtrace either.
        command.env("RUST_BACKTRACE", "1");
        command
    }
}
