//! The table at the top of the report: what the figures were made from.

use std::path::Path;

use crate::commands::figures::subject::Subject;
use crate::commands::figures::tables::{describe, scientific};
use crate::commands::figures::training;
use crate::device;

/// Names and values. Nothing in it depends on when or where the report is made, except the device.
pub(super) fn summary(subject: &Subject, seed: u64) -> Vec<(String, String)> {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let source = source_name(&subject.data_config.source);
    let count = subject.loaded.as_ref().map(|loaded| loaded.images.count);
    let count = count.or(subject.data.as_ref().ok().map(dataset::Dataset::len));
    rows.push(("dataset", count.map_or(source.clone(), |count| format!("{source}, {count} images"))));
    rows.push(("image size", size(subject)));
    rows.push(("T", subject.schedule.steps().to_string()));
    let betas = subject.schedule.betas();
    let (first, last) = (scientific(betas[0]), scientific(betas[betas.len() - 1]));
    rows.push(("schedule", format!("{}, β from {first} to {last}", subject.schedule_config.kind)));
    rows.push(("time embedding", describe(&subject.embedding)));
    if let Some(loaded) = &subject.loaded {
        let train = &loaded.config.train;
        rows.push(("parameters of the network", grouped(loaded.net.param_count() as u64)));
        rows.push(("output of the network", train.prediction.to_string()));
        rows.push(("steps trained", grouped(loaded.step)));
        rows.push(("batch", train.batch.to_string()));
        rows.push(("learning rate", scientific(train.lr)));
        if let Some(minutes) = training::minutes(&subject.records, train.batch) {
            rows.push(("minutes of training", format!("{minutes:.1}")));
        }
        rows.push(("seed of the run", loaded.config.seed.to_string()));
        rows.push(("precision of training", loaded.config.precision.clone()));
        let drawn = format!("{} on {}", loaded.precision.name(), device::name(loaded.device));
        rows.push(("precision of sampling", drawn));
        rows.push(("checkpoint", name_of(&loaded.checkpoint)));
    }
    rows.push(("seed of the figures", seed.to_string()));
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn size(subject: &Subject) -> String {
    let (shape, border) = match (&subject.loaded, &subject.data) {
        (Some(loaded), _) => {
            let images = &loaded.images;
            let [top, bottom, left, right] = images.padding;
            let inner = (images.height - top - bottom, images.width - left - right, images.channels);
            (inner, images.padding.iter().any(|&side| side > 0).then_some((images.height, images.width)))
        }
        (None, Ok(data)) => (data.shape(), None),
        (None, Err(_)) => return "unknown".to_owned(),
    };
    let (height, width, channels) = shape;
    let colour = if channels == 1 { "grey" } else { "colour" };
    let border = border.map(|(h, w)| format!(", in a border to {h} × {w}")).unwrap_or_default();
    format!("{height} × {width}, {colour}{border}")
}

/// The name of a source; of a path its last part, since folders differ from machine to machine.
fn source_name(source: &str) -> String {
    if source.contains(['/', '\\']) { name_of(Path::new(source)) } else { source.to_owned() }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "unnamed".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 35_746_307].map(grouped), ["0", "999", "1,000", "35,746,307"]);
    }

    #[test]
    fn folders_of_this_machine_do_not_show() {
        assert_eq!(source_name("fashion-mnist:test"), "fashion-mnist:test");
        assert_eq!(source_name("/a/b/photos"), "photos");
        assert_eq!(source_name("/"), "unnamed");
    }
}
