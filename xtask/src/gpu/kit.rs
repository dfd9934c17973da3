//! `cargo xtask gpu-kit`: the folder for a machine with a GPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::json;

use super::{images, programs};
use crate::package::{beside, copy, fill, make as make_folder, make_executable, remove, replace, write};
use crate::workspace::Workspace;
use crate::{ddpm, machine};

/// The largest folder, in bytes. It must fit through whatever leads to the machine.
const LIMIT: u64 = 48 << 20;

/// Files by which an older folder is known.
const MARKS: [&str; 2] = ["kit.json", "run"];

const RUN: &str = include_str!("kit/run.sh");
const README: &str = include_str!("kit/readme.txt");
/// The stages.
const STAGES: [(&str, &str); 10] = [
    ("main.py", include_str!("kit/main.py")),
    ("children.py", include_str!("kit/children.py")),
    ("results.py", include_str!("kit/results.py")),
    ("arrays.py", include_str!("kit/arrays.py")),
    ("smoke.py", include_str!("kit/smoke.py")),
    ("compare.py", include_str!("kit/compare.py")),
    ("solvers.py", include_str!("kit/solvers.py")),
    ("robust.py", include_str!("kit/robust.py")),
    ("speed.py", include_str!("kit/speed.py")),
    ("training.py", include_str!("kit/training.py")),
];

/// Presets for colour images, which train on those of the folder; the others have the embedded images.
const COLOUR: [&str; 2] = ["ddpm-cifar10", "images"];
/// What is timed: task, network, images, whether diffusers has this network too, and whether the page has goals for it. Only
/// the latter are also timed without recordings and with channels innermost.
const SPEED: [(&str, &str, u32, bool, bool); 8] = [
    ("train", "cifar10", 128, true, true),
    ("sample", "cifar10", 16, true, true),
    ("train", "cifar10", 512, true, false),
    ("sample", "cifar10", 64, true, false),
    ("train", "small32", 64, true, false),
    ("sample", "small32", 64, true, false),
    ("train", "images 64", 32, false, false),
    ("sample", "images 64", 16, false, false),
];
/// The preset of the last stage.
const TRAINING: &str = "ddpm-cifar10";

// `gpu::Args`, which has these flags too, would make a group of the same name.
#[derive(Debug, clap::Args)]
#[group(id = "gpu-kit")]
pub(crate) struct Args {
    /// The folder to make; an older one there is replaced.
    #[arg(long, value_name = "DIR", default_value = "out/gpu-kit")]
    pub(super) out: PathBuf,
    /// 32-pixel colour images to train on: a file or folder of `ddpm train --data` [default: generated images].
    #[arg(long, value_name = "SRC")]
    data: Option<PathBuf>,
    /// A built program [default: build it].
    #[arg(long, hide = true, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A folder with built test programs [default: build them].
    #[arg(long, hide = true, value_name = "DIR")]
    tests: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = make(workspace, args)?;
    println!(
        "gpu-kit: {}, {:.1} MiB; copy it to the machine and call ./run --out results",
        args.out.display(),
        bytes as f64 / f64::from(1 << 20)
    );
    Ok(ExitCode::SUCCESS)
}

/// Makes the folder and returns its bytes.
pub(super) fn make(workspace: &Workspace, args: &Args) -> anyhow::Result<u64> {
    ensure!(cfg!(target_os = "linux"), "gpu-kit: expected Linux, where libtorch is found by LD_LIBRARY_PATH");
    let program = match &args.program {
        Some(program) => program.clone(),
        None => ddpm::build(workspace)?,
    };
    let tests = match &args.tests {
        Some(folder) => programs::of_folder(folder)?,
        None => programs::build(workspace)?,
    };
    let partial = beside(&args.out)?;
    remove(&partial)?;
    fill(workspace, &program, &partial)?;
    programs::strip(&partial.join("bin/ddpm"))?;
    programs::zip(&tests, &partial.join("tests.zip"))?;
    write(&partial.join("run"), RUN)?;
    make_executable(&partial.join("run"))?;
    make_folder(&partial.join("kit"))?;
    for (name, text) in STAGES {
        write(&partial.join("kit").join(name), text)?;
    }
    make_folder(&partial.join("scripts"))?;
    let script = workspace.root().join("scripts/bench_peers.py");
    copy(&script, &partial.join("scripts/bench_peers.py"))?;
    write(&partial.join("README.txt"), &readme())?;

    // The images get the room that is left; the facts below take less than a page.
    let room = LIMIT.saturating_sub(bytes_of(&partial)? + (1 << 14));
    make_folder(&partial.join("data"))?;
    let data = match &args.data {
        Some(source) => images::copy(source, &partial.join("data"), room)?,
        None => images::generate(&partial.join("data"))?,
    };
    write(&partial.join("kit.json"), &format!("{:#}\n", facts(workspace, &data)?))?;
    let bytes = bytes_of(&partial)?;
    check_size(&args.out, bytes)?;
    replace(&args.out, &partial, "GPU folder", &MARKS)?;
    Ok(bytes)
}

