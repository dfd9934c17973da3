//! `ddpm inspect embedding`: encodings `[sin(omega_k t) | cos(omega_k t)]` of given t.

use std::f64::consts::TAU;

use anyhow::anyhow;
use clap::Args;
use embedding::{EmbeddingKind, Order, TimeEmbedding};
use ndarray::{Array1, Array2};
use serde_json::json;

use crate::array_file;
use crate::commands::inspect::table::{Table, significant, spread};
use crate::config::nearest;
use crate::failure::{bail_usage, usage};
use crate::flags::Global;
use crate::output;
use crate::paths::OutputFile;

/// Frequencies and times in the printed table; the file has all of them.
const ROWS: usize = 16;
const TIMES: usize = 4;

/// Show the encodings of times t, which count from 0
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm inspect embedding --t 0,1,999 --frequencies 10 --steps 1000 --out e.npy
  ddpm inspect embedding --kind transformer --dim 128 --order cos-first --t 0")]
pub(crate) struct InspectEmbedding {
    /// Times in 0..T; fractions are allowed
    #[arg(
        long,
        value_name = "T,..",
        value_delimiter = ',',
        default_value = "0,1,500,999",
        allow_negative_numbers = true
    )]
    t: Vec<f64>,
    /// T
    #[arg(long, value_name = "T", default_value_t = 1000)]
    steps: usize,
    /// normalized, transformer or fourier
    #[arg(long, value_name = "NAME", default_value = "normalized")]
    kind: String,
    /// Number of frequencies K; the encoding has 2K dimensions [default: 10]
    #[arg(long, value_name = "K", conflicts_with = "dim")]
    frequencies: Option<usize>,
    /// Number of dimensions 2K, instead of --frequencies
    #[arg(long, value_name = "N")]
    dim: Option<usize>,
    /// normalized: geometric or linear, from 1 to T/2 cycles over the chain [default: geometric]
    #[arg(long, value_name = "NAME")]
    spacing: Option<String>,
    /// transformer: sin-first or cos-first [default: sin-first]
    #[arg(long, value_name = "NAME")]
    order: Option<String>,
    /// transformer: the longest period over 2 pi, in steps [default: 10000]
    #[arg(long, value_name = "X")]
    max_period: Option<f64>,
    /// transformer: subtracted from K in the exponent's divisor; usually 0 or 1 [default: 1]
    #[arg(long, value_name = "X")]
    freq_shift: Option<f64>,
    /// fourier: standard deviation of the frequencies, in cycles over the chain [default: 16]
    #[arg(long, value_name = "X")]
    scale: Option<f64>,
    /// fourier: seed of the frequencies [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write the encodings to this .npy or .npz file, f64 [times, 2K]
    #[arg(long, value_name = "FILE")]
    out: Option<OutputFile>,
}

