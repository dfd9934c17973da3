//! The tests that drive headless Chromium. They are marked `#[ignore]`, since most machines have no Chromium.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::process;
use crate::workspace::Workspace;

/// The test target that has all of them and nothing else.
const TARGET: &str = "report";
/// The names that `tests/src/browser.rs` looks for.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "Chromium"];

/// Why they cannot run here; `None` if they can.
pub(crate) fn obstacle() -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let found = NAMES.iter().any(|name| folders.iter().any(|folder| folder.join(name).is_file()));
    if found || env::var_os("DDPM_CHROMIUM").is_some() {
        return None;
    }
    Some(format!("no {} on the path, and DDPM_CHROMIUM is not set", NAMES[..3].join(", ")))
}

/// Runs only the browser tests.
pub(crate) fn tests(workspace: &Workspace, locked: &[&str]) -> Command {
    let mut cargo = process::cargo(workspace);
    // Beside the program, like the other end-to-end tests.
    cargo.arg("test").args(locked).args(["-p", "tests", "-p", "cli", "--test", TARGET, "--", "--ignored"]);
    cargo.current_dir(workspace.root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every test that needs a browser is in this target, and the names match.
    #[test]
    fn tests_in_a_browser_are_all_in_one_target() {
        let workspace = Workspace::find().unwrap();
        let folder = workspace.root().join("tests");
        for entry in std::fs::read_dir(folder.join("tests")).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let (browser, ignored) =
                (text.contains("browser::Page"), text.contains("#[ignore = \"needs Chromium\"]"));
            let is_target = path.file_stem().is_some_and(|name| name == TARGET);
            assert_eq!((browser, ignored), (is_target, is_target), "{}", path.display());
        }
        let source = std::fs::read_to_string(folder.join("src/browser.rs")).unwrap();
        assert!(NAMES.iter().all(|name| source.contains(&format!("\"{name}\""))));
        let line = process::line_of(&super::tests(&workspace, &["--locked"]));
        assert!(line.ends_with("test --locked -p tests -p cli --test report -- --ignored"), "{line}");
    }
}
