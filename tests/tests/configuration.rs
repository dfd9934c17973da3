//! `ddpm config` explains the configuration; `ddpm train --dump-config` does so beside the values.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::Place;

const PAGE: &str = "docs/configuration.md";

#[test]
fn the_page_is_the_output() -> anyhow::Result<()> {
    let written = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE))?;
    let printed = Place::new()?.run("config reference --markdown")?.ok().stdout;
    let differs = written.lines().zip(printed.lines()).find(|(written, printed)| written != printed);
    ensure!(
        written == printed,
        "{PAGE}: expected the output of the program; first difference: {differs:?}; run `ddpm config reference \
         --markdown > {PAGE}`"
    );
    Ok(())
}

#[test]
fn keys_are_explained_to_people_and_to_programs() -> anyhow::Result<()> {
    let place = Place::new()?;
    let said = place.run("config reference train.lr --preset tiny-16 --json")?.json();
    let [lr] = &said["keys"].as_array().context("keys")?[..] else { anyhow::bail!("{said}") };
    ensure!(said["preset"] == "tiny-16" && lr["key"] == "train.lr" && lr["default"] == 2e-3, "{said}");
    ensure!(lr["range"] == "above 0, at most 1" && lr["may_change_on_resume"] == true, "{said}");
    let text = place.run("config reference train.lr --preset tiny-16")?.ok().stdout;
    ensure!(text.contains("train.lr\n    number above 0, at most 1; default: 0.002; may change"), "{text}");

    let group = place.run("config reference sample --json")?.json();
    let keys = group["keys"].as_array().context("keys")?;
    let in_group = |key: &Value| key["key"].as_str().is_some_and(|key| key.starts_with("sample."));
    ensure!(keys.len() > 3 && keys.iter().all(in_group), "{group}");
    let flow = place.run("config reference schedule.kind --objective flow --json")?.json();
    ensure!(flow["keys"][0]["default"] == "straight" && flow["objective"] == "flow", "{flow}");
    Ok(())
}

/// Every key of a run's file is in the reference, and the error for a wrong value has its range.
#[test]
fn every_key_of_a_run_is_explained() -> anyhow::Result<()> {
    fn collect(prefix: &str, value: &Value, keys: &mut BTreeSet<String>) {
        match value.as_object() {
            Some(table) => {
                for (key, value) in table {
                    collect(format!("{prefix}.{key}").trim_start_matches('.'), value, keys);
                }
            }
            None => {
                keys.insert(prefix.to_owned());
            }
        }
    }
    let place = Place::new()?;
    let said = place.run("config reference --json")?.json();
    let entries = said["keys"].as_array().context("keys")?;
    let listed: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["key"].as_str()).collect();
    let mut keys = BTreeSet::new();
    for objective in ["ddpm", "learned", "edm", "flow"] {
        let line = format!("train --objective {objective} --set data.limit=20 --dump-config --json");
        collect("", &place.ddpm(&line)?.json(), &mut keys);
    }
    ensure!(keys.len() > 60, "{keys:?}");
    let missing: Vec<&String> = keys.iter().filter(|key| !listed.contains(key.as_str())).collect();
    ensure!(missing.is_empty(), "not in the reference: {missing:?}");
    let lr = entries.iter().find(|entry| entry["key"] == "train.lr").context("train.lr")?;
    let range = lr["range"].as_str().context("range")?;
    place.ddpm("train --set train.lr=2")?.expect_refusal(&["train.lr = 2", range]);
    Ok(())
}

#[test]
fn presets_and_objectives_are_described() -> anyhow::Result<()> {
    let place = Place::new()?;
    let text = place.run("config presets")?.ok().stdout;
    let said = place.run("config presets --json")?.json();
    for (list, least) in [("presets", 6), ("objectives", 7)] {
        let entries = said[list].as_array().context("list")?;
        ensure!(entries.len() >= least, "{said}");
        for entry in entries {
            let (name, what) = (entry["name"].as_str(), entry["meaning"].as_str());
            let (name, what) = (name.context("name")?, what.context("meaning")?);
            ensure!(
                text.lines().any(|line| line.starts_with(&format!("  {name} ")) && line.ends_with(what)),
                "{text}"
            );
        }
    }
    Ok(())
}

/// The comments do not change what the text means.
#[test]
fn a_dump_is_explained_and_reads_back() -> anyhow::Result<()> {
    let place = Place::new()?;
    for flags in ["--preset tiny-16", "--preset fashion-28-classes", "--objective edm --set train.loss=huber"]
    {
        let line = format!("train {flags} --set data.limit=20 --dump-config");
        let dump = place.ddpm(&line)?.ok().stdout;
        for line in dump.lines().filter(|line| line.starts_with('[') || line.contains(" = ")) {
            ensure!(line.contains(" # "), "{flags}: {line} has no comment");
        }
        place.write("mine.toml", &dump)?;
        let again = place.ddpm("train --config mine.toml --dump-config --json")?.json();
        ensure!(again == place.ddpm(&format!("{line} --json"))?.json(), "{flags}: {again}");
        ensure!(place.ddpm("train --config mine.toml --dump-config")?.ok().stdout == dump, "{flags}: {dump}");
    }
    Ok(())
}
