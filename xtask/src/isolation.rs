//! Crates that promise to work without libtorch.

use anyhow::ensure;

use crate::process;
use crate::workspace::Workspace;

/// Fails when libtorch is among the dependencies of a crate that promises to work without it. `flags` are for cargo.
pub(crate) fn check(workspace: &Workspace, name: &str, flags: &[&str]) -> anyhow::Result<()> {
    let mut cargo = process::cargo(workspace);
    cargo.args(["tree", "-p", name, "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = cargo.args(flags).current_dir(workspace.root()).output()?;
    ensure!(
        output.status.success(),
        "`{}`: expected a dependency tree, found {}",
        process::line_of(&cargo),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let tree = String::from_utf8_lossy(&output.stdout);
    match of_libtorch(&tree) {
        None => Ok(()),
        Some(found) => anyhow::bail!("{name}: expected no libtorch among its dependencies, found {found}"),
    }
}

/// The first line of a dependency tree that names a libtorch binding.
fn of_libtorch(tree: &str) -> Option<&str> {
    tree.lines().find(|line| matches!(line.split_whitespace().next(), Some("tch" | "torch-sys")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_in_the_tree_is_found() {
        let clean = "schedule v0.1.0 (crates/schedule)\nndarray v0.16.1\ntorch-stub v1.0.0\n";
        assert_eq!(of_libtorch(clean), None);
        assert_eq!(of_libtorch(&format!("{clean}torch-sys v0.24.0\n")), Some("torch-sys v0.24.0"));
        assert_eq!(of_libtorch("tch v0.24.0 (*)"), Some("tch v0.24.0 (*)"));
    }
}
