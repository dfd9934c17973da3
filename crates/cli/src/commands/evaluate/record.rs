//! What an evaluation found, as JSON for programs and as a table for people.

use serde::Serialize;

use crate::commands::inspect::table::Table;

/// An evaluation: its numbers, and everything that decides whether they can be compared with others.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Evaluation {
    /// What was evaluated, in words.
    pub(crate) what: String,
    /// The run folder, if it is one.
    pub(crate) run: Option<String>,
    /// Training steps of the checkpoint.
    pub(crate) step: Option<u64>,
    /// `ema` or `raw`.
    pub(crate) weights: Option<String>,
    /// Images that were compared.
    pub(crate) n: usize,
    /// Seed of the samples and of random subsets.
    pub(crate) seed: u64,
    pub(crate) sampler: Option<String>,
    pub(crate) steps: Option<usize>,
    pub(crate) guidance: Option<f64>,
    /// Classes that were drawn in turn.
    pub(crate) classes: Option<Vec<i64>>,
    pub(crate) features: Option<FeaturesRecord>,
    pub(crate) references: Vec<ReferenceRecord>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) bits: Option<Bits>,
    pub(crate) copying: Option<CopyingRecord>,
    pub(crate) seconds: f64,
    pub(crate) machine: String,
}

/// Which features the distances are of.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FeaturesRecord {
    pub(crate) name: String,
    pub(crate) width: usize,
    /// Of the network's weights; none for features that were given.
    pub(crate) sha256: Option<String>,
    pub(crate) resize: String,
}

/// A set of real images.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReferenceRecord {
    /// `train` or `test`.
    pub(crate) part: &'static str,
    /// Where the images are.
    pub(crate) data: String,
    pub(crate) count: usize,
    /// Of sizes, pixels and labels; none for features that were given.
    pub(crate) sha256: Option<String>,
}

/// A number, with a 95 % interval where one is known.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// The part it was compared with; none for a metric of the samples alone.
    pub(crate) reference: Option<&'static str>,
    pub(crate) value: f64,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    /// `lower` or `higher`.
    pub(crate) better: &'static str,
}

/// Bits per dimension by noise level.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bits {
    pub(crate) reference: &'static str,
    pub(crate) n: usize,
    /// `L_T`.
    pub(crate) prior: f64,
    /// `L_0`.
    pub(crate) decoder: f64,
    pub(crate) total: f64,
    /// `(t, L_t)`.
    pub(crate) by_t: Vec<(f64, f64)>,
}

/// The test for copies of training images, in features and in pixels.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CopyingRecord {
    /// Whether the samples repeat training images.
    pub(crate) flagged: bool,
    /// The larger of the two shares.
    pub(crate) share: f64,
    /// The smaller of the two p-values, times 2 where there are two.
    pub(crate) p_value: f64,
    /// A p-value below it is flagged.
    pub(crate) alpha: f64,
    /// A share below it is not flagged.
    pub(crate) least_share: f64,
    /// Training and held-out images that were compared.
    pub(crate) train: usize,
    pub(crate) held_out: usize,
    /// By which distance.
    pub(crate) by: Vec<CopyingBy>,
}

/// The test by one distance.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CopyingBy {
    pub(crate) distance: String,
    pub(crate) share: f64,
    pub(crate) p_value: f64,
}

impl Evaluation {
    /// Of nothing yet.
    pub(crate) fn new(seed: u64) -> Self {
        let threads = tch::get_num_threads();
        Self {
            what: String::new(),
            run: None,
            step: None,
            weights: None,
            n: 0,
            seed,
            sampler: None,
            steps: None,
            guidance: None,
            classes: None,
            features: None,
            references: Vec::new(),
            metrics: Vec::new(),
            bits: None,
            copying: None,
            seconds: 0.0,
            machine: format!("{} {}, {threads} threads", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// The table for people.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.what.clone()];
        lines.extend(self.conditions());
        let mut table = Table::new(&["metric", "against", ">value", "95 % interval", "better"]);
        for metric in &self.metrics {
            let interval = match (metric.low, metric.high) {
                (Some(low), Some(high)) => format!("{} to {}", figure(low), figure(high)),
                _ => "-".to_owned(),
            };
            let reference = metric.reference.unwrap_or("-").to_owned();
            table.row([
                metric.title.clone(),
                reference,
                figure(metric.value),
                interval,
                metric.better.to_owned(),
            ]);
        }
        if !self.metrics.is_empty() {
            lines.push(String::new());
            lines.push(table.to_string());
        }
        lines.extend(self.copying.as_ref().map(|copying| format!("\ncopying: {}", copying.text())));
        lines.join("\n")
    }

    /// What the numbers depend on, a line each.
    fn conditions(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut drawn = format!("n = {}", self.n);
        if let (Some(sampler), Some(steps)) = (&self.sampler, self.steps) {
            drawn += &format!(", {sampler} with {steps} steps, seed {}", self.seed);
        }
        if let Some(guidance) = self.guidance {
            drawn += &format!(", guidance {guidance}");
        }
        lines.push(drawn);
        if let Some(features) = &self.features {
            lines.push(format!(
                "features: {} ({} wide), resize: {}",
                features.name, features.width, features.resize
            ));
        }
        for reference in &self.references {
            let hash =
                reference.sha256.as_deref().map(|hash| format!(", sha256 {:.12}", hash)).unwrap_or_default();
            lines.push(format!("{}: {} images of {}{hash}", reference.part, reference.count, reference.data));
        }
        lines
    }
}

impl CopyingRecord {
    /// The verdict in a sentence or two.
    pub(crate) fn text(&self) -> String {
        let by: Vec<String> = self
            .by
            .iter()
            .map(|by| format!("{:.3} in {} (p = {:.2e})", by.share, by.distance, by.p_value))
            .collect();
        let verdict = match self.flagged {
            true => "the samples repeat training images",
            false => "no sign of copied training images",
        };
        format!(
            "{verdict}: a training image is nearer to a sample than a held-out image with probability {}; 0.5 without \
             copying.",
            by.join(", ")
        )
    }
}

/// Four significant digits, without an exponent where that is short.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e5).contains(&size) => {
            let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
            format!("{value:.decimals$}")
        }
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits() {
        for (value, want) in [
            (0.0, "0"),
            (12.3456, "12.35"),
            (0.123_456, "0.1235"),
            (12_345.6, "12346"),
            (0.001_234_6, "0.001235"),
            (-1.5, "-1.500"),
            (1e-7, "1.000e-7"),
        ] {
            assert_eq!(figure(value), want);
        }
    }
}
