//! The rows of a study: `[[row]]`, `[[grid]]`, and what each inherits.

use serde::Deserialize;
use toml::{Table, Value};

use super::file::File;
use crate::ablate::study::{Average, Row, Sampling, Settings, key_of};

/// Keys that `set` must not contain, and why.
const DECIDED: [(&str, &str); 4] = [
    ("train.steps", "[budget] decides it"),
    ("seed", "seeds decides it"),
    ("data.source", "use the key data"),
    ("preset", "use the key preset"),
];
/// Configuration keys that store averages for `ddpm ema`.
const STORED: [&str; 2] = ["train.ema_sigma_rels", "train.ema_decays"];

/// A row, or what all rows of a grid share.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRow {
    name: String,
    preset: Option<String>,
    objective: Option<String>,
    data: Option<String>,
    #[serde(default)]
    set: Vec<String>,
    ema: Option<Vec<Average>>,
    samplings: Option<Vec<Table>>,
    #[serde(default)]
    more_samplings: Vec<Table>,
    seeds: Option<Vec<u64>>,
}

/// Defaults for the rows.
pub(super) struct Common<'a> {
    pub(super) base: &'a Settings,
    pub(super) ema: Option<&'a [Average]>,
    pub(super) samplings: &'a [Table],
}

pub(super) fn place(row: &str) -> String {
    format!("row `{row}`")
}

impl File<'_> {
    pub(super) fn rows(&self, rows: Option<Value>) -> anyhow::Result<Vec<RawRow>> {
        let tables = self.list("row", rows)?;
        let named = |(index, table): (usize, Table)| {
            let name = table.get("name").and_then(Value::as_str);
            let place = name.map_or_else(|| format!("row {}", index + 1), place);
            self.as_type(&place, Value::Table(table))
        };
        tables.into_iter().enumerate().map(named).collect()
    }

    /// Each objective with each loss weight, named `OBJECTIVE-WEIGHT`.
    pub(super) fn grids(&self, grids: Option<Value>) -> anyhow::Result<Vec<RawRow>> {
        let mut rows = Vec::new();
        for (index, mut table) in self.list("grid", grids)?.into_iter().enumerate() {
            let place = format!("grid {}", index + 1);
            let mut axis = |key: &str| -> anyhow::Result<Vec<String>> {
                let names = table.remove(key).map(Value::try_into).and_then(Result::ok);
                let names: Option<Vec<String>> = names.filter(|names: &Vec<String>| !names.is_empty());
                names.ok_or_else(|| self.wrong(&place, &format!("{key}: expected a list of names")))
            };
            let (objectives, weights) = (axis("objective")?, axis("loss_weight")?);
            if table.contains_key("name") {
                return Err(
                    self.wrong(&place, "name: rows of a grid are named OBJECTIVE-WEIGHT; leave it out")
                );
            }
            table.insert("name".to_owned(), Value::String(String::new()));
            let common: RawRow = self.as_type(&place, Value::Table(table))?;
            for objective in &objectives {
                for weight in &weights {
                    let mut row = common.clone();
                    row.name = format!("{objective}-{weight}");
                    row.objective = Some(objective.clone());
                    row.set.push(format!("train.loss_weight={weight}"));
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    pub(super) fn row(&self, raw: RawRow, common: &Common<'_>) -> anyhow::Result<Row> {
        let place = place(&raw.name);
        self.name(&place, &raw.name)?;
        let own = Settings { preset: raw.preset, objective: raw.objective, data: raw.data, set: raw.set };
        self.set(&place, &own)?;
        let settings = own.over(common.base);
        let averages = raw.ema.as_deref().or(common.ema).unwrap_or(&[Average::Own]);
        self.averages(&place, averages)?;
        let samplings = raw.samplings.as_deref().unwrap_or(common.samplings);
        let mut evaluations: Vec<(Average, Sampling)> = Vec::new();
        for table in samplings.iter().chain(&raw.more_samplings) {
            for evaluation in self.sampling(&place, table.clone(), averages)? {
                if evaluations.contains(&evaluation) {
                    let (average, sampling) = evaluation;
                    let twice = format!("samplings: {sampling} of the average {average} is repeated");
                    return Err(self.wrong(&place, &twice));
                }
                evaluations.push(evaluation);
            }
        }
        if evaluations.is_empty() {
            return Err(self.wrong(&place, "no samplings; expected some here or in [evaluate]"));
        }
        let after =
            |(average, _): &&(Average, Sampling)| matches!(average, Average::SigmaRel(_) | Average::Decay(_));
        let stored = settings.set.iter().any(|entry| STORED.contains(&key_of(entry)));
        if let Some((average, _)) = evaluations.iter().find(after).filter(|_| !stored) {
            let advice = "put set = [\"train.ema_sigma_rels=[0.05,0.1]\"] here or in [base]";
            return Err(self
                .wrong(&place, &format!("ema: {average} cannot be made: no averages are stored; {advice}")));
        }
        let seeds = raw.seeds.unwrap_or_else(|| vec![0]);
        self.seeds(&place, &seeds)?;
        Ok(Row { name: raw.name, own, settings, evaluations, seeds })
    }

    pub(super) fn set(&self, place: &str, settings: &Settings) -> anyhow::Result<()> {
        for (index, entry) in settings.set.iter().enumerate() {
            let key = key_of(entry);
            let message = if key.is_empty() || !entry.contains('=') {
                "expected KEY=VALUE".to_owned()
            } else if let Some((_, why)) = DECIDED.iter().find(|(decided, _)| *decided == key) {
                (*why).to_owned()
            } else if settings.set[..index].iter().any(|other| key_of(other) == key) {
                "this key is repeated".to_owned()
            } else {
                continue;
            };
            return Err(self.wrong(place, &format!("set \"{entry}\": {message}")));
        }
        Ok(())
    }

    fn averages(&self, place: &str, averages: &[Average]) -> anyhow::Result<()> {
        if averages.is_empty() || averages.iter().enumerate().any(|(i, a)| averages[..i].contains(a)) {
            return Err(
                self.wrong(place, "ema: expected a list such as [\"own\", \"sigma_rel=0.1\"], each once")
            );
        }
        Ok(())
    }

    /// Each sampling with each average, or only with the averages it names.
    fn sampling(
        &self,
        place: &str,
        mut table: Table,
        averages: &[Average],
    ) -> anyhow::Result<Vec<(Average, Sampling)>> {
        let place = format!("{place}: samplings");
        let only: Option<Vec<Average>> =
            table.remove("ema").map(|ema| self.as_type(&format!("{place}: ema"), ema)).transpose()?;
        let averages = only.as_deref().unwrap_or(averages);
        self.averages(&place, averages)?;
        let sampling: Sampling = self.as_type(&place, Value::Table(table))?;
        Ok(averages.iter().map(|&average| (average, sampling.clone())).collect())
    }
}
