//! `assets/models/fashion-28.md`: the model card, made from the facts alone.

use super::facts::{Facts, Measured, MetricFacts};

/// The card as Markdown.
pub(super) fn page(facts: &Facts) -> String {
    let name = &facts.name;
    let picture = &facts.picture;
    format!(
        "# {name}\n\
         A small U-Net that draws 28x28 grey garments of ten classes by flow matching. It is built into `ddpm`: the commands that \
         need a network use it where there is no run, and `--model shipped` names it.\n\n\
         `cargo xtask ship` wrote this card from [{name}.json]({name}.json).\n\n\
         ![samples]({name}.png)\n\n\
         *The first {} samples of seed {}, a row for each class, not selected.*\n\n{}\n{}\n{}\n{USE}",
        picture.count,
        picture.seed,
        file(facts),
        training(facts),
        quality(facts),
    )
}

fn file(facts: &Facts) -> String {
    let file = &facts.file;
    format!(
        "## File\n| | |\n|---|---|\n\
         | file | `{}.safetensors`, written by `ddpm export --dtype f16` |\n\
         | SHA-256 | `{}` |\n\
         | size | {} bytes |\n\
         | parameters | {}, in half precision; the averaged weights |\n",
        facts.name, file.sha256, file.bytes, file.parameters
    )
}

fn training(facts: &Facts) -> String {
    let training = &facts.training;
    format!(
        "## Training\n| | |\n|---|---|\n\
         | recipe | `recipes/{}.toml` |\n\
         | images | {} training images of Fashion-MNIST, {}, sha256 `{:.12}` |\n\
         | steps | {} of {} images: {} images seen |\n\
         | learning rate, EMA decay | {}, {} |\n\
         | seed | {} |\n\
         | time | {:.1} min of steps |\n\
         | machine | {} |\n\
         | commit | {} |\n",
        training.recipe,
        training.images,
        if training.mirrored {
            "half of them mirrored at each step"
        } else {
            "not mirrored: all shoes point left"
        },
        training.images_sha256,
        training.steps,
        training.batch,
        training.images_seen(),
        training.learning_rate,
        training.ema_decay,
        training.seed,
        training.seconds / 60.0,
        training.machine,
        training.commit,
    )
}

/// The metrics of the samples, each beside that of real images.
fn quality(facts: &Facts) -> String {
    let (samples, yardstick) = (&facts.samples, &facts.yardstick);
    let mut text = format!(
        "## Quality\n{} The last column has {} real training images in place of the samples: the value to reach.\n\n\
         | metric | against | samples | 95 % interval | better | real images |\n|---|---|---:|---|---|---:|\n",
        conditions(samples),
        yardstick.images,
    );
    for metric in &samples.metrics {
        let reference = metric.reference.as_deref();
        let real =
            yardstick.metric(&metric.name, reference).map_or_else(|| "-".to_owned(), value_and_interval);
        text += &format!(
            "| {} | {} | {} | {} | {} | {real} |\n",
            metric.title,
            reference.unwrap_or("-"),
            short(metric.value),
            interval(metric).unwrap_or_else(|| "-".to_owned()),
            metric.better,
        );
    }
    if let Some(copying) = &samples.copying {
        let verdict =
            if copying.flagged { "The samples repeat training images" } else { "No sign of copies" };
        text += &format!(
            "\n{verdict}: a training image is nearer to a sample than a test image with probability {:.3} (p = {:.2e}; 0.5 \
             without copying).\n",
            copying.share, copying.p_value
        );
    }
    let origin = &facts.origin;
    text + &format!("\nMeasured on {} at commit {}, {}.\n", origin.machine, origin.commit, origin.date)
}

/// What the numbers depend on, in sentences.
fn conditions(samples: &Measured) -> String {
    let solver = match (&samples.sampler, samples.steps) {
        (Some(sampler), Some(steps)) => format!(" by `{sampler}` with {steps} steps"),
        _ => String::new(),
    };
    let features = match &samples.features {
        Some(features) => format!(" Features: {}.", features.name),
        None => String::new(),
    };
    let sets: Vec<String> =
        samples.references.iter().map(|set| format!("{} {} images", set.images, set.part)).collect();
    format!(
        "{} samples of seed {}{solver}, classes in turn, without guidance, against {}.{features}",
        samples.images,
        samples.seed,
        sets.join(" and ")
    )
}

fn value_and_interval(metric: &MetricFacts) -> String {
    match interval(metric) {
        Some(interval) => format!("{} ({interval})", short(metric.value)),
        None => short(metric.value),
    }
}

fn interval(metric: &MetricFacts) -> Option<String> {
    let (low, high) = metric.low.zip(metric.high)?;
    Some(format!("{} to {}", short(low), short(high)))
}

/// Three decimals, more for small numbers.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.2e}") } else { format!("{value:.3}") }
}

/// What does not depend on numbers.
const USE: &str = "\
## Use and limits
- For trying the commands without a training, for teaching, for tests, and as a start for fine-tuning on small grey images.
- It draws 28x28 grey images of T-shirts, trousers, pullovers, dresses, coats, sandals, shirts, sneakers, bags and ankle boots,
  and nothing else.
