//! `ddpm inspect data`: the images in a source.

use anyhow::Context;
use clap::Args;
use dataset::{Dataset, Padding};
use ndarray::Array4;
use serde_json::json;

use crate::commands::inspect::rate;
use crate::commands::inspect::table::{Table, grouped};
use crate::config::{self, Layers, Resolved, parse_set};
use crate::flags::Global;
use crate::paths::{DataSource, OutputFile};
use crate::{output, screen};

/// Images in the grid.
const GRID: usize = 64;
/// Classes listed in the table.
const CLASSES: usize = 20;
/// Images of a streamed set that are decoded for its mean; more would take hours.
const DECODED: usize = 10_000;

/// Show a dataset: count, size, classes, mean and standard deviation, border for a network
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm inspect data --data fashion-mnist:test --out grid.png
  ddpm inspect data --data photos/ --set data.size=64
  ddpm inspect data --data shards/ --set data.order=blocks --rate")]
pub(crate) struct InspectData {
    /// Images: a folder, zip archive or tar shards, an IDX, CIFAR, npy, npz or (with the feature) Parquet file, or fashion-mnist
    #[arg(long, value_name = "SRC", default_value = "fashion-mnist")]
    data: DataSource,
    /// Preset whose network sets the border [default: depends on the data]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Override one value, such as data.size=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Measure for 2 seconds how many images per second are read and decoded, without a network
    #[arg(long)]
    rate: bool,
    /// Write the first 64 images to this PNG file
    #[arg(long, value_name = "FILE")]
    out: Option<OutputFile>,
}

/// Mean and standard deviation of one channel, and the extremes, all in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moments {
    mean: f64,
    std: f64,
    min: f64,
    max: f64,
}

impl InspectData {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let set = self.set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
        self.out.as_deref().map_or(Ok(()), |path| output::try_file("--out", path))?;
        let layers =
            Layers { preset: self.preset.as_deref(), data: Some(&self.data), set: &set, ..Layers::default() };
        let Resolved { config, preset, dataset, .. } = config::resolve(&layers)?;
        let padding = dataset.padding();
        let (height, width, channels) = dataset.shape();
        let (inner_height, inner_width) =
            (height - padding.top - padding.bottom, width - padding.left - padding.right);
        let decoded = decoded(&dataset);
        let moments = moments(&histograms(&dataset, &decoded, padding)?);
        let counts = class_counts(&dataset);
        if let Some(path) = &self.out {
            let png = output::grid_png(&first_images(&dataset, padding)?)?;
            files::write_output(path, &png).with_context(|| format!("--out {}", path.display()))?;
        }
        let order = run_images::order(&config.data)?;
        let images_per_s = self.rate.then(|| rate::measure(&dataset, config.seed, order)).transpose()?;
        let sha256 = dataset.fingerprint()?;
        let border = [padding.top, padding.bottom, padding.left, padding.right];
        let names = dataset.class_names();
        let classes = names.iter().zip(&counts).map(|(name, count)| json!({ "name": name, "images": count }));
        let summary = json!({
            "source": config.data.source, "images": dataset.len(), "height": inner_height, "width": inner_width,
            "channels": channels, "classes": classes.collect::<Vec<_>>(), "skipped_images": dataset.skipped(),
            "mean": moments.iter().map(|m| m.mean).collect::<Vec<_>>(),
            "std": moments.iter().map(|m| m.std).collect::<Vec<_>>(),
            "min": moments.iter().map(|m| m.min).collect::<Vec<_>>(),
            "max": moments.iter().map(|m| m.max).collect::<Vec<_>>(),
            "notes": dataset.notes(), "flip": config.train.flip, "preset": preset, "padding": border, "padded_height": height, "padded_width": width, "sha256": sha256, "out": self.out,
            "streamed": dataset.is_streamed(), "decoded": decoded.len(),
            "images_per_s": images_per_s,
        });
        output::answer(global, &summary, || {
            let colour = if channels == 1 { "grey" } else { "colour" };
            let each = |number: fn(&Moments) -> f64| {
                moments.iter().map(|m| format!("{:.4}", number(m))).collect::<Vec<_>>().join(", ")
            };
            let mut facts = vec![
                ("source", config.data.source.clone()),
                (
                    "images",
                    format!("{} of {inner_width}x{inner_height} pixels, {colour}", grouped(dataset.len())),
                ),
                ("mean", format!("{} in [-1, 1]", each(|m| m.mean))),
                ("std", each(|m| m.std)),
                ("range", format!("{} to {}", each(|m| m.min), each(|m| m.max))),
                ("flip", flip_text(config.train.flip).to_owned()),
                ("network", format!("preset {preset}: {}", border_text(border, height, width))),
                ("sha256", sha256.clone()),
            ];
            if decoded.len() < dataset.len() {
                let text = format!("mean, std and range are those of {} images", grouped(decoded.len()));
                facts.push(("decoded", text));
            }
            if let Some(rate) = images_per_s {
                facts.push(("rate", format!("{rate:.0} images/s read, decoded and made into batches")));
            }
            if dataset.skipped() > 0 {
                facts.push(("skipped", format!("{} that cannot be read", grouped(dataset.skipped()))));
            }
            facts.extend(dataset.notes().iter().map(|note| ("note", note.clone())));
            if let Some(path) = &self.out {
                facts.push(("grid", path.display().to_string()));
            }
            let facts = Table::facts(facts).within(screen::width());
            format!("{facts}\n\n{}", class_table(names, &counts))
        })
    }
}

