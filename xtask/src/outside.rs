//! Tests the crates as dependencies: packs each as for a registry, and runs its example in a fresh project in another
//! folder that depends only on this crate. A program of a user, `examples/own_data.rs`, depends on four of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::examples::{self, EXAMPLES};
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

/// A program that trains on a folder of images and samples, and what it depends on: these crates, and tch.
const PROGRAM: &str = "examples/own_data.rs";
const PROGRAM_USES: [&str; 4] = ["dataset", "unet", "trainer", "sampler"];
/// Images it draws.
const DRAWN: usize = 8;

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
    let source = packages.join(format!("{name}-{VERSION}/examples/{example}.rs"));
    let project = Project { uses: &[name], foreign: &[], source };
    let folder = project.create(workspace, packages)?;
    let row = EXAMPLES.iter().find(|row| (row.0, row.1) == (name, example));
    let (.., expected) = row.with_context(|| format!("{name}: no output is known for {example}"))?;
    examples::check(&mut project.run(workspace, folder.path())?, expected)
}

/// Runs the program for two steps on the figures of this clone, and looks at what it drew.
pub(crate) fn run_program(workspace: &Workspace, packages: &Path) -> anyhow::Result<()> {
    let source = workspace.root().join(PROGRAM);
    let project = Project { uses: &PROGRAM_USES, foreign: &["tch"], source };
    let folder = project.create(workspace, packages)?;
    let out = folder.path().join("out");
    let mut cargo = project.run(workspace, folder.path())?;
    cargo.arg("--").arg(workspace.root().join("assets/figures")).arg(&out).arg("2");
    examples::check(&mut cargo, "step 2: loss ")?;
    for index in 0..DRAWN {
        let path = out.join(format!("{index}.png"));
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        ensure!(bytes.starts_with(b"\x89PNG"), "{}: expected a PNG, found something else", path.display());
    }
    Ok(())
}

/// A project in another folder.
struct Project<'a> {
    /// The crates of this workspace that it depends on.
    uses: &'a [&'a str],
    /// Its other dependencies, in the workspace's versions.
    foreign: &'a [&'a str],
    /// Its program.
    source: PathBuf,
}