impl InspectEmbedding {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let kind = self.kind()?;
        let embedding = TimeEmbedding::new(&kind).map_err(usage)?;
        self.out.as_deref().map_or(Ok(()), |path| output::try_file("--out", path))?;
        let last = self.steps as f64 - 1.0;
        if let Some(wrong) = self.t.iter().find(|t| !(**t >= 0.0 && **t <= last)) {
            bail_usage!("--t {wrong}: expected 0 to {last}, T - 1 of --steps {}", self.steps);
        }
        let encoded = embedding.encode(Array1::from_vec(self.t.clone()).view()); // [times, 2K]
        if let Some(path) = &self.out {
            array_file::write(path, "encodings", encoded.clone().into())?;
        }
        let cycles: Vec<f64> = embedding.angular_frequencies().iter().map(|w| self.cycles(*w)).collect();
        let summary = json!({
            "kind": kind.name(), "timesteps": self.steps, "t": self.t, "shape": encoded.shape(), "cycles": cycles,
            "order": embedding.order().to_string(),
            "encodings": encoded.outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>(), "out": self.out,
        });
        output::answer(global, &summary, || self.text(&kind, &embedding, &encoded))
    }

    /// The kind that the flags choose. Flags of another kind are refused.
    fn kind(&self) -> anyhow::Result<EmbeddingKind> {
        if let Some(dim) = self.dim.filter(|dim| !dim.is_multiple_of(2)) {
            bail_usage!("--dim {dim}: expected an even number, a sine and a cosine for each frequency");
        }
        let frequencies = self.frequencies.or(self.dim.map(|dim| dim / 2)).unwrap_or(10);
        let mut kind = match self.kind.as_str() {
            "normalized" => EmbeddingKind::normalized(self.steps, frequencies),
            "transformer" => EmbeddingKind::transformer(frequencies.saturating_mul(2)),
            "fourier" => EmbeddingKind::fourier(self.steps, frequencies, self.seed.unwrap_or(0)),
            other => {
                let names = EmbeddingKind::NAMES;
                let hint =
                    nearest(other, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
                bail_usage!("--kind {other:?}: expected {}{}", names.join(", "), hint.unwrap_or_default())
            }
        };
        let foreign = match &mut kind {
            EmbeddingKind::Normalized { ladder, .. } => {
                if let Some(name) = &self.spacing {
                    *ladder = name.parse().map_err(|e| usage(anyhow!("--spacing: {e}")))?;
                }
                self.first_given(&["order", "max-period", "freq-shift", "scale", "seed"])
            }
            EmbeddingKind::Transformer { max_period, order, freq_shift, .. } => {
                if let Some(name) = &self.order {
                    *order = name.parse::<Order>().map_err(|e| usage(anyhow!("--order: {e}")))?;
                }
                *max_period = self.max_period.unwrap_or(*max_period);
                *freq_shift = self.freq_shift.unwrap_or(*freq_shift);
                self.first_given(&["spacing", "scale", "seed"])
            }
            EmbeddingKind::Fourier { scale, .. } => {
                *scale = self.scale.unwrap_or(*scale);
                self.first_given(&["spacing", "order", "max-period", "freq-shift"])
            }
            _ => None,
        };
        match foreign {
            Some(flag) => bail_usage!("--{flag}: a {} embedding has no such parameter", self.kind),
            None => Ok(kind),
        }
    }

    fn first_given(&self, flags: &[&'static str]) -> Option<&'static str> {
        let given = |flag: &str| match flag {
            "spacing" => self.spacing.is_some(),
            "order" => self.order.is_some(),
            "max-period" => self.max_period.is_some(),
            "freq-shift" => self.freq_shift.is_some(),
            "scale" => self.scale.is_some(),
            _ => self.seed.is_some(),
        };
        flags.iter().copied().find(|flag| given(flag))
    }

    /// Converts radians per step to cycles over the chain.
    fn cycles(&self, omega: f64) -> f64 {
        omega * self.steps as f64 / TAU
    }

    /// One row per frequency, with a sine and a cosine for each t.
    fn text(&self, kind: &EmbeddingKind, embedding: &TimeEmbedding, encoded: &Array2<f64>) -> String {
        let (omegas, dim) = (embedding.angular_frequencies(), embedding.dim());
        let count = omegas.len();
        let (sines, cosines) = match embedding.order() {
            Order::SinFirst => (0, count),
            Order::CosFirst => (count, 0),
        };
        let times = spread(self.t.len(), TIMES);
        let mut names = vec![">k".to_owned(), ">cycles".to_owned(), ">period".to_owned()];
        for &row in &times {
            names.extend([format!(">sin t={}", self.t[row]), format!(">cos t={}", self.t[row])]);
        }
        let mut table = Table::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for k in spread(count, ROWS) {
            let mut cells =
                vec![k.to_string(), significant(self.cycles(omegas[k])), significant(TAU / omegas[k].abs())];
            for &row in &times {
                cells.extend([sines, cosines].map(|half| rounded(encoded[[row, half + k]])));
            }
            table.row(cells);
        }
        let title = format!(
            "{} embedding, T = {}: {count} frequencies, {dim} dimensions, {}; cycles over T steps, period in steps",
            kind.name(),
            self.steps,
            embedding.order(),
        );
        let mut text = format!("{title}\n\n{table}");
        if times.len() < self.t.len() || count > ROWS {
            text += "\n\nonly some rows and times are shown; --out or --json gives all";
        }
        if let Some(path) = &self.out {
            text += &format!("\n\n{:?} written to {}", encoded.shape(), path.display());
        }
        text
    }
}

/// Three decimals, without the minus sign of a rounded zero.
fn rounded(value: f64) -> String {
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: InspectEmbedding,
    }

    fn parse(flags: &[&str]) -> InspectEmbedding {
        Line::try_parse_from(std::iter::once(&"x").chain(flags)).unwrap().args
    }

    #[test]
    fn flags_reach_their_kind_and_no_other() {
        assert_eq!(parse(&[]).kind().unwrap(), EmbeddingKind::normalized(1000, 10));
        let kind = parse(&["--kind", "transformer", "--dim", "128", "--order", "cos-first"]).kind().unwrap();
        let want = EmbeddingKind::Transformer {
            dim: 128,
            max_period: 10_000.0,
            order: Order::CosFirst,
            freq_shift: 1.0,
        };
        assert_eq!(kind, want);
        let error = |flags: &[&str]| parse(flags).kind().unwrap_err().to_string();
        assert!(error(&["--order", "cos-first"]).contains("a normalized embedding has no such parameter"));
        assert!(error(&["--kind", "fourier", "--spacing", "linear"]).contains("--spacing"));
        assert!(error(&["--kind", "transformr"]).contains("did you mean transformer?"));
        assert!(error(&["--dim", "7"]).contains("even"));
    }

    #[test]
    fn the_table_has_a_row_for_each_frequency() {
        let args = parse(&["--frequencies", "3", "--t", "0,250"]);
        let kind = args.kind().unwrap();
        let embedding = TimeEmbedding::new(&kind).unwrap();
        let text = args.text(&kind, &embedding, &embedding.encode(ndarray::array![0.0, 250.0].view()));
        let last: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        // The highest frequency is Nyquist: 500 cycles, a period of two steps.
        assert_eq!(last, ["2", "500.00", "2.0000", "0.000", "1.000", "0.000", "1.000"]);
        assert_eq!(text.lines().count(), 2 + 1 + 3);
    }
}
