//! An evaluation as a page shows it: the numbers with their intervals, and the conditions for comparing them.

use figures::{Block, Section, Table};

use crate::commands::evaluation::{Evaluation, Metric};
use crate::commands::inspect::table::numbered;
use crate::commands::reporting::numbers::{duration, grouped, short};

/// Digits shown of a hash.
const HASH: usize = 12;
/// Most classes listed.
const CLASSES: usize = 20;

/// Definitions of the metrics that have an equation.
const EQUATIONS: &[(&str, &str)] = &[
    // Heusel et al. 2017, Eq. 6.
    ("fd", "FD = ‖μ_1 − μ_2‖^2 + tr(Σ_1 + Σ_2 − 2 (Σ_1 Σ_2)^{1/2})"),
    // Binkowski et al. 2018; Gretton et al. 2012, Eq. 3.
    ("kd", "KD = E k(f, f′) + E k(g, g′) − 2 E k(f, g),  k(f, g) = (f · g / d + 1)^3"),
];

/// The section with the metrics of a run. `step` is the step of the figures.
pub(in crate::commands) fn section(evaluation: &Evaluation, step: u64) -> Section {
    let mut blocks = Vec::new();
    if let Some(of) = evaluation.step.filter(|of| *of != step) {
        blocks.push(Block::Note(format!(
            "These numbers are of step {}, the figures of step {}.",
            grouped(of),
            grouped(step)
        )));
    }
    let known =
        EQUATIONS.iter().filter(|(name, _)| evaluation.metrics.iter().any(|metric| metric.name == *name));
    let equations: Vec<&str> = known.map(|(_, equation)| *equation).collect();
    if !equations.is_empty() {
        blocks.push(Block::Equation(equations.join("\n")));
    }
    blocks.push(Block::Table(table(evaluation)));
    let text =
        "Intervals are 95 % intervals. Two numbers can be compared only if all of the following agree.";
    blocks.push(Block::Text(text.to_owned()));
    blocks.push(Block::Facts(conditions(evaluation)));
    if let Some(copying) = &evaluation.copying {
        let (share, p, alpha) = (short(100.0 * copying.share), short(copying.p_value), short(copying.alpha));
        let verdict = if copying.flagged {
            "The samples are closer to the training images than to held-out ones: the network repeats training images."
        } else {
            "No sign that samples repeat training images."
        };
        let test = format!(
            "{verdict} In {share} % of pairs the training image is nearer to its nearest sample than the held-out one \
             (50 % without copying): p = {p}, flagged below {alpha}."
        );
        blocks.push(if copying.flagged { Block::Note(test) } else { Block::Text(test) });
    }
    Section::new("metrics", "Metrics", blocks)
}

fn table(evaluation: &Evaluation) -> Table {
    let header = ["metric", "reference", "value", "95 % interval", "better"].map(str::to_owned).to_vec();
    let row = |metric: &Metric| {
        let reference = metric.reference.clone().unwrap_or_else(|| "—".to_owned());
        vec![metric.title.clone(), reference, short(metric.value), interval(metric), metric.better.clone()]
    };
    Table { header, rows: evaluation.metrics.iter().map(row).collect() }
}

/// `11.9 to 12.7`, or a dash.
fn interval(metric: &Metric) -> String {
    match (metric.low, metric.high) {
        (Some(low), Some(high)) => format!("{} to {}", short(low), short(high)),
        _ => "—".to_owned(),
    }
}

/// `12.3 (11.9 to 12.7)`.
pub(in crate::commands) fn with_interval(metric: &Metric) -> String {
    match (metric.low, metric.high) {
        (Some(_), Some(_)) => format!("{} ({})", short(metric.value), interval(metric)),
        _ => short(metric.value),
    }
}