impl Project<'_> {
    /// Writes it to a new folder, which is removed on drop.
    fn create(&self, workspace: &Workspace, packages: &Path) -> anyhow::Result<tempfile::TempDir> {
        let folder = tempfile::Builder::new().prefix(&format!("{}-", self.name())).tempdir()?;
        let path = |name: &str| packages.join(format!("{name}-{VERSION}"));
        let all = workspace.crates_bottom_up()?;
        let root = fs::read_to_string(workspace.root().join("Cargo.toml"))?;
        fs::write(folder.path().join("Cargo.toml"), self.manifest(&path, &all, &root)?)?;
        // Use the tested versions.
        fs::copy(workspace.root().join("Cargo.lock"), folder.path().join("Cargo.lock"))?;
        fs::create_dir(folder.path().join("src"))?;
        fs::copy(&self.source, folder.path().join("src/main.rs"))
            .with_context(|| self.source.display().to_string())?;
        Ok(folder)
    }

    fn name(&self) -> String {
        format!("uses-{}", self.uses.join("-"))
    }

    /// `cargo run` in its folder, with only the variables that the crates' READMEs name.
    fn run(&self, workspace: &Workspace, folder: &Path) -> anyhow::Result<Command> {
        let mut cargo = process::cargo(workspace);
        cargo.args(["run", "--quiet"]).current_dir(folder);
        // Most foreign crates are built already, with the same features and profile.
        cargo.env("CARGO_TARGET_DIR", target_folder()?);
        let needs_libtorch = !self.uses.iter().all(|name| LIBTORCH_FREE.contains(name));
        if needs_libtorch && crate::setup::libtorch_of_the_user(workspace).is_none() {
            let libtorch = workspace.libtorch().join("torch");
            cargo.env("LIBTORCH", &libtorch).env("LD_LIBRARY_PATH", libtorch.join("lib"));
        }
        Ok(cargo)
    }

    /// Its manifest. What its crates depend on in this workspace also comes from the packages, since no registry has it.
    fn manifest(
        &self,
        path: &dyn Fn(&str) -> PathBuf,
        all: &[String],
        workspace: &str,
    ) -> anyhow::Result<String> {
        let mut root: toml::Table = workspace.parse().context("Cargo.toml")?;
        let place = |name: &str| {
            let path = path(name).display().to_string();
            toml::Value::Table([(String::from("path"), path.into())].into_iter().collect())
        };
        let mut manifest = toml::Table::new();
        let package = [("name", self.name()), ("version", "0.0.0".into()), ("edition", "2024".into())];
        let package = package.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
        manifest.insert("package".into(), toml::Value::Table(package.collect()));
        let mut dependencies: toml::Table =
            self.uses.iter().map(|name| ((*name).to_owned(), place(name))).collect();
        for name in self.foreign {
            let known = root.get("workspace").and_then(|table| table.get("dependencies")?.get(*name));
            let known = known.with_context(|| format!("Cargo.toml: no dependency {name}"))?;
            dependencies.insert((*name).to_owned(), known.clone());
        }
        manifest.insert("dependencies".into(), toml::Value::Table(dependencies));
        let others = all.iter().filter(|other| !self.uses.contains(&other.as_str()));
        let patches = others.map(|other| (other.clone(), place(other)));
        let registry = [(String::from("crates-io"), toml::Value::Table(patches.collect()))];
        manifest.insert("patch".into(), toml::Value::Table(registry.into_iter().collect()));
        // The profile of the tests, so their builds are reused. Our own crates are built only for this, unoptimised.
        let mut profile = root.remove("profile").context("Cargo.toml: no profile")?;
        let unoptimised = toml::Table::from_iter([("opt-level".to_owned(), toml::Value::Integer(0))]);
        let packages = profile.get_mut("dev").and_then(|dev| dev.get_mut("package")?.as_table_mut());
        let packages = packages.context("Cargo.toml: no [profile.dev.package]")?;
        packages.extend(all.iter().map(|name| (name.clone(), toml::Value::Table(unoptimised.clone()))));
        manifest.insert("profile".into(), profile);
        Ok(toml::to_string(&manifest)?)
    }
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

    /// The manifest of a project, in a workspace of three crates.
    fn manifest(uses: &[&str], foreign: &[&str]) -> anyhow::Result<toml::Table> {
        let path = |name: &str| PathBuf::from("/packages").join(name);
        let all = ["random", "schedule", "trainer"].map(String::from);
        let project = Project { uses, foreign, source: PathBuf::new() };
        let root = "[workspace.dependencies]\ntch = \"=0.24.0\"\n[profile.dev]\nopt-level = 1\n\
                    [profile.dev.package]\n\"*\" = { opt-level = 1 }\n";
        Ok(project.manifest(&path, &all, root)?.parse()?)
    }

    fn keys(table: &toml::Value) -> Vec<&str> {
        let mut keys: Vec<&str> = table.as_table().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_project_has_the_dependencies_that_it_names() {
        let table = manifest(&["schedule"], &[]).unwrap();
        assert_eq!(keys(&table["dependencies"]), ["schedule"]);
        assert_eq!(keys(&table["patch"]["crates-io"]), ["random", "trainer"]);
        assert_eq!(table["patch"]["crates-io"]["random"]["path"].as_str(), Some("/packages/random"));
        let levels = &table["profile"]["dev"]["package"];
        assert_eq!(keys(levels), ["*", "random", "schedule", "trainer"]);
        for (name, level) in [("*", 1), ("schedule", 0), ("random", 0)] {
            assert_eq!(levels[name]["opt-level"].as_integer(), Some(level), "{name}");
        }

        let table = manifest(&["schedule", "trainer"], &["tch"]).unwrap();
        assert_eq!(keys(&table["dependencies"]), ["schedule", "tch", "trainer"]);
        assert_eq!(table["dependencies"]["tch"].as_str(), Some("=0.24.0"));
        assert_eq!(keys(&table["patch"]["crates-io"]), ["random"]);
        let error = manifest(&["schedule"], &["ndarray"]).unwrap_err().to_string();
        assert_eq!(error, "Cargo.toml: no dependency ndarray");
    }

    /// Four crates and tch are enough, and the member in the clone declares the same.
    #[test]
    fn the_program_uses_what_its_project_declares() {
        let root = Workspace::find().unwrap().root().to_owned();
        let text = fs::read_to_string(root.join(PROGRAM)).unwrap();
        let code = text.lines().filter(|line| !line.starts_with("//!"));
        let mut used: Vec<&str> = code
            .filter_map(|line| line.strip_prefix("use ")?.split_once("::").map(|(name, _)| name))
            .filter(|name| *name != "std")
            .collect();
        used.sort_unstable();
        let mut declared: Vec<&str> = PROGRAM_USES.into_iter().chain(["tch"]).collect();
        declared.sort_unstable();
        assert_eq!(used, declared);
        let member = fs::read_to_string(root.join("examples/Cargo.toml")).unwrap();
        let member: toml::Table = member.parse().unwrap();
        let of_member: Vec<&str> =
            keys(&member["dependencies"]).into_iter().filter(|name| *name != "torch-sys").collect();
        assert_eq!(of_member, declared);
    }
}