- The distances use features of a classifier of the same images. They compare models of this data; they are not FID.
- Fashion-MNIST shows products of one shop. The samples are no guide to what people wear.

## Licence
The weights: MIT or Apache-2.0, like the program. The images: Fashion-MNIST (Zalando SE, MIT), see
[fashion-mnist.LICENSE](../fashion-mnist.LICENSE).
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_file::read_json;
    use crate::setup::hash;
    use crate::ship::facts::{Copying, Features, FileFacts, Picture, Reference, Training};
    use crate::ship::{FOLDER, MOST_BYTES, NAME};
    use crate::workspace::Workspace;

    fn metric(name: &str, reference: &str, value: f64) -> MetricFacts {
        MetricFacts {
            name: name.to_owned(),
            title: name.to_uppercase(),
            reference: Some(reference.to_owned()),
            value,
            low: Some(value - 0.5),
            high: Some(value + 0.5),
            better: "lower".to_owned(),
        }
    }

    fn measured(metrics: Vec<MetricFacts>, copying: Option<Copying>) -> Measured {
        let set = |part: &str, images| Reference { part: part.to_owned(), images, sha256: None };
        Measured {
            images: 10_000,
            seed: 0,
            sampler: Some("dpmpp-2m".to_owned()),
            steps: Some(15),
            features: Some(Features { name: "fashion".to_owned(), sha256: None }),
            references: vec![set("train", 60_000), set("test", 10_000)],
            metrics,
            copying,
        }
    }

    fn facts() -> Facts {
        let origin = crate::machine::Origin {
            commit: "abc".to_owned(),
            machine: "a CPU".to_owned(),
            date: "2026-11-30".to_owned(),
        };
        Facts {
            name: NAME.to_owned(),
            file: FileFacts { sha256: "12".repeat(32), bytes: 1234, parameters: 600 },
            picture: Picture { sha256: "34".repeat(32), count: 80, seed: 0 },
            training: Training { steps: 300, batch: 64, seconds: 90.0, ..Training::default() },
            samples: measured(
                vec![metric("fd", "train", 4.0), metric("fd", "test", 4.5)],
                Some(Copying { flagged: false, share: 0.5012, p_value: 0.25 }),
            ),
            yardstick: measured(vec![metric("fd", "train", 0.75)], None).renamed("train", "test"),
            origin,
        }
    }

    #[test]
    fn every_number_is_in_the_card() {
        let page = page(&facts());
        for part in [
            format!("| SHA-256 | `{}` |", "12".repeat(32)),
            "| size | 1234 bytes |".to_owned(),
            "training images of Fashion-MNIST, not mirrored: all shoes point left".to_owned(),
            "| steps | 300 of 64 images: 19200 images seen |".to_owned(),
            "| time | 1.5 min of steps |".to_owned(),
            "| FD | train | 4.000 | 3.500 to 4.500 | lower | - |".to_owned(),
            "| FD | test | 4.500 | 4.000 to 5.000 | lower | 0.750 (0.250 to 1.250) |".to_owned(),
            "against 60000 train images and 10000 test images. Features: fashion.".to_owned(),
            "No sign of copies: a training image is nearer to a sample than a test image with probability 0.501".to_owned(),
            "Measured on a CPU at commit abc, 2026-11-30.".to_owned(),
        ] {
            assert!(page.contains(&part), "{part}\n{page}");
        }
    }

    #[test]
    fn a_copying_model_is_called_one() {
        let mut facts = facts();
        facts.samples.copying = Some(Copying { flagged: true, share: 0.9, p_value: 1e-9 });
        assert!(page(&facts).contains("The samples repeat training images"));
    }

    #[test]
    fn small_numbers_keep_their_digits() {
        assert_eq!([0.0, 12.345_6, 0.000_123_4, -0.5].map(short), ["0.000", "12.346", "1.23e-4", "-0.500"]);
    }

    /// The committed card has the numbers of the JSON beside it, and the hashes are those of the committed files.
    #[test]
    fn the_committed_card_describes_the_committed_file() {
        let folder = Workspace::find().unwrap().root().join(FOLDER);
        let at = |ending: &str| folder.join(format!("{NAME}.{ending}"));
        let facts: Option<Facts> = read_json(&at("json")).unwrap();
        let facts = facts.unwrap_or_else(|| panic!("{}: `cargo xtask ship` writes it", at("json").display()));
        let card = std::fs::read_to_string(at("md")).unwrap();
        assert_eq!(card, page(&facts), "`cargo xtask ship --page` writes it");
        let model = at("safetensors");
        assert_eq!(hash::of_file(&model).unwrap(), facts.file.sha256);
        assert_eq!(std::fs::metadata(&model).unwrap().len(), facts.file.bytes);
        assert!(facts.file.bytes <= MOST_BYTES);
        assert_eq!(hash::of_file(&at("png")).unwrap(), facts.picture.sha256);
        assert!(facts.yardstick.metric("fd", Some("test")).is_some());
        let json = std::fs::read_to_string(at("json")).unwrap();
        assert!(!json.contains("\"/"), "a path of a machine: {json}");
    }
}
