//! `cargo xtask bench --ranks`: what several ranks cost. Sums of many sizes, of the gradients of the presets and in buckets,
//! and steps of one and two ranks, on loopback; a law fitted to the sums; and what follows for trainings on many GPUs.

mod cluster;
mod forecast;
mod laws;
mod link;
mod measure;
mod page;
mod plan;
mod predict;
mod step;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::rounds::object;
use super::whole;
use crate::machine::Origin;
use crate::process::Exit;
use crate::workspace::Workspace;
use crate::{ddpm, outputs};
use cluster::Cluster;
use laws::Law;
use measure::All;
use page::Page;
use plan::{Network, PRESETS, Work};
use predict::Training;

/// Times sums and steps of several ranks on this machine, fits the cost of a message, and predicts trainings on GPUs.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask bench --ranks")]
pub(super) struct Args {
    #[arg(long, hide = true)]
    ranks: bool,
    /// Few and short rounds: a minute or two. The law is then rough.
    #[arg(long)]
    quick: bool,
    /// Number of rounds [default: 3, or 1 with --quick].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Change an assumption about GPUs, such as flop_share=0.4; the page lists them. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    assume: Vec<String>,
    /// Write the page as Markdown [default: docs/scale-cost.md].
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
    /// Write laws, predictions and all program outputs as JSON.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Make the page again from such a file, without measuring.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["quick", "rounds", "json"])]
    from: Option<PathBuf>,
}

/// The measurements, and where they were made.
struct Results {
    origin: Origin,
    rounds: u64,
    quick: bool,
    seconds: u64,
    networks: Vec<Network>,
    all: All,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 3 });
    if !(1..=100).contains(&rounds) {
        return Err(Exit::usage(format!("--rounds {rounds}: expected 1 to 100")).into());
    }
    // A wrong name must not wait for the measurement.
    let any = link::Link { latency_s: 1.0, bytes_per_s: 1.0 };
    args.assumed(any)?;
    let out = args.out.clone().unwrap_or_else(|| workspace.root().join("docs/scale-cost.md"));
    outputs::try_all(&[("--json", args.json.as_deref()), ("--out", Some(&out))])?;
    let ddpm = ddpm::build(workspace)?;
    let results = match &args.from {
        Some(path) => read(path)?,
        None => measure(workspace, &ddpm, args.quick, rounds)?,
    };
    let trainings = predict::trainings(&mut |words| ours(&ddpm, words))?;
    // Keep the measurements even if no law fits.
    let laws = laws::laws(&results.all);
    let cluster = laws.as_ref().ok().and_then(|laws| laws::of_two_ranks(laws)).map(|gloo| args.assumed(gloo));
    let cluster = cluster.transpose()?;
    if let Some(path) = &args.json {
        let all = results.to_json(laws.as_deref().unwrap_or_default(), cluster.as_ref(), &trainings);
        outputs::write(path, &format!("{all:#}\n"))?;
    }
    laws?;
    let cluster =
        cluster.context("the times of f32 sums over two ranks have no latency and speed; measure again")?;
    let Results { origin, rounds, quick, networks, all, .. } = &results;
    let (rounds, quick, trainings) = (*rounds, *quick, &trainings);
    let page = Page { origin, rounds, quick, networks, all, cluster: &cluster, trainings };
    let text = page.markdown()?;
    outputs::write(&out, &text)?;
    println!("{text}\n{}", out.display());
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The cluster of the predictions, with the changed assumptions.
    fn assumed(&self, gloo: link::Link) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster::new(gloo);
        self.assume.iter().try_for_each(|text| cluster.set(text))?;
        Ok(cluster)
    }
}

fn measure(workspace: &Workspace, ddpm: &Path, quick: bool, rounds: usize) -> anyhow::Result<Results> {
    let begun = Instant::now();
    let network = |preset: &str| {
        let words = ["inspect", "model", "--preset", preset, "--json"].map(str::to_owned);
        let said = ours(ddpm, &words)?;
        let parameters = said["parameters"].as_u64().with_context(|| format!("no parameters in {said}"))?;
        Ok(Network { preset: preset.to_owned(), parameters })
    };
    let networks = PRESETS.into_iter().map(network).collect::<anyhow::Result<Vec<_>>>()?;
    let (mut turn, turns) = (0, rounds * Work::all().len());
    let all = All::take_turns(rounds, &mut |work| {
        turn += 1;
        eprintln!("{turn}/{turns}: {}", work.name());
        ours(ddpm, &work.args(&networks, quick))
    })?;
    let origin = Origin::now(workspace, None);
    Ok(Results { origin, rounds: rounds as u64, quick, seconds: begun.elapsed().as_secs(), networks, all })
}

