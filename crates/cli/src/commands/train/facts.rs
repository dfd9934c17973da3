//! A summary of the training run as table rows, shown before it begins.

use dataset::Dataset;
use serde_json::{Value, json};

use crate::commands::inspect::data::{border_text, flip_text};
use crate::commands::inspect::table::grouped;
use crate::config::Config;

type Rows = Vec<(&'static str, String)>;

/// The images: count, size, labels, and what is done to them. Also as JSON.
pub(super) fn of_data(dataset: &Dataset, config: &Config) -> (Rows, Value) {
    let padding = dataset.padding();
    let (height, width, channels) = dataset.shape();
    let inner = (height - padding.top - padding.bottom, width - padding.left - padding.right);
    let border = [padding.top, padding.bottom, padding.left, padding.right];
    let colour = if channels == 1 { "grey" } else { "colour" };
    let mut rows = vec![
        ("data", config.data.source.clone()),
        ("images", format!("{}, {}x{} pixels, {colour}", grouped(dataset.len()), inner.1, inner.0)),
        ("labels", labels(dataset, config)),
        ("mirrored", flip_text(config.train.flip).to_owned()),
    ];
    rows.extend(varied(config).into_iter().map(|how| ("varied", how)));
    if let Some(images) = config.data.group_images().ok().flatten() {
        let images = grouped(images.min(dataset.len()));
        let order = format!("by blocks of neighbouring images, {images} images at a time");
        rows.push(("order", order));
    }
    if border != [0; 4] {
        rows.push(("border", border_text(border, height, width)));
    }
    if dataset.skipped() > 0 {
        rows.push(("left out", format!("{} that cannot be read", grouped(dataset.skipped()))));
    }
    rows.extend(dataset.notes().iter().map(|note| ("note", note.clone())));
    let json = json!({
        "source": config.data.source, "images": dataset.len(), "height": inner.0, "width": inner.1, "channels": channels,
        "class_count": dataset.classes(), "model_classes": config.model.classes, "skipped_images": dataset.skipped(),
        "notes": dataset.notes(), "flip": config.train.flip, "crop": config.train.crop, "jitter": config.train.jitter,
        "padding": border, "streamed": dataset.is_streamed(), "order": config.data.order,
    });
    (rows, json)
}

/// How the images vary in training, besides being mirrored.
pub(super) fn varied(config: &Config) -> Vec<String> {
    let train = &config.train;
    let crop = format!(
        "cropped to a random part of at least {:.0} % of the area (train.crop = {})",
        100.0 * (1.0 - train.crop),
        train.crop
    );
    let jitter = format!(
        "brightness, contrast and saturation change by up to {:.0} % (train.jitter = {})",
        100.0 * train.jitter,
        train.jitter
    );
    let both = [(train.crop > 0.0, crop), (train.jitter > 0.0, jitter)];
    both.into_iter().filter_map(|(used, how)| used.then_some(how)).collect()
}

/// Whether there are classes, and whether the network uses them.
pub(super) fn labels(dataset: &Dataset, config: &Config) -> String {
    match (dataset.classes(), config.model.classes) {
        (0, _) => "none".to_owned(),
        (found, Some(_)) => format!("{}, used by the network", files::counted(found, "class")),
        (found, None) => {
            let classes = files::counted(found, "class");
            format!("{classes}, not used: {} trains by class", by_class(found))
        }
    }
}

/// The flags for training with classes.
fn by_class(classes: usize) -> String {
    format!("--set model.classes={classes} --set train.label_dropout=0.1")
}

/// How much of a network with frozen parameters is trained.
pub(super) fn trained((learned, all): (usize, usize)) -> String {
    format!("{} of {} parameters are trained (train.freeze)", grouped(learned), grouped(all))
}

/// The network, the objective and the steps.
pub(super) fn of_training(config: &Config, (learned, parameters): (usize, usize), images: usize) -> Rows {
    let (model, train) = (&config.model, &config.train);
    let channels: Vec<String> = (0..model.levels())
        .map(|level| format!("{} at 1/{}", model.level_channels(level), 1 << level))
        .collect();
    let parts = match train.micro_batch {
        0 => String::new(),
        part => format!(", {part} at a time"),
    };
    let mut rows = vec![
        ("network", format!("{:.2}M parameters; channels {}", parameters as f64 / 1e6, channels.join(", "))),
        (
            "learned",
            format!(
                "{} on the path {}, T = {}",
                train.prediction, config.schedule.kind, config.schedule.steps
            ),
        ),
        (
            "steps",
            format!(
                "{} of {}{parts}: each image {:.1} times, in {}",
                grouped(train.steps as usize),
                files::counted(train.batch, "image"),
                train.steps as f64 * train.batch as f64 / images as f64,
                config.precision
            ),
        ),
    ];
    if learned < parameters {
        rows.push(("trained", trained((learned, parameters))));
    }
    if let Some(init) = &config.init {
        rows.push(("begins with", format!("the weights of {}", init.from)));
    }
    rows
}
