//! `ddpm inspect schedule`: the tables of a noise schedule (Ho et al. 2020, Eq. 4 to 7).

use anyhow::{Context, anyhow};
use clap::Args;
use dataset::AnyArray;
use ndarray::Array1;
use schedule::{BetaSchedule, Continuous, Schedule, Spacing, Variance};
use serde_json::{Map, Value, json};

use crate::array_file;
use crate::commands::inspect::table::{Table, significant, spread};
use crate::config::{ScheduleConfig, alternatives};
use crate::failure::usage;
use crate::flags::Global;
use crate::noise_end;
use crate::output;
use crate::paths::OutputFile;

/// Rows of the printed table.
const ROWS: usize = 11;

/// Show a noise schedule; t counts from 0 here, from 1 in the paper
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm inspect schedule --kind linear --steps 1000 --out schedule.npz
  ddpm inspect schedule --kind cosine --respace 50 --spacing trailing")]
pub(crate) struct InspectSchedule {
    #[arg(
        long,
        value_name = "NAME",
        default_value = "linear",
        help = format!("{}; or {}, as a chain of the same levels", alternatives(BetaSchedule::NAMES), alternatives(Continuous::NAMES)),
    )]
    kind: String,
    /// T
    #[arg(long, value_name = "T", default_value_t = 1000)]
    steps: usize,
    /// First beta of linear, scaled-linear and sigmoid [default: that of the kind, scaled with T]
    #[arg(long, value_name = "X")]
    beta_start: Option<f64>,
    /// Last beta of the same kinds
    #[arg(long, value_name = "X")]
    beta_end: Option<f64>,
    /// Beta of constant
    #[arg(long, value_name = "X")]
    beta: Option<f64>,
    /// Offset of cosine
    #[arg(long, value_name = "X")]
    s: Option<f64>,
    /// Largest beta of cosine
    #[arg(long, value_name = "X")]
    max_beta: Option<f64>,
    /// Smallest sigma of edm [default: 0.002]
    #[arg(long, value_name = "X")]
    sigma_min: Option<f64>,
    /// Largest sigma of edm [default: 80]
    #[arg(long, value_name = "X")]
    sigma_max: Option<f64>,
    /// Rescale so that the last step has no signal (Lin et al. 2024)
    #[arg(long)]
    zero_terminal_snr: bool,
    /// Show the shorter chain that a sampler of N steps runs
    #[arg(long, value_name = "N")]
    respace: Option<usize>,
    /// Which t to keep: leading, trailing, linspace or quadratic
    #[arg(long, value_name = "NAME", default_value = "trailing", requires = "respace")]
    spacing: String,
    /// Write every table to this .npz file, f64, T numbers each
    #[arg(long, value_name = "FILE")]
    out: Option<OutputFile>,
}

/// The tables, and the t of each entry in the full chain.
struct Chain {
    schedule: Schedule,
    timesteps: Vec<usize>,
}

impl InspectSchedule {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let chain = self.chain()?;
        if let Some(path) = self.out.as_deref() {
            array_file::check_archive("--out", path)?;
            output::try_file("--out", path)?;
        }
        noise_end::check_path(&chain.schedule);
        let tables = chain.tables();
        if let Some(path) = &self.out {
            write(path, &chain, &tables).with_context(|| format!("--out {}", path.display()))?;
        }
        let rows: Vec<Value> = spread(chain.timesteps.len(), ROWS)
            .into_iter()
            .map(|index| {
                let values = tables.iter().map(|(name, values)| ((*name).to_owned(), json!(values[index])));
                let t = ("t".to_owned(), json!(chain.timesteps[index]));
                Value::Object(std::iter::once(t).chain(values).collect::<Map<_, _>>())
            })
            .collect();
        let summary = json!({
            "kind": self.kind, "timesteps": self.steps, "entries": chain.timesteps.len(), "rows": rows,
            "arrays": tables.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "out": self.out,
        });
        output::answer(global, &summary, || self.text(&chain))
    }

    fn chain(&self) -> anyhow::Result<Chain> {
        let mut config = ScheduleConfig {
            kind: self.kind.clone(),
            steps: self.steps,
            beta_start: self.beta_start,
            beta_end: self.beta_end,
            beta: self.beta,
            s: self.s,
            max_beta: self.max_beta,
            sigma_min: self.sigma_min,
            sigma_max: self.sigma_max,
            zero_terminal_snr: self.zero_terminal_snr,
        };
        config.settle()?;
        let schedule = config.tables()?;
        let Some(steps) = self.respace else {
            return Ok(Chain { timesteps: (0..schedule.steps()).collect(), schedule });
        };
        let spacing: Spacing = self.spacing.parse().map_err(|e| usage(anyhow!("--spacing: {e}")))?;
        let kept = schedule::timesteps(spacing, schedule.steps(), steps);
        let kept = kept.map_err(|e| usage(anyhow!("--respace {steps}: {e}")))?;
        let short = schedule.respace(&kept)?;
        Ok(Chain { schedule: short.schedule, timesteps: short.timesteps })
    }

    fn text(&self, chain: &Chain) -> String {
        let mut title = format!("{} schedule, T = {}", self.kind, self.steps);
        if let Some(steps) = self.respace {
            title += &format!(", {} kept ({} spacing)", files::counted(steps, "step"), self.spacing);
        }
        let s = &chain.schedule;
        let (snr, log_snr) = (s.snr(), s.log_snr());
        let (small, large) = (s.sigmas(Variance::FixedSmall), s.sigmas(Variance::FixedLarge));
        let columns: [(&str, &Array1<f64>); 9] = [
            (">beta", s.betas()),
            (">alpha_bar", s.alpha_bars()),
            (">sqrt(a_bar)", s.sqrt_alpha_bars()),
            (">sqrt(1-a_bar)", s.sqrt_one_minus_alpha_bars()),
            (">posterior var", s.posterior_variance()),
            (">sigma small", &small),
            (">sigma large", &large),
            (">SNR", &snr),
            (">ln SNR", &log_snr),
        ];
        let names: Vec<&str> = std::iter::once(">t").chain(columns.iter().map(|column| column.0)).collect();
        let mut table = Table::new(&names);
        for index in spread(chain.timesteps.len(), ROWS) {
            let values = columns.iter().map(|(_, values)| significant(values[index]));
            table.row(std::iter::once(chain.timesteps[index].to_string()).chain(values));
        }
        let written = self.out.as_ref().map(|path| format!("\n\nall tables: {}", path.display()));
        format!("{title}\n\n{table}{}", written.unwrap_or_default())
    }
}

