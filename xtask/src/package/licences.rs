//! The licences in a package: ours, the embedded data's, and those of every linked crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{copy, make, write};
use crate::process;
use crate::workspace::Workspace;

/// Files of the workspace itself.
const OURS: [&str; 4] = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "assets/fashion-mnist.LICENSE"];

/// Prefixes of licence file names.
const BEGINNINGS: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// A crate from a registry.
#[derive(Debug, PartialEq, Eq)]
struct Crate {
    /// `name version`.
    name: String,
    licence: String,
    /// The folder of its manifest.
    folder: PathBuf,
}

/// Fills `folder`: our licences, `CRATES.txt`, and in `crates/` the licence texts of each crate.
pub(super) fn collect(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    make(folder)?;
    for name in OURS {
        let path = workspace.root().join(name);
        copy(&path, &folder.join(path.file_name().unwrap_or_default()))?;
    }
    let tree =
        cargo(workspace, &["tree", "-p", "cli", "-e", "normal", "--prefix", "none", "--format", "{p}"])?;
    let metadata = cargo(workspace, &["metadata", "--format-version", "1"])?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("cannot parse the output of `cargo metadata`")?;
    let crates = linked(&tree, &metadata);
    ensure!(!crates.is_empty(), "licences: expected linked crates, found none");
    let list: String = crates.iter().map(|one| format!("{}: {}\n", one.name, one.licence)).collect();
    write(&folder.join("CRATES.txt"), &list)?;
    for one in &crates {
        copy_texts(one, &folder.join("crates"))?;
    }
    Ok(())
}

fn cargo(workspace: &Workspace, args: &[&str]) -> anyhow::Result<String> {
    let mut cargo = process::cargo(workspace);
    let output = cargo.args(args).arg("--locked").current_dir(workspace.root()).output();
    let output = output.with_context(|| format!("`{}` cannot be started", process::line_of(&cargo)))?;
    ensure!(
        output.status.success(),
        "`{}`: {}",
        process::line_of(&cargo),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The registry crates in the output of `cargo tree` (lines `name vVERSION ..`), sorted and unique.
fn linked(tree: &str, metadata: &Value) -> Vec<Crate> {
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, &Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| package["source"].is_string())
        .map(|package| (format!("{} {}", text(package, "name"), text(package, "version")), package))
        .collect();
    let mut names: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap_or_default()))
        .collect();
    names.sort();
    names.dedup();
    let one = |name: String| {
        let package = packages.get(&name)?;
        let manifest = PathBuf::from(text(package, "manifest_path"));
        let licence = package["license"].as_str().unwrap_or("see its files").to_owned();
        Some(Crate { name, licence, folder: manifest.parent()?.to_owned() })
    };
    names.into_iter().filter_map(one).collect()
}

fn copy_texts(one: &Crate, to: &Path) -> anyhow::Result<()> {
    let folder = to.join(one.name.replace(' ', "-"));
    for entry in fs::read_dir(&one.folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if entry.path().is_file() && BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) {
            make(&folder)?;
            copy(&entry.path(), &folder.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_linked_is_listed_once() {
        let package = |name: &str, source: Value| {
            json!({ "name": name, "version": "1.2.0", "license": "MIT", "source": source,
                    "manifest_path": format!("/r/{name}-1.2.0/Cargo.toml") })
        };
        let metadata = json!({ "packages": [
            package("serde", json!("registry")), package("unused", json!("registry")), package("cli", Value::Null),
        ] });
        let tree =
            "cli v1.2.0 (/w/crates/cli)\nserde v1.2.0\nserde v1.2.0 (*)\nserde_x v0.1.0 (proc-macro)\n";
        let want =
            Crate { name: "serde 1.2.0".into(), licence: "MIT".into(), folder: "/r/serde-1.2.0".into() };
        assert_eq!(linked(tree, &metadata), [want]);
    }

    #[test]
    fn texts_go_with_their_crate() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["LICENSE-MIT", "Notice.txt", "README.md"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        let one = Crate { name: "a 1.0.0".into(), licence: "MIT".into(), folder: from.path().into() };
        copy_texts(&one, to.path()).unwrap();
        let there = |name: &str| to.path().join("a-1.0.0").join(name).exists();
        assert!(there("LICENSE-MIT") && there("Notice.txt") && !there("README.md"));
    }

    #[test]
    fn our_licences_are_there() {
        let root = Workspace::find().unwrap().root().to_owned();
        assert!(OURS.iter().all(|name| root.join(name).is_file()));
    }
}
