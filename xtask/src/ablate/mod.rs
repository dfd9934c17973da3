//! `cargo xtask ablate FILE.toml`: an ablation study as data. Every row of the file is trained and evaluated, the best
//! rows with more seeds. The result is a page with a table and a picture. A stopped study resumes.

mod elsewhere;
mod evaluate;
mod folder;
mod lines;
mod page;
mod picture;
mod predict;
mod read;
mod results;
mod study;
mod table;
mod train;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::Value;

use crate::child::{Ddpm, Program};
use crate::json_file::write_json;
use crate::machine::Origin;
use crate::outputs;
use crate::process::{self, Exit};
use crate::run_log::Log;
use crate::workspace::Workspace;
use elsewhere::Elsewhere;
use evaluate::Evaluation;
use folder::Folder;
use predict::Known;
use results::{Results, SeedResult, best, further_seeds};
use study::{Budget, Row, Sampling, Study};
use train::{Outcome, Training};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The study: see docs/ablations.md.
    #[arg(value_name = "FILE.toml", required_unless_present = "from")]
    file: Option<PathBuf>,
    /// Show the plan and the time it will take, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Folder for NAME.md and NAME.png [default: that of the study].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also write all results here; ablation.json in the study's folder always has them.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Results of this study from elsewhere, such as ablation.json of another machine: their trainings are not repeated.
    #[arg(long = "with", value_name = "FILE.json")]
    elsewhere: Vec<PathBuf>,
    /// Make page and picture again from such a file, without training.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["file", "dry_run", "json"])]
    from: Option<PathBuf>,
    /// Folder for the studies.
    #[arg(long, value_name = "DIR", default_value = "runs/ablations")]
    runs: PathBuf,
    #[command(flatten)]
    program: Program,
}

/// The exit code is 1 when anything failed.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.from {
        return again(workspace, args, path);
    }
    let file = args.file.as_deref().context("no FILE.toml")?;
    let study = read::read(file)?;
    let folder = Folder::new(&args.runs, &study.name);
    folder.check(&study)?;
    let pages = Pages::new(args.out.as_deref().unwrap_or(folder.root()), &study.name);
    if !args.dry_run {
        outputs::try_all(&[
            ("--out", Some(&pages.page)),
            ("--out", Some(&pages.picture)),
            ("--json", args.json.as_deref()),
        ])?;
    }
    let ddpm = Ddpm::new(args.program.path(workspace)?, args.program.device.clone())?;
    check_rows(&study, &ddpm)?;
    check_samplings(&study, &ddpm, &folder)?;
    let origin = Origin::now(workspace, args.program.device.as_deref());
    let elsewhere = Elsewhere::read(&study, &args.elsewhere)?;
    let work = Work { study: &study, folder: &folder, ddpm: &ddpm, origin: &origin, elsewhere: &elsewhere };
    let mut results = work.so_far()?;
    if args.dry_run {
        println!(
            "{}",
            Known { study: &study, folder: &folder, ddpm: &ddpm, results: &results, elsewhere: &elsewhere }
                .plan()?
        );
        return Ok(ExitCode::SUCCESS);
    }
    let stopped = work.all(&mut results)?;
    if stopped.is_some() {
        // Include the finished evaluations of the interrupted training.
        results.complete_with(work.so_far()?);
        write_json(&folder.root().join("ablation.json"), &results)?;
    }
    if let Some(path) = &args.json {
        outputs::write(path, &format!("{}\n", serde_json::to_string_pretty(&results)?))?;
    }
    pages.write(&ddpm, &results)?;
    if let Some(code) = stopped {
        eprintln!("stopped; the same command resumes the study");
        return Ok(ExitCode::from(code));
    }
    Ok(if results.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes page and picture of an earlier study.
fn again(workspace: &Workspace, args: &Args, path: &Path) -> anyhow::Result<ExitCode> {
    let what = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(what)?;
    let results: Results = serde_json::from_str(&text).with_context(what)?;
    let beside = path.parent().unwrap_or(Path::new(""));
    let pages = Pages::new(args.out.as_deref().unwrap_or(beside), &results.name);
    outputs::try_all(&[("--out", Some(&pages.page)), ("--out", Some(&pages.picture))])?;
    pages.write(&Ddpm::new(args.program.path(workspace)?, None)?, &results)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the program check the configuration of every row before hours go into the first. Rows with equal configurations
/// are an error: one training with the evaluations of both would do.
fn check_rows(study: &Study, ddpm: &Ddpm) -> anyhow::Result<()> {
    let mut seen: Vec<(&str, Value)> = Vec::new();
    for row in &study.rows {
        let wrong = |message: String| Exit::usage(format!("{}: row `{}`: {message}", study.file, row.name));
        let steps = match study.budget {
            Budget::Steps(steps) => steps,
            // Any number; the warm-up determines the real one.
            Budget::Seconds(_) => 1000,
        };
        let mut args = train::train(&row.settings, 0, steps);
        args.extend(["--dump-config", "--json"].map(str::to_owned));
        let config = ddpm.answer(&args).map_err(|error| wrong(format!("{error:#}")))?;
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == config) {
            return Err(wrong(format!(
                "set: the same training as row `{other}`; remove one of them, or give one of them all evaluations"
            ))
            .into());
        }
        seen.push((&row.name, config));
    }
    Ok(())
}

/// Checks the flags of every sampling in the same way.
fn check_samplings(study: &Study, ddpm: &Ddpm, folder: &Folder) -> anyhow::Result<()> {
    let mut seen: Vec<&Sampling> = Vec::new();
    for row in &study.rows {
        for (_, sampling) in &row.evaluations {
            if seen.contains(&sampling) {
                continue;
            }
            seen.push(sampling);
            let nowhere = folder.root().join("no-run");
            if let Some(complaint) = evaluate::complaint(ddpm, &study.evaluate, sampling, &nowhere) {
                let (file, name) = (&study.file, &row.name);
                let message = format!("{file}: row `{name}`: the evaluation by {sampling}: {complaint}");
                return Err(Exit::usage(message).into());
            }
        }
    }
    Ok(())
}

/// A running study.
struct Work<'a> {
    study: &'a Study,
    folder: &'a Folder,
    ddpm: &'a Ddpm,
    origin: &'a Origin,
    elsewhere: &'a Elsewhere,
}