impl Chain {
    /// Every table, by its name in the file.
    fn tables(&self) -> Vec<(&'static str, Array1<f64>)> {
        let s = &self.schedule;
        vec![
            ("betas", s.betas().clone()),
            ("alphas", s.alphas().clone()),
            ("alpha_bars", s.alpha_bars().clone()),
            ("alpha_bars_prev", s.alpha_bars_prev().clone()),
            ("sqrt_alpha_bars", s.sqrt_alpha_bars().clone()),
            ("sqrt_one_minus_alpha_bars", s.sqrt_one_minus_alpha_bars().clone()),
            ("posterior_variance", s.posterior_variance().clone()),
            ("posterior_log_variance_clipped", s.posterior_log_variance_clipped().clone()),
            ("posterior_mean_x_0", s.posterior_mean_x_0().clone()),
            ("posterior_mean_x_t", s.posterior_mean_x_t().clone()),
            ("snr", s.snr()),
            ("log_snr", s.log_snr()),
            ("sigmas_fixed_small", s.sigmas(Variance::FixedSmall)),
            ("sigmas_fixed_large", s.sigmas(Variance::FixedLarge)),
        ]
    }
}

fn write(path: &std::path::Path, chain: &Chain, tables: &[(&str, Array1<f64>)]) -> anyhow::Result<()> {
    let timesteps: Array1<i64> = chain.timesteps.iter().map(|&t| t as i64).collect();
    let mut arrays: Vec<(&str, AnyArray)> = vec![("timesteps", timesteps.into())];
    arrays.extend(tables.iter().map(|(name, values)| (*name, values.clone().into())));
    Ok(dataset::write_npz(path, &arrays)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: InspectSchedule,
    }

    fn parse(flags: &[&str]) -> InspectSchedule {
        Line::try_parse_from(std::iter::once(&"x").chain(flags)).unwrap().args
    }

    #[test]
    fn the_default_is_the_papers_chain() {
        let chain = parse(&[]).chain().unwrap();
        assert_eq!(chain.timesteps.len(), 1000);
        let text = parse(&[]).text(&chain);
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("999") && last.contains("0.020000") && last.contains("4.0358e-5"), "{text}");
        assert_eq!(text.lines().count(), 2 + 1 + ROWS);
    }

    #[test]
    fn a_shorter_chain_keeps_the_original_times() {
        let chain = parse(&["--respace", "4"]).chain().unwrap();
        assert_eq!(chain.timesteps, [249, 499, 749, 999]);
        assert_eq!(chain.schedule.alpha_bars()[3], Schedule::ddpm().alpha_bars()[999]);
        for wrong in [&["--respace", "1001"][..], &["--respace", "5", "--spacing", "even"], &["--steps", "1"]]
        {
            assert!(parse(wrong).chain().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_file_holds_every_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.npz");
        let chain = parse(&["--kind", "cosine", "--steps", "20"]).chain().unwrap();
        write(&path, &chain, &chain.tables()).unwrap();
        let mut npz = dataset::Npz::open(&path).unwrap();
        assert_eq!(npz.names().count(), 15);
        let betas = npz.array("betas").unwrap();
        assert_eq!((betas.type_name(), betas.shape()), ("f64", &[20][..]));
        assert_eq!(betas.into_f64(), chain.schedule.betas().clone().into_dyn());
    }
}
