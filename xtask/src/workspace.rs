//! The workspace folder and its members.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, bail};
use toml::Table;

/// The crates that must build and test on a machine without libtorch.
pub(crate) const LIBTORCH_FREE: [&str; 13] = [
    "random",
    "schedule",
    "embedding",
    "files",
    "tensor-file",
    "checkpoints",
    "dataset",
    "config",
    "run-images",
    "shipped",
    "interchange",
    "figures",
    "metrics",
];

/// The workspace that `cargo xtask` was called in.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Searches from xtask's folder, which cargo names, or upwards from the current folder.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if let Some(xtask) = env::var_os("CARGO_MANIFEST_DIR")
            && let Some(root) = Path::new(&xtask).parent()
            && is_root(root)
        {
            return Ok(Self { root: root.to_path_buf() });
        }
        let here = env::current_dir().context("cannot read the current folder")?;
        match here.ancestors().find(|folder| is_root(folder)) {
            Some(root) => Ok(Self { root: root.to_path_buf() }),
            None => bail!(
                "{}: expected a folder of this workspace, found no Cargo.toml beside xtask/ in it or above; \
                 call `cargo xtask` inside the clone",
                here.display()
            ),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder for libtorch. `.cargo/config.toml` points LIBTORCH at `torch` in it.
    pub(crate) fn libtorch(&self) -> PathBuf {
        self.root.join(".libtorch")
    }

    /// The crates in `crates/`, each after those it depends on.
    pub(crate) fn crates_bottom_up(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.root.join("crates");
        let mut manifests = BTreeMap::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let manifest = entry?.path().join("Cargo.toml");
            if let (Ok(text), Some(name)) = (fs::read_to_string(&manifest), folder_name(&manifest)) {
                manifests.insert(name, text);
            }
        }
        Ok(bottom_up(&manifests))
    }
}

/// cargo's build folder: this program is in one of its profile folders.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("the path of xtask is unknown")?;
    // A test is one folder deeper, in deps.
    let mut folders = program.ancestors().filter(|folder| !folder.ends_with("deps"));
    folders.nth(2).map(Path::to_owned).context("xtask is not in a build folder")
}

fn is_root(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() && folder.join("xtask/Cargo.toml").is_file()
}

fn folder_name(manifest: &Path) -> Option<String> {
    Some(manifest.parent()?.file_name()?.to_str()?.to_owned())
}

/// Sorts package names so that a package comes after its dependencies; ties are sorted by name. A cycle, which cargo
/// itself would refuse, is cut where it is found.
fn bottom_up(manifests: &BTreeMap<String, String>) -> Vec<String> {
    let mut sorted = Vec::new();
    let mut open = Vec::new();
    for name in manifests.keys() {
        visit(name, manifests, &mut open, &mut sorted);
    }
    sorted
}

fn visit<'m>(
    name: &'m str,
    manifests: &'m BTreeMap<String, String>,
    open: &mut Vec<&'m str>,
    sorted: &mut Vec<String>,
) {
    let Some(manifest) = manifests.get(name) else { return };
    if open.contains(&name) {
        return;
    }
    open.push(name);
    for key in dependency_keys(manifest) {
        if let Some((member, _)) = manifests.get_key_value(&key) {
            visit(member, manifests, open, sorted);
        }
    }
    sorted.push(name.to_owned());
}

/// The left-hand names in the dependency tables of a manifest.
fn dependency_keys(manifest: &str) -> Vec<String> {
    let table: Table = manifest.parse().unwrap_or_default();
    let tables = table.iter().filter(|(name, _)| name.ends_with("dependencies"));
    tables.filter_map(|(_, table)| table.as_table()).flat_map(|table| table.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(name, text)| (String::from(*name), String::from(*text))).collect()
    }

    #[test]
    fn a_crate_comes_after_what_it_depends_on() {
        let sorted = bottom_up(&manifests(&[
            ("a", "[package]\nname = \"a\"\nz = 1\n[dependencies]\nc.workspace = true\n"),
            ("b", "[dev-dependencies]\na = { path = \"../a\" }\n"),
            ("c", "[dependencies]\n# b.workspace = true\nndarray.workspace = true\n"),
        ]));
        assert_eq!(sorted, ["c", "a", "b"]);
    }

    #[test]
    fn a_cycle_is_cut() {
        let rows = [("a", "[dependencies]\nb.workspace = true"), ("b", "[dependencies]\na.workspace = true")];
        assert_eq!(bottom_up(&manifests(&rows)).len(), 2);
    }

    #[test]
    fn this_workspace_lists_the_libtorch_free_crates() {
        let crates = Workspace::find().unwrap().crates_bottom_up().unwrap();
        for name in LIBTORCH_FREE {
            assert!(crates.iter().any(|c| c == name), "{name} is not in {crates:?}");
        }
        let position = |name| crates.iter().position(|c| c == name).unwrap();
        assert!(position("schedule") < position("sampler"));
        assert!(position("unet") < position("cli"));
    }

    #[test]
    fn contributors_read_the_same_list() {
        let page = fs::read_to_string(Workspace::find().unwrap().root().join("CONTRIBUTING.md")).unwrap();
        let mut paragraphs = page.split("\n\n").flat_map(|part| part.split(".\n"));
        let list = paragraphs.find(|part| part.contains("pass their tests without libtorch")).unwrap();
        for name in LIBTORCH_FREE {
            assert!(list.contains(&format!("`{name}`")), "{name} is not in {list:?}");
        }
    }

    #[test]
    fn the_build_folder_holds_this_test() {
        let target = target_folder().unwrap();
        assert!(env::current_exe().unwrap().starts_with(&target));
        assert!(target.join("debug").is_dir() || target.join("release").is_dir(), "{}", target.display());
    }
}