impl Work<'_> {
    /// Runs all remaining trainings and evaluations: the first seed of every row, then the other seeds, then further
    /// seeds of the best rows. Returns the exit code if stopped.
    fn all(&self, results: &mut Results) -> anyhow::Result<Option<u8>> {
        let first = self.study.rows.iter().enumerate().map(|(index, row)| (index, row.seeds[0]));
        let others = self.study.rows.iter().enumerate();
        let others = others.flat_map(|(index, row)| row.seeds[1..].iter().map(move |&seed| (index, seed)));
        let own: Vec<(usize, u64)> = first.chain(others).collect();
        if let Some(code) = self.some(&own, results)? {
            return Ok(Some(code));
        }
        let best = best(self.study, results);
        let further = best
            .into_iter()
            .flat_map(|row| further_seeds(self.study, row).into_iter().map(move |seed| (row, seed)));
        self.some(&further.collect::<Vec<_>>(), results)
    }

    fn some(&self, trainings: &[(usize, u64)], results: &mut Results) -> anyhow::Result<Option<u8>> {
        for (number, &(index, seed)) in trainings.iter().enumerate() {
            let row = &self.study.rows[index];
            let place = format!("{}/{} {}, seed {seed}", number + 1, trainings.len(), row.name);
            match self.one(row, seed, &place)? {
                Outcome::Done(result) => {
                    if let Some(reason) = &result.failed {
                        eprintln!("{place}: failed: {reason}");
                    }
                    let seeds = &mut results.rows[index].seeds;
                    match seeds.iter_mut().find(|other| other.seed == seed) {
                        Some(before) => *before = result,
                        None => seeds.push(result),
                    }
                }
                Outcome::Failed(reason) => anyhow::bail!("{place}: {reason}"),
                Outcome::Stopped(code) => return Ok(Some(code)),
            }
            write_json(&self.folder.root().join("ablation.json"), results)?;
        }
        Ok(None)
    }

    /// Trains and evaluates one seed of a row. Failures are part of the result.
    fn one(&self, row: &Row, seed: u64, place: &str) -> anyhow::Result<Outcome<SeedResult>> {
        let mut result = SeedResult {
            seed,
            steps: None,
            seconds: None,
            origin: None,
            failed: None,
            evaluations: Vec::new(),
        };
        let Self { study, folder, ddpm, origin, elsewhere } = *self;
        if let Some(known) = elsewhere.result(study, row, seed) {
            return Ok(Outcome::Done(known));
        }
        let training = Training { ddpm, folder, row, budget: study.budget, origin };
        let kept = match training.settle(seed)? {
            Outcome::Done(kept) => kept,
            Outcome::Failed(reason) => {
                return Ok(Outcome::Done(SeedResult { failed: Some(reason), ..result }));
            }
            Outcome::Stopped(code) => return Ok(Outcome::Stopped(code)),
        };
        result.steps = Some(kept.steps);
        let about = kept.step_s.map(|step_s| format!(", about {:.0} s", step_s * kept.steps as f64));
        let steps = files::counted(kept.steps, "step");
        eprintln!("{place}: {steps}{}", about.unwrap_or_default());
        match training.run(seed, kept.steps)? {
            Outcome::Done(()) => {}
            Outcome::Failed(reason) => {
                return Ok(Outcome::Done(SeedResult { failed: Some(reason), ..result }));
            }
            Outcome::Stopped(code) => return Ok(Outcome::Stopped(code)),
        }
        result.seconds = Some(Log::read(&folder.run(&row.name, seed))?.seconds());
        result.origin = Some(kept.origin);
        let evaluation = Evaluation { ddpm, folder, row: &row.name, seed, evaluate: &study.evaluate };
        let evaluations = evaluation.run(&row.evaluations, &mut |average, sampling| {
            eprintln!("{place}: evaluating {average}, {sampling}");
        })?;
        Ok(match evaluations {
            Outcome::Done(evaluations) => Outcome::Done(SeedResult { evaluations, ..result }),
            Outcome::Failed(reason) => Outcome::Failed(reason),
            Outcome::Stopped(code) => Outcome::Stopped(code),
        })
    }

    /// The existing results, without running anything.
    fn so_far(&self) -> anyhow::Result<Results> {
        let mut results = Results::new(self.study, self.origin.clone());
        for (index, row) in self.study.rows.iter().enumerate() {
            let seeds = row.seeds.iter().copied().chain(further_seeds(self.study, index));
            results.rows[index]
                .seeds
                .extend(seeds.clone().filter_map(|seed| self.elsewhere.result(self.study, row, seed)));
            let Some(kept) = self.folder.kept(&row.name)? else { continue };
            for seed in seeds {
                if results.rows[index].seeds.iter().any(|known| known.seed == seed) {
                    continue;
                }
                if self.folder.progress(&row.name, seed, kept.steps) != folder::Progress::Done {
                    continue;
                }
                let evaluate = &self.study.evaluate;
                let evaluation =
                    Evaluation { ddpm: self.ddpm, folder: self.folder, row: &row.name, seed, evaluate };
                let kept_of =
                    |(average, sampling): &(study::Average, Sampling)| evaluation.kept(*average, sampling);
                let evaluations: Vec<_> = row.evaluations.iter().filter_map(kept_of).collect();
                let seconds = Some(Log::read(&self.folder.run(&row.name, seed))?.seconds());
                let (steps, origin) = (Some(kept.steps), Some(kept.origin.clone()));
                let result = SeedResult { seed, steps, seconds, origin, failed: None, evaluations };
                results.rows[index].seeds.push(result);
            }
        }
        Ok(results)
    }
}

/// Where page and picture are written.
struct Pages {
    page: PathBuf,
    picture: PathBuf,
    /// The picture's path as the page links it.
    name: String,
}

impl Pages {
    fn new(out: &Path, study: &str) -> Self {
        let name = format!("{study}.png");
        Self { page: out.join(format!("{study}.md")), picture: out.join(&name), name }
    }

    /// Writes both, and prints the table.
    fn write(&self, ddpm: &Ddpm, results: &Results) -> anyhow::Result<()> {
        println!("{}", page::text(results));
        outputs::write(&self.page, &page::markdown(results, &self.name))?;
        if let Some(picture) = picture::picture(results) {
            let out = self.picture.display().to_string();
            let args = ["draw-ablation", "--quiet", "--out", &out].map(str::to_owned);
            process::feed(&mut ddpm.command(&args), &picture.to_string())?;
        }
        println!("{}", self.page.display());
        Ok(())
    }
}