impl Results {
    fn to_json(&self, laws: &[Law], cluster: Option<&Cluster>, trainings: &[Training]) -> Value {
        let law = |law: &Law| {
            let link = law.link.map(|link| {
                json!({ "latency_s": link.latency_s, "bytes_per_s": link.bytes_per_s,
                        "largest_error_fitted": link.worst(&law.fitted),
                        "largest_error_held_out": link.worst(&law.held_out) })
            });
            json!({ "type": law.kind.name(), "ranks": law.ranks, "law": link })
        };
        let networks: Vec<Value> = self
            .networks
            .iter()
            .map(|network| json!({ "preset": network.preset, "parameters": network.parameters }))
            .collect();
        let assumed = cluster.map(|cluster| {
            let numbers = cluster.numbers().into_iter();
            numbers.map(|((name, ..), value)| (name.to_owned(), json!(value))).collect::<Value>()
        });
        let predicted = cluster.map(|cluster| trainings.iter().map(|t| t.json(cluster)).collect::<Value>());
        json!({
            "run": { "origin": self.origin, "rounds": self.rounds, "quick": self.quick, "seconds": self.seconds },
            "networks": networks, "calls": self.all.to_json(), "laws": laws.iter().map(law).collect::<Vec<_>>(),
            "assumed": assumed, "predicted": predicted,
        })
    }
}

/// The measurements of an earlier `--json`.
fn read(path: &Path) -> anyhow::Result<Results> {
    let what = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(what)?;
    let value: Value = serde_json::from_str(&text).with_context(what)?;
    results(&value).with_context(what)
}

fn results(value: &Value) -> anyhow::Result<Results> {
    let run = &value["run"];
    let number = |key: &str| run[key].as_u64().with_context(|| format!("no {key} in run"));
    let network = |network: &Value| {
        let preset = network["preset"].as_str().context("a network without preset")?.to_owned();
        let parameters = network["parameters"].as_u64().context("a network without parameters")?;
        Ok(Network { preset, parameters })
    };
    let networks = value["networks"].as_array().context("no networks")?;
    Ok(Results {
        origin: serde_json::from_value(run["origin"].clone()).context("no origin in run")?,
        rounds: number("rounds")?,
        quick: run["quick"] == true,
        seconds: number("seconds")?,
        networks: networks.iter().map(network).collect::<anyhow::Result<_>>()?,
        all: All::from_json(&value["calls"])?,
    })
}

/// Runs our program and parses its answer.
fn ours(ddpm: &Path, words: &[String]) -> anyhow::Result<Value> {
    object(&whole::output(Command::new(ddpm).args(words))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use measure::tests::{LINK, measured, networks};

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(format!("bench --ranks {line}").split_whitespace())
    }

    #[test]
    fn flags_go_together_or_not() {
        let args = parse("--quick --rounds 3 --out p.md --json f.json --assume flop_share=0.5").unwrap();
        assert!(args.quick && args.rounds == Some(3) && args.from.is_none());
        assert_eq!(args.assumed(LINK).unwrap().flop_share, 0.5);
        assert!(parse("--from f.json --assume step_s=1 --out p.md").is_ok());
        assert!(parse("--from f.json --quick").is_err() && parse("train").is_err());
        let error = parse("--assume flop_share=none").unwrap().assumed(LINK).unwrap_err();
        assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
    }

    #[test]
    fn what_was_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        let origin =
            Origin { commit: "abc".to_owned(), machine: "a CPU".to_owned(), date: "2026-01-02".to_owned() };
        let (networks, all) = (networks(), measured());
        let results = Results { origin, rounds: 2, quick: false, seconds: 7, networks, all };
        let (laws, cluster) = (laws::laws(&results.all).unwrap(), Cluster::new(LINK));
        let said = results.to_json(&laws, Some(&cluster), &predict::tests::counted());
        fs::write(&path, said.to_string()).unwrap();
        let again = read(&path).unwrap();
        assert_eq!((&again.origin, again.rounds, again.quick, again.seconds), (&results.origin, 2, false, 7));
        assert_eq!(again.networks, results.networks);
        assert_eq!(again.all.step(Work::Step(0, 2)).unwrap(), (0.125, 0.02));

        // What a script reads.
        assert_eq!((&said["laws"][0]["type"], &said["laws"][5]["ranks"]), (&json!("f32"), &json!("2 and 4")));
        assert!((said["laws"][0]["law"]["latency_s"].as_f64().unwrap() / LINK.latency_s - 1.0).abs() < 1e-9);
        assert_eq!(said["assumed"]["gloo_bytes_per_s"], LINK.bytes_per_s);
        let steps = said["predicted"][0]["steps"].as_array().unwrap();
        assert!(steps.len() == 6 && steps[0]["ways"][0]["efficiency"].as_f64().unwrap() < 1.0, "{said}");
        assert!(steps[5]["ways"][0]["step_s"].is_null(), "{said}");
        // Without a law, what was measured is still kept.
        let said = results.to_json(&[], None, &[]);
        assert!(said["predicted"].is_null() && results_of(&said) == results.all);

        fs::write(&path, "{}").unwrap();
        let error = format!("{:#}", read(&path).err().unwrap());
        assert!(error.ends_with("f.json: no networks"), "{error}");
    }

    fn results_of(value: &Value) -> All {
        results(value).unwrap().all
    }
}
