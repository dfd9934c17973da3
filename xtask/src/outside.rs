//! Tests the crates as dependencies: packs each as for a registry, and runs its example in a fresh project in another
//! folder that depends only on this crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::process;
use crate::workspace::{LIBTORCH_FREE, Workspace, target_folder};

/// The crates offered for use outside this workspace, each with an example.
pub(crate) const PROMISED: [(&str, &str); 6] = [
    ("schedule", "tables"),
    ("embedding", "encode"),
    ("dataset", "batches"),
    ("unet", "predict"),
    ("trainer", "train"),
    ("sampler", "draw"),
];

/// Packs the crates and unpacks them away from the workspace, so that a file missing from a package is really missing.
/// Returns the folder with all of them.
pub(crate) fn pack(workspace: &Workspace, flags: &[&str]) -> anyhow::Result<PathBuf> {
    let target = target_folder()?;
    let unpacked = target.join("outside/packages");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).with_context(|| unpacked.display().to_string())?;
    }
    fs::create_dir_all(&unpacked).with_context(|| unpacked.display().to_string())?;
    let names = workspace.crates_bottom_up()?;
    let mut cargo = process::cargo(workspace);
    // They are built below, not by `cargo package`, which would build each separately.
    cargo
        .args(["package", "--quiet", "--no-verify", "--allow-dirty"])
        .args(flags)
        .current_dir(workspace.root());
    for name in &names {
        cargo.args(["-p", name]);
    }
    process::run_to_success(&mut cargo)?;
    for name in &names {
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(target.join(format!("package/{name}-{VERSION}.crate"))).arg("-C").arg(&unpacked);
        process::run_to_success(&mut tar)?;
    }
    Ok(unpacked)
}

/// All crates have the workspace's version, like xtask.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs a crate's example in a project that depends only on this crate.
pub(crate) fn run_example(
    workspace: &Workspace,
    packages: &Path,
    (name, example): (&str, &str),
) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix(&format!("uses-{name}-")).tempdir()?;
    let path = |name: &str| packages.join(format!("{name}-{VERSION}"));
    let others = workspace.crates_bottom_up()?;
    let manifest = manifest(name, &path, &others, &fs::read_to_string(workspace.root().join("Cargo.toml"))?)?;
    fs::write(folder.path().join("Cargo.toml"), manifest)?;
    // Use the tested versions.
    fs::copy(workspace.root().join("Cargo.lock"), folder.path().join("Cargo.lock"))?;
    fs::create_dir(folder.path().join("src"))?;
    fs::copy(path(name).join(format!("examples/{example}.rs")), folder.path().join("src/main.rs"))?;

    let output = command(workspace, name, folder.path())?.output().context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    ensure!(
        output.status.success() && !said.trim().is_empty(),
        "a project that depends only on {name}: expected the output of its example `{example}`, found {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// `cargo run` in that project, with only the variables that the crate's README names.
fn command(workspace: &Workspace, name: &str, folder: &Path) -> anyhow::Result<Command> {
    let mut cargo = process::cargo(workspace);
    cargo.args(["run", "--quiet"]).current_dir(folder);
    // Foreign crates are built already, with the same features and profile.
    cargo.env("CARGO_TARGET_DIR", target_folder()?);
    if !LIBTORCH_FREE.contains(&name) && crate::setup::libtorch_of_the_user(workspace).is_none() {
        let libtorch = workspace.libtorch().join("torch");
        cargo.env("LIBTORCH", &libtorch).env("LD_LIBRARY_PATH", libtorch.join("lib"));
    }
    Ok(cargo)
}

/// The manifest of such a project. The crate's dependencies in this workspace also come from their packages, since no
/// registry has them.
fn manifest(
    name: &str,
    path: &dyn Fn(&str) -> PathBuf,
    others: &[String],
    workspace: &str,
) -> anyhow::Result<String> {
    let mut root: toml::Table = workspace.parse().context("Cargo.toml")?;
    let place = |name: &str| {
        let path = path(name).display().to_string();
        toml::Value::Table([(String::from("path"), path.into())].into_iter().collect())
    };
    let mut manifest = toml::Table::new();
    let package = [("name", format!("uses-{name}")), ("version", "0.0.0".into()), ("edition", "2024".into())];
    let package = package.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    manifest.insert("package".into(), toml::Value::Table(package.collect()));
    let one = [(name.to_owned(), place(name))];
    manifest.insert("dependencies".into(), toml::Value::Table(one.into_iter().collect()));
    let patches = others.iter().filter(|other| *other != name).map(|other| (other.clone(), place(other)));
    let registry = [(String::from("crates-io"), toml::Value::Table(patches.collect()))];
    manifest.insert("patch".into(), toml::Value::Table(registry.into_iter().collect()));
    // The profile of the tests, so their builds are reused.
    manifest.insert("profile".into(), root.remove("profile").context("Cargo.toml: no profile")?);
    Ok(toml::to_string(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_crates_are_there_with_their_examples() {
        let workspace = Workspace::find().unwrap();
        for (name, example) in PROMISED {
            let folder = workspace.root().join("crates").join(name);
            assert!(folder.join(format!("examples/{example}.rs")).is_file(), "{name}: {example}");
            let page = fs::read_to_string(folder.join("README.md")).unwrap();
            let line = format!("cargo run -p {name} --example {example}");
            assert!(page.contains(&line), "{name}/README.md: expected `{line}`");
            // These are the variables that `command` sets.
            let named = page.contains("LIBTORCH=") && page.contains("LD_LIBRARY_PATH=");
            assert_eq!(named, !LIBTORCH_FREE.contains(&name), "{name}/README.md");
        }
    }

    #[test]
    fn a_project_has_one_dependency() {
        let path = |name: &str| PathBuf::from("/packages").join(name);
        let others = ["random", "schedule"].map(String::from);
        let text = manifest("schedule", &path, &others, "[profile.dev]\nopt-level = 1\n").unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["dependencies"].as_table().unwrap().keys().collect::<Vec<_>>(), ["schedule"]);
        let patches = table["patch"]["crates-io"].as_table().unwrap();
        assert_eq!(patches.keys().collect::<Vec<_>>(), ["random"]);
        assert_eq!(patches["random"]["path"].as_str(), Some("/packages/random"));
    }
}
