//! The metrics in the answer of `ddpm evaluate`.

use serde_json::Value;

/// A metric of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    /// `NAME:REFERENCE`.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) lower_is_better: bool,
    pub(crate) value: f64,
    /// Its 95 % interval.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Every metric of an answer that has a value.
pub(crate) fn all(said: &Value) -> Vec<Metric> {
    said["metrics"].as_array().into_iter().flatten().filter_map(metric).collect()
}

fn metric(said: &Value) -> Option<Metric> {
    let name = said["name"].as_str()?;
    let id = match said["reference"].as_str() {
        Some(reference) => format!("{name}:{reference}"),
        None => name.to_owned(),
    };
    let reference = said["reference"].as_str().map(|reference| format!(", {reference}")).unwrap_or_default();
    Some(Metric {
        title: format!("{}{reference}", said["title"].as_str().unwrap_or(name)),
        lower_is_better: said["better"] != "higher",
        value: said["value"].as_f64().filter(|value| value.is_finite())?,
        interval: said["low"].as_f64().zip(said["high"].as_f64()),
        id,
    })
}