/// The conditions under which numbers are comparable, as names and values.
pub(in crate::commands) fn conditions(evaluation: &Evaluation) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add =
        |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    add("samples", Some(grouped(evaluation.n)));
    add("sampler", evaluation.sampler.clone());
    add("sampling steps", evaluation.steps.map(grouped));
    add("sampler settings", evaluation.settings.clone());
    add("classes", evaluation.classes.as_deref().map(classes));
    add("guidance scale", evaluation.guidance.map(short));
    add("seed", Some(evaluation.seed.to_string()));
    add("step of training", evaluation.step.map(grouped));
    add("weights", evaluation.weights.clone());
    if let Some(features) = &evaluation.features {
        let of = format!(
            "{}, {}, {}",
            features.name,
            numbered(features.width, "number"),
            hash(features.sha256.as_deref())
        );
        add("features", Some(of));
        add("resize", Some(features.resize.clone()));
    }
    for reference in &evaluation.references {
        let of = format!(
            "{}, {}, {}",
            reference.data,
            numbered(reference.count, "image"),
            hash(reference.sha256.as_deref())
        );
        add(&format!("reference {}", reference.part), Some(of));
    }
    add(
        "bits/dim over",
        evaluation.bits.as_ref().map(|bits| numbered(bits.n, &format!("{} image", bits.reference))),
    );
    add("time of evaluation", Some(duration(evaluation.seconds)));
    add("machine of evaluation", Some(evaluation.machine.clone()));
    facts
}

/// Class numbers; the list is cut if it is long.
pub(in crate::commands) fn classes(classes: &[i64]) -> String {
    let shown = classes.iter().take(CLASSES).map(i64::to_string).collect::<Vec<_>>().join(", ");
    if classes.len() > CLASSES { format!("{shown}, …") } else { shown }
}

/// The beginning of a hash.
fn hash(sha256: Option<&str>) -> String {
    let Some(sha256) = sha256 else { return "given as features".to_owned() };
    format!("sha256 {}…", sha256.chars().take(HASH).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(json: &str) -> Evaluation {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_come_with_interval_and_conditions() {
        let one = evaluation(
            r#"{"step": 30, "n": 5000, "seed": 7, "sampler": "ddim", "steps": 50, "weights": "ema",
                "features": {"name": "f", "width": 128, "sha256": "0123456789abcdef", "resize": "none"},
                "references": [{"part": "test", "data": "d", "count": 2000, "sha256": "fedcba9876543210"}],
                "metrics": [{"name": "fd", "title": "FD", "reference": "test", "value": 12.3456, "low": 11.9,
                             "high": 12.7, "better": "lower"},
                            {"name": "is", "title": "IS", "value": 2, "better": "higher"}],
                "copying": {"flagged": true, "share": 0.9, "p_value": 1e-9, "alpha": 0.001}}"#,
        );
        let rows = table(&one).rows;
        assert_eq!(rows[0], ["FD", "test", "12.35", "11.9 to 12.7", "lower"]);
        assert_eq!(rows[1], ["IS", "—", "2", "—", "higher"]);
        let facts = conditions(&one);
        let fact = |name: &str| facts.iter().find(|fact| fact.0 == name).map(|fact| fact.1.as_str());
        assert_eq!(fact("samples"), Some("5,000"));
        assert_eq!(fact("resize"), Some("none"));
        assert_eq!(fact("reference test"), Some("d, 2,000 images, sha256 fedcba987654…"));
        assert_eq!(fact("guidance scale"), None);
        let blocks = section(&one, 30).blocks;
        assert!(
            matches!(&blocks[0], Block::Equation(text) if text.starts_with("FD = ") && !text.contains("KD"))
        );
        assert!(
            matches!(blocks.last(), Some(Block::Note(text)) if text.contains("In 90 % of pairs") && text.contains("p = 1.00e-9"))
        );
        // Metrics of another step than the figures get a note.
        assert!(matches!(&section(&one, 40).blocks[0], Block::Note(text) if text.contains("of step 30")));
    }

    #[test]
    fn the_least_evaluation_is_shown() {
        let blocks = section(&evaluation(r#"{"n": 1, "metrics": []}"#), 3).blocks;
        assert!(matches!(&blocks[0], Block::Table(table) if table.rows.is_empty()));
    }
}
