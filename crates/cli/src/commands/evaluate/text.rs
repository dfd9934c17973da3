//! The results of an evaluation as a table for people.

use crate::commands::evaluation::{CopyingRecord, Evaluation};
use crate::commands::inspect::table::Table;

impl Evaluation {
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
            let reference = metric.reference.clone().unwrap_or_else(|| "-".to_owned());
            table.row([
                metric.title.clone(),
                reference,
                figure(metric.value),
                interval,
                metric.better.clone(),
            ]);
        }
        if !self.metrics.is_empty() {
            lines.push(String::new());
            lines.push(table.to_string());
        }
        lines.extend(self.copying.as_ref().map(|copying| format!("\ncopying: {}", copying.text())));
        lines.join("\n")
    }

    /// What the numbers depend on, one line each.
    fn conditions(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut drawn = format!("n = {}", self.n);
        if let (Some(sampler), Some(steps)) = (&self.sampler, self.steps) {
            drawn += &format!(", {sampler} with {}, seed {}", files::counted(steps, "step"), self.seed);
        }
        if let Some(guidance) = self.guidance {
            drawn += &format!(", guidance {guidance}");
        }
        if let Some(settings) = &self.settings {
            drawn += &format!(", {settings}");
        }
        if let Some(classes) = &self.classes {
            drawn += &format!(", classes {}", crate::commands::reporting::scores::classes(classes));
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
            let count = files::counted(reference.count, "image");
            lines.push(format!("{}: {count} of {}{hash}", reference.part, reference.data));
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

/// Four significant digits, without an exponent unless it is shorter.
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
