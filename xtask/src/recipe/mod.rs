//! `cargo xtask recipe`: reproducible trainings. A recipe is a configuration in `recipes/`. Its receipt records the
//! result, commit and machine, and anyone's training is compared with it.

mod index;
mod receipts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::child::{Ddpm, Ended, Program};
use crate::machine::Origin;
use crate::metric;
use crate::process::Exit;
use crate::run_log::Log;
use crate::workspace::Workspace;
use index::{FOLDER, Index, Machine, Recipe};
use receipts::{Receipt, Receipts, SeedReceipt, Verdict};

/// The metric of receipts: the distance to the training images.
const METRIC: &str = "fd:train";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The recipe; without one, lists all.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Its images, if they are not built in.
    #[arg(long, value_name = "SRC", requires = "name")]
    data: Option<PathBuf>,
    /// Seeds; one training each.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,
    /// Write the result as the new receipt, instead of comparing it with the existing one.
    #[arg(long, requires = "name")]
    write: bool,
    /// Only write RECEIPTS.md again from receipts.json.
    #[arg(long, conflicts_with = "name")]
    page: bool,
    /// Folder for the runs.
    #[arg(long, value_name = "DIR", default_value = "runs/recipes")]
    runs: PathBuf,
    #[command(flatten)]
    program: Program,
}

/// The exit code is 1 when a value is worse than its receipt.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let index = Index::read(workspace.root())?;
    let receipts = Receipts::read(workspace.root())?;
    if args.page {
        let path = workspace.root().join(FOLDER).join("RECEIPTS.md");
        files::write_atomic(&path, receipts.page(&index)?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(name) = &args.name else { return list(&index, &receipts) };
    let recipe = index.find(name)?;
    if let (Some(wanted), None) = (recipe.data.wanted(), &args.data) {
        return Err(Exit::usage(format!("{name}: expected --data SRC, {wanted}, found none")).into());
    }
    let ddpm = Ddpm::new(args.program.path(workspace)?, args.program.device.clone())?;
    let work = Work { ddpm: &ddpm, config: index.config(recipe), recipe, args };
    let mut done = Vec::new();
    let mut title = String::new();
    for &seed in &args.seeds {
        match work.seed(seed)? {
            Made::Done(run, of) => {
                println!("{name}, seed {seed}: {of} {:.3} ({:.3} to {:.3})", run.value, run.low, run.high);
                done.push(run);
                title = of;
            }
            Made::Stopped(code) => return Ok(ExitCode::from(code)),
        }
    }
    if args.write {
        let origin = Origin::now(workspace, args.program.device.as_deref());
        let receipt = Receipt { title, runs: done, evaluate: recipe.evaluate.clone(), origin };
        receipts.keep(workspace.root(), name, receipt)?;
        println!("saved in {FOLDER}/receipts.json and RECEIPTS.md");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(compare(name, receipts.of(name), &done))
}

/// All recipes, with their requirements and receipts.
fn list(index: &Index, receipts: &Receipts) -> anyhow::Result<ExitCode> {
    for recipe in &index.recipes {
        let machine = if recipe.machine == Machine::Gpu { ", a GPU" } else { "" };
        let data =
            recipe.data.wanted().map(|wanted| format!("; needs {wanted}{machine}")).unwrap_or_default();
        let receipt = match receipts.of(&recipe.name) {
            Some(receipt) => {
                let (low, high) = receipt.interval();
                format!("{} {low:.2} to {high:.2}", receipt.title)
            }
            None => "no receipt yet".to_owned(),
        };
        println!("{}: {receipt}{data}\n    {}", recipe.name, index.about(recipe)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(name: &str, receipt: Option<&Receipt>, runs: &[SeedReceipt]) -> ExitCode {
    let Some(receipt) = receipt else {
        println!("{name}: no receipt to compare with; --write makes one");
        return ExitCode::SUCCESS;
    };
    let (low, high) = receipt.interval();
    let mut worse = false;
    for run in runs {
        let verdict = receipt.verdict(run);
        worse |= verdict == Verdict::Worse;
        let word = match verdict {
            Verdict::Agrees => "agrees with",
            Verdict::Better => "is better than",
            Verdict::Worse => "is WORSE than",
        };
        println!("{name}, seed {}: {word} the receipt, {low:.3} to {high:.3}", run.seed);
    }
    if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A running recipe.
struct Work<'a> {
    ddpm: &'a Ddpm,
    config: PathBuf,
    recipe: &'a Recipe,
    args: &'a Args,
}

/// The result of a seed.
enum Made {
    Done(SeedReceipt, String),
    /// Stopped by the user, with the exit code for it.
    Stopped(u8),
}

impl Work<'_> {
    fn seed(&self, seed: u64) -> anyhow::Result<Made> {
        let name = &self.recipe.name;
        let run = self.args.runs.join(name).join(format!("seed-{seed}"));
        let log = self.args.runs.join(name).join(format!("seed-{seed}.log"));
        std::fs::create_dir_all(files::parent(&log)).with_context(|| log.display().to_string())?;
        println!("{name}, seed {seed}: training in {}, log beside it", run.display());
        // A finished run ends at once, and a stopped one resumes.
        let Some(trained) = ended(self.ddpm.run(&self.train(seed, &run), &log)?)? else {
            return Ok(Made::Stopped(self.ddpm.stop_code().unwrap_or(1)));
        };
        let trained = trained["steps"].as_u64().context("`ddpm train`: expected steps in its answer")?;
        println!("{name}, seed {seed}: evaluating");
        let mut args = vec!["evaluate".to_owned(), "--run".to_owned(), run.display().to_string()];
        args.extend(self.recipe.evaluate.iter().cloned());
        args.push("--json".to_owned());
        let Some(said) = ended(self.ddpm.run(&args, &log)?)? else {
            return Ok(Made::Stopped(self.ddpm.stop_code().unwrap_or(1)));
        };
        let found = metric::all(&said).into_iter().find(|metric| metric.id == METRIC);
        let found = found.with_context(|| format!("`ddpm evaluate`: expected {METRIC} in its answer"))?;
        let seconds = Log::read(&run)?.seconds();
        Ok(Made::Done(SeedReceipt::new(seed, &found, (trained, seconds)), found.title))
    }

    fn train(&self, seed: u64, run: &Path) -> Vec<String> {
        let mut args = vec!["train".to_owned(), "--config".to_owned(), self.config.display().to_string()];
        args.extend(["--run".to_owned(), run.display().to_string()]);
        args.extend(["--set".to_owned(), format!("seed={seed}"), "--json".to_owned()]);
        if let Some(data) = &self.args.data {
            args.extend(["--data".to_owned(), data.display().to_string()]);
        }
        args
    }
}

/// The answer of a call; `None` if it was stopped.
fn ended(ended: Ended) -> anyhow::Result<Option<serde_json::Value>> {
    match ended {
        Ended::Done(said) => Ok(Some(said)),
        Ended::Failed(reason) => anyhow::bail!(reason),
        Ended::Stopped(_) => Ok(None),
    }
}
