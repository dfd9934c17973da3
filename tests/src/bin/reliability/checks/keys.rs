//! Every configuration key, changed before a run is resumed.

use std::collections::{BTreeMap, BTreeSet};

use ::tests::Place;
use anyhow::{Context as _, bail, ensure};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{last_line, last_logged, records};
use crate::trials;

pub(crate) const CHECK: Check = Check {
    name: "keys",
    goal: "each config key changed before --resume",
    meaning: "A short run is resumed with one key of its configuration changed: every key of its \
              `config.toml` and every key the program lists. If the key may change, the run continues to its \
              new end with finite losses. Any other key is refused in one line with the key, its value in \
              the run and the new one, and no file of the run folder changes. A key missing from this \
              check's tables fails it. A quick run changes every second key, and with the next seed the \
              others.",
    run,
};

const TRAIN: &str = "train --run run --preset tiny-16 --set data.limit=12 --set sample.count=2 --set sample.steps=2 \
                     --set precision=f32 --set train.steps=4 --set train.batch=3 --set train.log_every=1";

/// Keys that may change, each with another value.
const MAY: &[(&str, &str)] = &[
    ("precision", "bf16"),
    ("data.memory", "64"),
    ("train.steps", "7"),
    ("train.lr", "0.0005"),
    ("train.micro_batch", "2"),
    ("train.checkpoint_activations", "true"),
    ("train.on_nan", "skip"),
    ("train.log_every", "2"),
    ("train.sample_every", "2"),
    ("train.evaluate_every", "2"),
    ("train.evaluate_count", "30"),
    ("train.checkpoint_every", "1"),
    ("train.keep_checkpoints", "5"),
    ("sample.count", "3"),
    ("sample.sampler", "heun"),
    ("sample.steps", "3"),
];

/// Keys that must not change, each with another value.
const STAY: &[(&str, &str)] = &[
    ("seed", "1"),
    ("id", "0123456789abcdef"),
    ("data.source", "fashion-mnist:test"),
    ("data.size", "8"),
    ("data.channels", "3"),
    ("data.fit", "pad"),
    ("data.pad_to_multiple", "16"),
    ("data.limit", "13"),
    ("data.on_bad", "skip"),
    ("data.unpacked_limit", "100"),
    ("data.order", "blocks"),
    ("data.shuffle_buffer", "100"),
    ("schedule.kind", "cosine"),
    ("schedule.steps", "100"),
    ("schedule.beta_start", "0.001"),
    ("schedule.beta_end", "0.03"),
    ("schedule.beta", "0.01"),
    ("schedule.s", "0.01"),
    ("schedule.max_beta", "0.9"),
    ("schedule.sigma_min", "0.01"),
    ("schedule.sigma_max", "50.0"),
    ("schedule.zero_terminal_snr", "true"),
    ("model.kind", "x"),
    ("model.image_size", "32"),
    ("model.in_channels", "3"),
    ("model.out_channels", "3"),
    ("model.base_channels", "24"),
    ("model.channel_mults", "[1,1]"),
    ("model.blocks_per_level", "2"),
    ("model.attention_resolutions", "[]"),
    ("model.mid_attention", "false"),
    ("model.heads", "2"),
    ("model.groups", "4"),
    ("model.adapter_rank", "2"),
    ("model.norm_eps", "0.001"),
    ("model.dropout", "0.5"),
    ("model.embedding", "x"),
    ("model.embedding.kind", "fourier"),
    ("model.embedding.frequencies", "8"),
    ("model.time_channels", "32"),
    ("model.time_injection", "input"),
    ("model.time_form", "scale-shift"),
    ("model.downsample_padding", "bottom-right"),
    ("model.classes", "10"),
    ("train.batch", "4"),
    ("train.warmup_steps", "0"),
    ("train.lr_decay", "constant"),
    ("train.lr_decay_steps", "7"),
    ("train.optimizer", "muon"),
    ("train.beta1", "0.5"),
    ("train.beta2", "0.9"),
    ("train.adam_eps", "0.001"),
    ("train.weight_decay", "0.1"),
    ("train.grad_clip", "9.0"),
    ("train.ema_decay", "0.5"),
    ("train.ema_warmup", "false"),
    ("train.ema_decays", "[0.5]"),
    ("train.ema_sigma_rels", "[0.1]"),
    ("train.prediction", "eps"),
    ("train.loss_weight", "p2"),
    ("train.sigma_data", "0.7"),
    ("train.loss", "huber"),
    ("train.huber_delta", "2.0"),
    ("train.halvings", "3"),
    ("train.variance", "learned"),
    ("train.vlb_weight", "0.01"),
    ("train.time_sampling", "uniform"),
    ("train.time_mean", "0.5"),
    ("train.time_std", "0.5"),
    ("train.pairing", "optimal"),
    ("train.flip", "x"),
    ("train.label_dropout", "0.5"),
    ("train.freeze", "['conv_in.*']"),
    ("train.crop", "0.5"),
    ("train.jitter", "0.2"),
    ("train.augment", "0.5"),
    ("model.augmented", "true"),
    ("model.layout", "{activation='relu'}"),
    ("sample.preferred", "{sampler='ddim',steps=2,spacing='leading',threshold='off'}"),
    ("init", "x"),
    ("images.height", "8"),
    ("images.width", "8"),
    ("images.channels", "3"),
    ("images.padding", "[1,1,1,1]"),
    ("images.count", "3"),
    ("images.sha256", "x"),
    ("images.class_names", "[]"),
    ("images.absent_classes", "[1]"),
];

