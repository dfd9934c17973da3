//! `cargo xtask ship`: makes the model that is built into the program. From a run it makes the file in half precision, a
//! picture of unselected samples, the measurements as JSON, and of these the model card.

mod card;
mod facts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::child::{Ddpm, Program};
use crate::ddpm;
use crate::json_file::{read_json, write_json};
use crate::machine::Origin;
use crate::process::Exit;
use crate::runs;
use crate::setup::hash;
use crate::workspace::Workspace;
use facts::{Facts, FileFacts, Measured, Picture, Training};

/// The name of the model and of its files.
const NAME: &str = "fashion-28";
/// The folder of the files, from the root of the workspace.
const FOLDER: &str = "assets/models";
/// Largest size of the file: it is part of every program.
const MOST_BYTES: u64 = 6_000_000;
/// Samples in the picture, a row of eight for each class.
const SHOWN: u64 = 80;
/// Seed of the samples in the picture.
const SEED: u64 = 0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run whose averaged weights are shipped [default: runs/recipes/RECIPE/seed-0].
    #[arg(value_name = "RUN", conflicts_with = "page")]
    run: Option<PathBuf>,
    /// The recipe it was trained with.
    #[arg(long, value_name = "NAME", default_value = "shipped")]
    recipe: String,
    /// The folder with the four files of Fashion-MNIST, as downloaded.
    #[arg(long, value_name = "DIR", required_unless_present = "page")]
    data: Option<PathBuf>,
    /// Samples to compare with real images, and real images to compare with others.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    n: u64,
    /// Commit of the training [default: the current one].
    #[arg(long, value_name = "HASH")]
    commit: Option<String>,
    /// Machine of the training [default: this one].
    #[arg(long, value_name = "TEXT")]
    machine: Option<String>,
    /// Only write the card again from its JSON.
    #[arg(long)]
    page: bool,
    /// Folder for the files.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    out: PathBuf,
    /// Folder for files on the way and the log.
    #[arg(long, value_name = "DIR", default_value = "out/ship")]
    work: PathBuf,
    #[command(flatten)]
    program: Program,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let Some(data) = args.data.as_ref().filter(|_| !args.page) else {
        let path = args.out.join(format!("{NAME}.json"));
        let facts: Facts = read_json(&path)?.with_context(|| format!("{}: no such file", path.display()))?;
        write(&args.out.join(format!("{NAME}.md")), card::page(&facts).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let recipe = workspace.root().join("recipes").join(format!("{}.toml", args.recipe));
    if !recipe.is_file() {
        return Err(Exit::usage(format!(
            "--recipe {}: expected a recipe, found none; `cargo xtask recipe` lists them",
            args.recipe
        ))
        .into());
    }
    let run = trained(args)?;
    // The first model is made by a program without one.
    let has_model = workspace.root().join(FOLDER).join(format!("{NAME}.safetensors")).is_file();
    let build = || if has_model { ddpm::build(workspace) } else { ddpm::build_without_model(workspace) };
    let program = args.program.path_or(build)?;
    fs::create_dir_all(&args.work).with_context(|| args.work.display().to_string())?;
    let work = Work {
        ddpm: Ddpm::new(program, args.program.device.clone())?,
        folder: &args.work,
        log: args.work.join("log"),
    };
    let (model, exported) = work.export(&run)?;
    let bytes = fs::metadata(&model).with_context(|| model.display().to_string())?.len();
    ensure!(
        bytes <= MOST_BYTES,
        "{}: expected at most {MOST_BYTES} bytes, found {bytes}; ship a smaller network",
        run.display()
    );
    println!("comparing {} samples with the real images; log in {}", args.n, work.log.display());
    let samples = work.samples(&model, data, args.n)?;
    println!("comparing {} real images with others", args.n);
    let yardstick = work.yardstick(data, args.n)?;
    let picture = work.picture(&model)?;

    let origin = Origin::now(workspace, args.program.device.as_deref());
    let steps = exported["step"].as_u64().context("`ddpm export`: expected step in its answer")?;
    let parameters = exported["parameters"].as_u64().context("`ddpm export`: expected parameters")?;
    let mut training = Training::read(&run, steps, &args.recipe)?;
    training.commit = args.commit.clone().unwrap_or_else(|| origin.commit.clone());
    training.machine = args.machine.clone().unwrap_or_else(|| origin.machine.clone());
    let facts = Facts {
        name: NAME.to_owned(),
        file: FileFacts { sha256: hash::of_file(&model)?, bytes, parameters },
        picture: Picture { sha256: hash::of_file(&picture)?, count: SHOWN, seed: SEED },
        training,
        samples,
        yardstick,
        origin,
    };
    keep(&args.out, &model, &picture, &facts)?;
    println!("written to {}: {NAME}.safetensors, .png, .json and .md", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// The run that the arguments name.
fn trained(args: &Args) -> anyhow::Result<PathBuf> {
    let usual = || Path::new("runs/recipes").join(&args.recipe).join("seed-0");
    let run = args.run.clone().unwrap_or_else(usual);
    if runs::changed(&run).is_none() {
        return Err(Exit::usage(format!(
            "{}: expected a run, found none; train it with `cargo xtask recipe {} --data DIR`",
            run.display(),
            args.recipe
        ))
        .into());
    }
    Ok(run)
}

/// Writes the four files, the model first: the card never describes a file that is not there yet.
fn keep(out: &Path, model: &Path, picture: &Path, facts: &Facts) -> anyhow::Result<()> {
    let at = |ending: &str| out.join(format!("{NAME}.{ending}"));
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    for (from, to) in [(model, at("safetensors")), (picture, at("png"))] {
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        write(&to, &bytes)?;
    }
    write_json(&at("json"), facts)?;
    write(&at("md"), card::page(facts).as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    files::write_atomic(path, bytes).with_context(|| path.display().to_string())
}

/// The program, and the folder it writes to.
struct Work<'a> {
    ddpm: Ddpm,
    folder: &'a Path,
    log: PathBuf,
}

impl Work<'_> {
    fn call(&self, words: &[&str]) -> anyhow::Result<Value> {
        let args: Vec<String> = words.iter().chain(&["--json"]).map(|word| (*word).to_owned()).collect();
        self.ddpm.answer_with_log(&args, &self.log)
    }

    /// The averaged weights in half precision.
    fn export(&self, run: &Path) -> anyhow::Result<(PathBuf, Value)> {
        let file = self.folder.join(format!("{NAME}.safetensors"));
        let (run, out) = (text(run), text(&file));
        // The place of the training images is nobody's business, and the embedded ones are some of them.
        let data = "--data=fashion-mnist";
        let said = self.call(&["export", "--run", &run, "--out", &out, "--dtype", "f16", data])?;
        Ok((file, said))
    }

    /// The distances of samples to the training images and to the test images.
    fn samples(&self, model: &Path, data: &Path, n: u64) -> anyhow::Result<Measured> {
        let (model, data, n) = (text(model), text(data), n.to_string());
        let metrics = "fd,kd,prdc,copying";
        let said =
            self.call(&["evaluate", "--model", &model, "--data", &data, "--n", &n, "--metrics", metrics])?;
        Measured::of(said, &["fd:train", "fd:test"])
    }

    /// The same distances of real training images to the test images: what perfect samples would have.
    fn yardstick(&self, data: &Path, n: u64) -> anyhow::Result<Measured> {
        let (images, n) = (text(data), n.to_string());
        let test = format!("{images}:test");
        let metrics = "fd,kd,prdc";
        let said =
            self.call(&["evaluate", "--images", &images, "--data", &test, "--n", &n, "--metrics", metrics])?;
        // The only real images that are given count as those of the training.
        Measured::of(said, &["fd:train"]).map(|measured| measured.renamed("train", "test"))
    }

    fn picture(&self, model: &Path) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join("samples");
        let (model, out, count, seed) = (text(model), text(&folder), SHOWN.to_string(), SEED.to_string());
        self.call(&[
            "sample", "--model", &model, "--class", "all", "--count", &count, "--seed", &seed, "--save",
            "grid", "--out", &out,
        ])?;
        Ok(folder.join("grid.png"))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