fn readme() -> String {
    let stages = "doctor, tests, compare, robust, speed or training";
    README.replace("VERSION", env!("CARGO_PKG_VERSION")).replace("STAGES", stages)
}

/// What the stages cannot know.
fn facts(workspace: &Workspace, data: &str) -> anyhow::Result<serde_json::Value> {
    let assets = workspace.root().join("assets");
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": machine::commit(workspace).unwrap_or_else(|| "unknown".to_owned()),
        "data": format!("data/{data}"),
        "presets": names(&assets.join("configs"))?,
        "objectives": names(&assets.join("objectives"))?,
        "solvers": solvers(workspace)?,
        "colour": COLOUR,
        "speed": SPEED,
        "training": TRAINING,
    }))
}

/// The names of the TOML files in a folder; `consistency`, which starts from the network of another objective, is last.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if let (Some("toml"), Some(name)) =
            (path.extension().and_then(|ext| ext.to_str()), path.file_stem().and_then(|name| name.to_str()))
        {
            found.push(name.to_owned());
        }
    }
    found.sort_by_key(|name| (name == "consistency", name.clone()));
    Ok(found)
}

/// The names of all solvers. xtask does not link their crate, so it reads the list in its source.
fn solvers(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = workspace.root().join("crates/sampler/src/method.rs");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let list = text.split_once("const NAMES: &[&str] = &[").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) =
        list.with_context(|| format!("{}: expected the list NAMES, found none", path.display()))?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

fn check_size(out: &Path, bytes: u64) -> anyhow::Result<()> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    ensure!(
        bytes <= LIMIT,
        "--out {}: expected at most {:.0} MiB, found {:.1}; name fewer images with --data",
        out.display(),
        mib(LIMIT),
        mib(bytes)
    );
    Ok(())
}

/// The bytes of all files below a folder.
pub(super) fn bytes_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let meta = entry.metadata().with_context(|| format!("{} cannot be read", entry.path().display()))?;
        bytes += if meta.is_dir() { bytes_of(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;

    #[test]
    fn the_names_are_those_of_the_program() {
        let workspace = Workspace::find().unwrap();
        let facts = facts(&workspace, "x").unwrap();
        let of = |key: &str| -> Vec<String> { serde_json::from_value(facts[key].clone()).unwrap() };
        assert!(of("presets").contains(&"tiny-16".to_owned()), "{facts}");
        assert!(COLOUR.iter().all(|name| of("presets").contains(&(*name).to_owned())), "{facts}");
        assert_eq!(of("objectives").last().map(String::as_str), Some("consistency"));
        assert!(of("presets").contains(&TRAINING.to_owned()), "{facts}");
        let with_goals: Vec<String> = SPEED
            .iter()
            .filter(|(.., has_goal)| *has_goal)
            .map(|(task, network, images, ..)| format!("{task} {network}, {images} images"))
            .collect();
        assert_eq!(with_goals, page::GOALS.map(|(work, _)| work.to_owned()));
        // The page for users has a row for each solver, and no other names in that column.
        let page = include_str!("../../../docs/sampling.md");
        let table =
            page.split_once("| `--sampler` |").and_then(|(_, rest)| rest.split_once("\n\n")).unwrap().0;
        let rows = table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap());
        let mut listed: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let mut solvers = of("solvers");
        listed.sort_unstable();
        solvers.sort_unstable();
        assert!(solvers.len() >= 15, "{solvers:?}");
        assert_eq!(solvers, listed);
    }

    #[test]
    fn all_stages_are_in_the_folder_and_the_readme() {
        let folder = Workspace::find().unwrap().root().join("xtask/src/gpu/kit");
        let mut scripts: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".py"))
            .collect();
        scripts.sort();
        let mut ours: Vec<&str> = STAGES.iter().map(|(name, _)| *name).collect();
        ours.sort_unstable();
        assert_eq!(ours, scripts);
        assert!(!readme().contains("VERSION") && !readme().contains("STAGES"));
        for stage in ["doctor", "tests", "compare", "robust", "speed", "training"] {
            assert!(readme().contains(stage) && STAGES[0].1.contains(&format!("\"{stage}\": (")), "{stage}");
        }
    }

    #[test]
    fn too_large_a_folder_is_refused() {
        check_size(Path::new("kit"), LIMIT).unwrap();
        let error = check_size(Path::new("kit"), LIMIT + (1 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("--out kit: expected at most 48 MiB, found 49.0"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
        write(&folder.path().join("a/b/c"), "1234").unwrap();
        write(&folder.path().join("d"), "12").unwrap();
        assert_eq!(bytes_of(folder.path()).unwrap(), 6);
    }
}