/// Keys that every run tries: `data.source` is refused by the hash of its images, and `train.steps` is the end of the run.
const ALWAYS: [&str; 2] = ["data.source", "train.steps"];

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let place = context.place()?;
    let _ = place.run(&format!("{TRAIN} --device cpu"))?.ok();
    let mut outcome = Outcome::default();
    let known = known(&place)?;
    let listed: BTreeSet<&str> = MAY.iter().chain(STAY).map(|(key, _)| *key).collect();
    for key in known.iter().filter(|key| !listed.contains(key.as_str())) {
        outcome.complaints.push(format!("{key}: the tables do not say whether it may change on resume"));
    }
    let before = files(&place)?;
    let (stay, may) = (tried(STAY, context), tried(MAY, context));
    let tried = trials::run(context.jobs, (stay.len() + may.len()) as u64, |number| {
        let number = usize::try_from(number)?;
        let copy = context.place()?;
        for file in before.keys() {
            copy.write(file, place.read(file)?)?;
        }
        let (key, result) = match stay.get(number) {
            Some((key, value)) => (key, refused(&copy, key, value, &before)),
            None => {
                let (key, value) = &may[number - stay.len()];
                (key, goes_on(&copy, key, value))
            }
        };
        result.with_context(|| (*key).to_owned())
    });
    outcome.tried = tried.count();
    outcome.survived = tried.held.len() as u64;
    outcome.complaints.extend(tried.complaints);
    outcome.figure = format!(
        "{} keys refused, {} changed, of {} known to the program",
        stay.len(),
        may.len(),
        known.len()
    );
    Ok(outcome)
}

/// The keys of a table that this run tries: all, or every second one.
fn tried(table: &[(&'static str, &'static str)], context: &Context) -> Vec<(&'static str, &'static str)> {
    let keys = (context.seed % 2..).zip(table).map(|(n, pair)| (n, *pair));
    let is_tried = |n: u64, key: &str| context.full || n.is_multiple_of(2) || ALWAYS.contains(&key);
    keys.filter(|(n, (key, _))| is_tried(*n, key)).map(|(_, pair)| pair).collect()
}