pub(in crate::commands) fn flip_text(flip: bool) -> &'static str {
    if flip {
        "half of the images are mirrored in training (train.flip = true)"
    } else {
        "no image is mirrored in training (train.flip = false)"
    }
}

pub(in crate::commands) fn border_text(
    [top, bottom, left, right]: [usize; 4],
    height: usize,
    width: usize,
) -> String {
    match [top, bottom, left, right] {
        [0, 0, 0, 0] => "no border needed".to_owned(),
        _ => {
            format!("border of {top} above, {bottom} below, {left} left, {right} right, to {width}x{height}")
        }
    }
}

/// The images to decode: all, or some of a streamed set, spread evenly over it.
fn decoded(dataset: &Dataset) -> Vec<usize> {
    let count = if dataset.is_streamed() { dataset.len().min(DECODED) } else { dataset.len() };
    (0..count).map(|index| (index as u128 * dataset.len() as u128 / count as u128) as usize).collect()
}

/// How often each byte occurs in each channel, border excluded.
fn histograms(dataset: &Dataset, indices: &[usize], padding: Padding) -> anyhow::Result<Vec<[u64; 256]>> {
    let mut counts = vec![[0_u64; 256]; dataset.shape().2];
    for part in indices.chunks(GRID) {
        let images = dataset.images(part.iter().copied())?; // [n, h, w, c]
        let inner = padding.crop(images.view(), 1)?;
        for (position, value) in inner.iter().enumerate() {
            // The channel is the last axis.
            let channel = position % counts.len();
            counts[channel][usize::from(*value)] += 1;
        }
    }
    Ok(counts)
}

/// Exact moments from the byte counts; a byte v is the value 2 v / 255 - 1.
fn moments(histograms: &[[u64; 256]]) -> Vec<Moments> {
    let value = |byte: usize| 2.0 * byte as f64 / 255.0 - 1.0;
    histograms
        .iter()
        .map(|counts| {
            let total = counts.iter().sum::<u64>().max(1) as f64;
            let weighted = |f: &dyn Fn(f64) -> f64| {
                counts.iter().enumerate().map(|(byte, &n)| n as f64 * f(value(byte))).sum::<f64>() / total
            };
            let mean = weighted(&|x| x);
            Moments {
                mean,
                std: weighted(&|x| (x - mean).powi(2)).sqrt(),
                min: value(counts.iter().position(|&n| n > 0).unwrap_or(0)),
                max: value(counts.iter().rposition(|&n| n > 0).unwrap_or(0)),
            }
        })
        .collect()
}

fn class_counts(dataset: &Dataset) -> Vec<usize> {
    let mut counts = vec![0; dataset.classes()];
    for label in (0..dataset.len()).filter_map(|index| dataset.label(index)) {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    counts
}

fn class_table(names: &[String], counts: &[usize]) -> String {
    if names.is_empty() {
        return "no labels".to_owned();
    }
    let mut table = Table::new(&[">class", "name", ">images"]);
    for (label, (name, count)) in names.iter().zip(counts).enumerate().take(CLASSES) {
        table.row([label.to_string(), name.clone(), grouped(*count)]);
    }
    let more = names.len().saturating_sub(CLASSES);
    match more {
        0 => table.to_string(),
        _ => format!("{table}\nand {}; --json lists all", files::counted(more, "more class")),
    }
}

/// `[n, h, w, c]` without the border.
fn first_images(dataset: &Dataset, padding: Padding) -> anyhow::Result<Array4<u8>> {
    Ok(padding.crop(dataset.images(0..dataset.len().min(GRID))?.view(), 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    fn two_images() -> Dataset {
        let mut images = Array4::zeros((2, 2, 2, 3));
        images.index_axis_mut(Axis(3), 1).fill(255);
        images[[1, 0, 0, 2]] = 255;
        Dataset::from_array(images, Some(vec![1, 1])).unwrap()
    }

    #[test]
    fn moments_are_those_of_each_channel() {
        let set = two_images();
        assert_eq!(decoded(&set), [0, 1]);
        let found = moments(&histograms(&set, &[0, 1], Padding::default()).unwrap());
        assert_eq!(found[0], Moments { mean: -1.0, std: 0.0, min: -1.0, max: -1.0 });
        assert_eq!(found[1], Moments { mean: 1.0, std: 0.0, min: 1.0, max: 1.0 });
        // One of eight values is 1, the others are -1.
        assert!(
            (found[2].mean - -0.75).abs() < 1e-12
                && (found[2].std - (1.0 - 0.75_f64.powi(2)).sqrt()).abs() < 1e-12
        );
    }

    #[test]
    fn classes_are_counted() {
        let set = two_images();
        let counts = class_counts(&set);
        assert_eq!(counts, [0, 2]);
        assert!(class_table(set.class_names(), &counts).lines().last().unwrap().ends_with('2'));
        assert_eq!(class_table(&[], &[]), "no labels");
        let many: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
        assert!(class_table(&many, &[1; 30]).ends_with("and 10 more classes; --json lists all"));
    }

    #[test]
    fn the_border_is_reported() {
        assert_eq!(border_text([0; 4], 28, 28), "no border needed");
        assert!(border_text([2, 2, 4, 4], 32, 36).ends_with("to 36x32"));
    }
}
