//! `cargo xtask package`: a folder that runs on machines without Rust and can be moved.
//!
//! ```text
//! ddpm          finds libtorch and starts the program (launcher.sh)
//! bin/ddpm      the program, optimised, with the shipped model in it
//! model/        the newest valid checkpoint of a run, if there is one
//! lib/          with --with-libtorch: the CPU part of libtorch and what it needs
//! licences/     ours, the data's, those of all crates in the program, and of libtorch if included; in models/ the card of the
//!               shipped model
//! README.txt
//! ```

mod folder;
mod launcher;
mod libtorch;
mod licences;
mod model;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;

use crate::ddpm;
use crate::workspace::Workspace;

pub(crate) use folder::{beside, copy, copy_files, make, make_executable, remove, replace, write};

const README: &str = include_str!("readme.txt");
const WITH_MODEL: &str = include_str!("with_model.txt");
const WITHOUT_MODEL: &str = include_str!("without_model.txt");
/// Files by which an older package is known.
const MARKS: [&str; 2] = ["bin/ddpm", "ddpm"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to make; an older package there is replaced.
    #[arg(long, value_name = "DIR", default_value = "out/ddpm")]
    out: PathBuf,
    /// The run whose newest valid checkpoint becomes the model [default: the newest in runs/ that has one].
    #[arg(long, value_name = "DIR", conflicts_with = "no_model")]
    run: Option<PathBuf>,
    /// Without a model beside the shipped one.
    #[arg(long)]
    no_model: bool,
    /// Include the CPU part of libtorch (450 MB).
    #[arg(long)]
    with_libtorch: bool,
    /// A built program [default: build it].
    #[arg(long, hide = true, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(cfg!(target_os = "linux"), "package: expected Linux, where libtorch is found by LD_LIBRARY_PATH");
    let libraries = args.with_libtorch.then(|| libtorch::files(workspace)).transpose()?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => ddpm::build(workspace)?,
    };
    let checkpoint = match (&args.run, args.no_model) {
        (_, true) => None,
        (Some(run), _) => Some(model::newest_of(&program, run)?),
        (None, _) => model::newest(&program, Path::new("runs")),
    };

    // Built under another name, then renamed, so that `out` is always complete.
    let partial = beside(&args.out)?;
    remove(&partial)?;
    fill(workspace, &program, &partial)?;
    write(&partial.join("README.txt"), &readme(checkpoint.is_some()))?;
    copy_card(&workspace.root().join("assets/models"), &partial.join("licences/models"))?;
    if let Some(checkpoint) = &checkpoint {
        copy_files(checkpoint, &partial.join("model"))?;
    }
    if let Some(libraries) = libraries {
        libtorch::copy_to(&libraries, &partial)?;
    }
    replace(&args.out, &partial, "package", &MARKS)?;

    println!("package: {}", args.out.display());
    match checkpoint {
        Some(checkpoint) => println!("model:   {}", checkpoint.display()),
        None if args.no_model => println!("model:   the shipped one"),
        None => println!(
            "model:   the shipped one: no run in runs/ has a checkpoint; `cargo xtask train` makes one, --run names one"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the program, its launcher and the licences of what is in it into a folder.
pub(crate) fn fill(workspace: &Workspace, program: &Path, folder: &Path) -> anyhow::Result<()> {
    make(&folder.join("bin"))?;
    copy(program, &folder.join("bin/ddpm"))?;
    launcher::put(folder)?;
    licences::collect(workspace, &folder.join("licences"))
}

/// Copies the card of the shipped model with its picture and its numbers.
fn copy_card(from: &Path, to: &Path) -> anyhow::Result<()> {
    make(to)?;
    for name in ["fashion-28.md", "fashion-28.png", "fashion-28.json"] {
        copy(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

fn readme(has_model: bool) -> String {
    let (line, about) = if has_model {
        let line =
            "    ./ddpm sample --count 16 --out out/              draw images with the network in model/\n";
        (line, WITH_MODEL)
    } else {
        let line =
            "    ./ddpm sample --class all --count 80 --out out/  draw garments with the shipped network\n";
        (line, WITHOUT_MODEL)
    };
    README
        .replace("VERSION", env!("CARGO_PKG_VERSION"))
        .replace("SAMPLE", line)
        .replace("MODEL", about.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_card_is_copied_whole_or_its_absence_told() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["fashion-28.md", "fashion-28.png"] {
            write(&from.path().join(name), name).unwrap();
        }
        let error = copy_card(from.path(), to.path()).unwrap_err().to_string();
        assert!(error.contains("fashion-28.json"), "{error}");
        write(&from.path().join("fashion-28.json"), "{}").unwrap();
        copy_card(from.path(), &to.path().join("models")).unwrap();
        assert_eq!(fs::read_dir(to.path().join("models")).unwrap().count(), 3);
    }

    #[test]
    fn the_readme_names_the_model_only_where_there_is_one() {
        assert!(readme(true).contains("./ddpm sample --count") && readme(true).contains("--init-from model"));
        assert!(readme(false).contains("./ddpm sample --class all") && !readme(false).contains(" model/"));
        for text in [readme(true), readme(false)] {
            let mut words = text.split_whitespace();
            assert!(!words.any(|word| ["VERSION", "SAMPLE", "MODEL"].contains(&word)), "{text}");
        }
    }
}