/// The change is refused in one line and nothing changes.
fn refused(place: &Place, key: &str, value: &str, before: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let output = place.run(&format!("train --resume --run run --device cpu --set {key}={value}"))?;
    let errors = output.errors();
    ensure!(output.code.is_some_and(|code| code != 0), "exit code {:?}: {}", output.code, last_line(&output));
    ensure!(errors.len() == 1 && errors[0].starts_with("error: "), "expected one line of error: {errors:?}");
    let by_hash = key == "data.source" && errors[0].contains("not the images") && errors[0].contains(value);
    let by_value = errors[0].contains(&format!("{key} is ")) && errors[0].contains(" in this run and ");
    let not_settable = errors[0].contains(key) && errors[0].contains("cannot be set");
    let of_type = errors[0].contains("invalid type");
    ensure!(by_hash || by_value || not_settable || of_type, "{}", errors[0]);
    ensure!(&files(place)? == before, "the refusal changed the run folder");
    Ok(())
}

/// The run continues to its new end with finite losses.
fn goes_on(place: &Place, key: &str, value: &str) -> anyhow::Result<()> {
    let steps = if key == "train.steps" { "" } else { "--set train.steps=7" };
    let line = format!("train --resume --run run --device cpu --set {key}={value} {steps}");
    let output = place.run(&line)?;
    ensure!(output.code == Some(0), "exit code {:?}: {}", output.code, last_line(&output));
    ensure!(last_logged(place)? == 7, "it ended at step {}", last_logged(place)?);
    for record in records(place)? {
        let loss = record["loss"].as_f64().context("no loss")?;
        ensure!(loss.is_finite() && loss < 10.0, "the loss is {loss}");
    }
    let config = String::from_utf8(place.read("run/config.toml")?)?;
    ensure!(config.contains(value), "config.toml does not contain {value}");
    Ok(())
}

/// The keys in the run's file, and those that the program lists in its error for an unknown key.
fn known(place: &Place) -> anyhow::Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    let (mut group, mut groups) = (String::new(), vec![String::new()]);
    for line in String::from_utf8(place.read("run/config.toml")?)?.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut group);
            groups.push(group.clone());
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(joined(&group, key));
        }
    }
    ensure!(keys.len() > 30 && groups.len() > 5, "cannot find the keys of config.toml: {keys:?}");
    for name in groups.iter().filter(|name| *name != "images" && !name.contains('.')) {
        let output = place
            .run(&format!("train --resume --run run --device cpu --set {}=1", joined(name, "no_such_key")))?;
        let said = output.errors().join(" ");
        let Some((_, list)) = said.split_once("expected one of ") else {
            bail!("no list of keys in: {said}")
        };
        let list = list.split('`').skip(1).step_by(2).map(|key| joined(name, key));
        keys.extend(list.filter(|key| !groups.contains(key) || key == "model.embedding"));
    }
    Ok(keys)
}

fn joined(group: &str, key: &str) -> String {
    if group.is_empty() { key.to_owned() } else { format!("{group}.{key}") }
}

/// SHA-256 of every file of the run, by name.
fn files(place: &Place) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::from("run")];
    while let Some(folder) = folders.pop() {
        for name in place.names(&folder) {
            let path = format!("{folder}/{name}");
            if place.at(&path).is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), place.sha256(&path)?);
            }
        }
    }
    ensure!(found.len() > 5, "the run folder has too few files: {found:?}");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeds_try_every_key() {
        let quick = |seed| Context { full: false, seed, ..Context::example() };
        for table in [STAY, MAY] {
            assert_eq!(tried(table, &Context::example()), table);
            let [even, odd] = [quick(4), quick(u64::MAX)].map(|context| tried(table, &context));
            let is_tried = |pair: &&(&'static str, &'static str)| even.contains(*pair) || odd.contains(*pair);
            assert_eq!(table.iter().filter(is_tried).count(), table.len());
            for half in [&even, &odd] {
                assert!(half.len() <= table.len() / 2 + 2, "{half:?}");
                let always = ALWAYS.iter().filter(|key| table.iter().any(|(name, _)| name == *key));
                let has = |key: &&str| half.iter().any(|(name, _)| name == key);
                assert!(always.copied().all(|key| has(&key)), "{half:?}");
            }
        }
    }
}
