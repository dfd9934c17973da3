//! Runs the example of each library crate, as its documentation names it.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::process;

/// Each library crate with its example for users, and a part of what the example prints.
pub(crate) const EXAMPLES: [(&str, &str, &str); 24] = [
    ("random", "streams", "the same after a restart: true"),
    ("schedule", "tables", "remaining value of a pixel of 1"),
    ("embedding", "encode", "t = 499.5: "),
    ("files", "replace", "the file holds: the first report\nfiles in its folder: 1\n"),
    ("tensor-file", "list_tensors", "weight: F32 [2, 3], 24 bytes\nrefused: "),
    ("checkpoints", "save_and_find", "kept: 3 of 4 checkpoints\nskipped: "),
    ("dataset", "batches", "images of 28x28x1"),
    ("config", "settle", "64 channels, times [1, 2, 2, 2] by level"),
    ("run-images", "open_data", "500 images of 28x28x1, preset fashion-28"),
    ("shipped", "describe", "fashion-28: "),
    ("interchange", "export", "an ONNX file of "),
    ("figures", "side_by_side", "460x460 pixels"),
    ("metrics", "compare", "moved by 3: Frechet distance "),
    ("denoiser", "labels", "class 3: 0.3\nno class: 0.0\n"),
    (
        "tensor-io",
        "round_trip",
        "[2, 3, 4, 4], the same pixels again: true\nloaded: [0.5, 0.5, 0.5]\nrefused: ",
    ),
    ("torch-ext", "fused", "within 1e-4 of libtorch: true\nchannels are innermost: true\n"),
    ("distributed", "sum", "mean loss 1.5 of rank 0"),
    ("backbone", "own_network", "1427 parameters in 8 tensors\nprediction [2, 3, 16, 16]"),
    ("features", "distance", "FD (fashion features) of their negatives: "),
    ("likelihood", "bits", "exact:                         8.32 bits per dimension"),
    ("mixture", "two_kinds", "x_t 0: mean "),
    ("unet", "predict", "prediction [4, 1, 16, 16], largest number 0"),
    ("trainer", "train", "step 300: loss "),
    ("sampler", "draw", "dpmpp-2m,   20 steps: "),
];

/// Runs an example, which must succeed and print `expected`, and passes on what it prints.
pub(crate) fn check(cargo: &mut Command, expected: &str) -> anyhow::Result<()> {
    println!("    {}", process::line_of(cargo));
    print!("{}", output(cargo, expected)?);
    Ok(())
}

/// The same, but returns what it prints.
pub(crate) fn output(cargo: &mut Command, expected: &str) -> anyhow::Result<String> {
    let line = process::line_of(cargo);
    let output = cargo.output().with_context(|| format!("`{line}` cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && said.contains(expected),
        "`{line}`: expected {expected:?} in its output, found {} and\n{}\n{}",
        output.status,
        said.trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;
    use std::collections::BTreeSet;
    use std::fs;

    /// More would not be read.
    const MOST_LINES: usize = 60;

    #[test]
    fn every_library_crate_has_one_and_names_it_in_its_documentation() {
        let workspace = Workspace::find().unwrap();
        for name in workspace.crates_bottom_up().unwrap().iter().filter(|name| *name != "cli") {
            let rows: Vec<&str> = EXAMPLES.iter().filter(|row| row.0 == name).map(|row| row.1).collect();
            let [example] = rows[..] else { panic!("{name}: expected one example, found {rows:?}") };
            let folder = workspace.root().join("crates").join(name);
            let text = fs::read_to_string(folder.join(format!("examples/{example}.rs"))).unwrap();
            assert!(text.lines().count() <= MOST_LINES, "{name}: {example}");
            let command = format!("cargo run -p {name} --example {example}");
            let page = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
            for text in [&text, &page] {
                let mut docs = text.lines().take_while(|line| line.starts_with("//!"));
                assert!(docs.any(|line| line.contains(&command)), "{name}: expected `{command}`");
            }
        }
    }

    /// Every block of code there is in the example that the text before it names.
    #[test]
    fn the_introduction_quotes_examples_as_they_are() {
        let root = Workspace::find().unwrap().root().to_owned();
        let page = fs::read_to_string(root.join("docs/learn.md")).unwrap();
        let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        let mut quotes = 0;
        let mut before = String::new();
        for (index, part) in page.split("```").enumerate() {
            let Some(code) = part.strip_prefix("rust\n").filter(|_| index % 2 == 1) else {
                before = part.to_owned();
                continue;
            };
            let mut paths = before.split('`').filter(|word| word.contains("/examples/"));
            let path = paths.next_back().unwrap_or_else(|| panic!("no example is named before {code}"));
            let source = fs::read_to_string(root.join(path)).unwrap();
            assert!(trimmed(&source).contains(&trimmed(code)), "{path} does not hold\n{code}");
            quotes += 1;
        }
        assert_eq!(quotes, 7);
    }

    /// The build folder has one place for the examples of all packages.
    #[test]
    fn their_names_differ() {
        let names: BTreeSet<&str> = EXAMPLES.iter().map(|row| row.1).collect();
        assert_eq!(names.len(), EXAMPLES.len());
    }

    #[test]
    fn a_run_must_succeed_and_print_what_is_expected() {
        let run = |script| check(Command::new("sh").args(["-c", script]), "3 images");
        run("echo read 3 images").unwrap();
        for script in ["echo read 4 images", "echo read 3 images; exit 1", "true"] {
            let error = run(script).unwrap_err().to_string();
            assert!(error.contains("expected \"3 images\" in its output"), "{error}");
        }
    }
}
