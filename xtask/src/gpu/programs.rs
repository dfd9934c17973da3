//! The programs of the folder: test programs that need a GPU, without symbols and packed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use zip::ZipWriter;
use zip::write::FileOptions;

use crate::setup::tools;
use crate::test::{GPU_TESTS, ON_GPU};
use crate::workspace::Workspace;
use crate::{process, setup};

/// A test program and its name in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    name: String,
    path: PathBuf,
}

/// Builds the optimised test programs of all crates that have tests for a GPU.
pub(super) fn build(workspace: &Workspace) -> anyhow::Result<Vec<Test>> {
    setup::ensure(workspace)?;
    let mut cargo = process::cargo(workspace);
    cargo.args(["test", "--no-run", "--release", "--quiet", "--message-format", "json"]);
    for name in ON_GPU {
        cargo.args(["-p", name]);
    }
    cargo.args(["--test", GPU_TESTS]).current_dir(workspace.root());
    let line = process::line_of(&cargo);
    // Only the messages are read; what goes wrong is shown as cargo shows it.
    cargo.stderr(Stdio::inherit());
    let output = cargo.output().with_context(|| format!("`{line}` cannot be started"))?;
    ensure!(output.status.success(), "`{line}`: expected exit code 0, found {}", output.status);
    let found = of_messages(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        found.len() == ON_GPU.len(),
        "`{line}`: expected {} test programs, found {}",
        ON_GPU.len(),
        found.len()
    );
    Ok(found)
}

/// The test programs in cargo's messages, one JSON object per line.
fn of_messages(text: &str) -> Vec<Test> {
    let one = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_ours =
            message["reason"] == "compiler-artifact" && message["target"]["name"].as_str() == Some(GPU_TESTS);
        let path = PathBuf::from(message["executable"].as_str().filter(|_| is_ours)?);
        let manifest = PathBuf::from(message["manifest_path"].as_str()?);
        let name = manifest.parent()?.file_name()?.to_str()?.to_owned();
        Some(Test { name, path })
    };
    let mut found: Vec<Test> = text.lines().filter_map(one).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Test programs that exist already: the files of a folder.
pub(super) fn of_folder(folder: &Path) -> anyhow::Result<Vec<Test>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        if entry.path().is_file() {
            found.push(Test { name: entry.file_name().to_string_lossy().into_owned(), path: entry.path() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes the symbols of a program, where the machine can. A script has none.
pub(super) fn strip(program: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(program).with_context(|| format!("{} cannot be read", program.display()))?;
    let Some(strip) = tools::in_path("strip").filter(|_| bytes.starts_with(b"\x7fELF")) else {
        return Ok(());
    };
    process::run_to_success(Command::new(strip).arg(program))
}

/// Packs stripped copies: the programs are large, and the folder must be small.
pub(super) fn zip(tests: &[Test], archive: &Path) -> anyhow::Result<()> {
    let what = || format!("{} cannot be written", archive.display());
    let mut writer = ZipWriter::new(File::create(archive).with_context(what)?);
    for test in tests {
        let copy = archive.with_file_name(format!(".{}.stripped", test.name));
        fs::copy(&test.path, &copy).with_context(|| format!("{} cannot be copied", test.path.display()))?;
        strip(&copy)?;
        let bytes = fs::read(&copy).with_context(|| format!("{} cannot be read", copy.display()))?;
        fs::remove_file(&copy).with_context(|| format!("{} cannot be removed", copy.display()))?;
        writer.start_file(test.name.as_str(), FileOptions::default()).with_context(what)?;
        writer.write_all(&bytes).with_context(what)?;
    }
    writer.finish().with_context(what)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_test_programs_are_named_by_their_crates() {
        let message = |reason: &str, target: &str, name: &str, executable: &str| {
            format!(
                "{{\"reason\": \"{reason}\", \"target\": {{\"name\": \"{target}\"}}, \
                 \"manifest_path\": \"/w/crates/{name}/Cargo.toml\", \"executable\": {executable}}}\n"
            )
        };
        let text = message("compiler-artifact", "gpu", "unet", "\"/t/gpu-2\"")
            + &message("compiler-artifact", "gpu", "torch-ext", "\"/t/gpu-1\"")
            + &message("compiler-artifact", "unet", "unet", "null")
            + &message("build-script-executed", "gpu", "x", "\"/t/x\"")
            + "not JSON\n{\"reason\": \"build-finished\", \"success\": true}\n";
        let test = |name: &str, path: &str| Test { name: name.into(), path: path.into() };
        assert_eq!(of_messages(&text), [test("torch-ext", "/t/gpu-1"), test("unet", "/t/gpu-2")]);
    }

    #[test]
    fn the_archive_has_every_program() {
        let folder = tempfile::tempdir().unwrap();
        let tests = folder.path().join("tests");
        fs::create_dir(&tests).unwrap();
        for name in ["unet", "torch-ext"] {
            fs::write(tests.join(name), format!("#!/bin/sh\necho {name}\n")).unwrap();
        }
        let archive = folder.path().join("tests.zip");
        zip(&of_folder(&tests).unwrap(), &archive).unwrap();
        let mut read = zip::ZipArchive::new(File::open(&archive).unwrap()).unwrap();
        assert_eq!(read.file_names().count(), 2);
        let mut text = String::new();
        read.by_name("unet").unwrap().read_to_string(&mut text).unwrap();
        assert!(text.ends_with("echo unet\n"), "{text}");
        // Copies on the way are gone.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
