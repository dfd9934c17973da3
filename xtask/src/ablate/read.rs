//! Reads FILE.toml into a [`Study`]. Every mistake is one line that names the file, the row and the key.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::study::{Average, Best, Budget, Evaluate, Row, Sampling, Settings, Study, key_of};
use crate::process::Exit;

/// Keys that `set` must not contain, and why.
const DECIDED: [(&str, &str); 4] = [
    ("train.steps", "[budget] decides it"),
    ("seed", "seeds decides it"),
    ("data.source", "use the key data"),
    ("preset", "use the key preset"),
];
/// Configuration keys that store averages for `ddpm ema`.
const STORED: [&str; 2] = ["train.ema_sigma_rels", "train.ema_decays"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBase {
    preset: Option<String>,
    objective: Option<String>,
    data: Option<String>,
    #[serde(default)]
    set: Vec<String>,
    ema: Option<Vec<Average>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    steps: Option<u64>,
    seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvaluate {
    n: u64,
    metrics: Vec<String>,
    metric: Option<String>,
    #[serde(default)]
    seed: u64,
    features: Option<String>,
    held_out: Option<String>,
    #[serde(default)]
    samplings: Vec<Table>,
}

/// A row, or what all rows of a grid share.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
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

/// Reads a study file.
///
/// # Errors
/// For a file that cannot be read, and for a mistake in it, as a usage error.
pub(super) fn read(path: &Path) -> anyhow::Result<Study> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| file.clone())?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    parse(&text, &file, &stem)
}

/// The same for a text; `name` is used for a study without one.
pub(super) fn parse(text: &str, file: &str, name: &str) -> anyhow::Result<Study> {
    let file = File { name: file };
    let mut table: Table = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| format!("line {}", 1 + before.matches('\n').count()));
        file.wrong(&line.unwrap_or_default(), error.message())
    })?;
    let name = match table.remove("name") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(file.wrong("name", "expected a text")),
        None => name.to_owned(),
    };
    file.name("name", &name)?;
    let base: RawBase = file.part(&mut table, "base")?;
    let budget = file.budget(&file.part(&mut table, "budget")?)?;
    let evaluate: RawEvaluate = file.part(&mut table, "evaluate")?;
    let best = table.remove("best").map(|best| file.as_type("[best]", best)).transpose()?;
    if let Some(best) = &best {
        file.best(best)?;
    }
    let mut raw_rows = file.rows(table.remove("row"))?;
    raw_rows.extend(file.grids(table.remove("grid"))?);
    if let Some(key) = table.keys().next() {
        let known = "name, [base], [budget], [evaluate], [best], [[row]] and [[grid]]";
        return Err(file.wrong("", &format!("unknown key `{key}`; there are {known}")));
    }
    if raw_rows.is_empty() {
        return Err(file.wrong("", "no rows; expected at least one [[row]] or [[grid]]"));
    }
    let settings =
        Settings { preset: base.preset, objective: base.objective, data: base.data, set: base.set };
    file.set("[base]", &settings)?;
    let common = Common { base: &settings, ema: base.ema.as_deref(), samplings: &evaluate.samplings };
    let rows = raw_rows.into_iter().map(|row| file.row(row, &common)).collect::<Result<Vec<_>, _>>()?;
    for (index, row) in rows.iter().enumerate() {
        if rows[..index].iter().any(|other| other.name == row.name) {
            return Err(
                file.wrong(&place(&row.name), "name: two rows have this name; give one of them another")
            );
        }
    }
    let evaluate = file.evaluate(evaluate)?;
    Ok(Study { name, file: file.name.to_owned(), base: settings, budget, evaluate, best, rows })
}

/// Defaults for the rows.
struct Common<'a> {
    base: &'a Settings,
    ema: Option<&'a [Average]>,
    samplings: &'a [Table],
}

fn place(row: &str) -> String {
    format!("row `{row}`")
}

/// The file, for error messages.
struct File<'a> {
    name: &'a str,
}

impl File<'_> {
    fn wrong(&self, place: &str, message: &str) -> anyhow::Error {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        // A parser message may have a second line.
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Exit::usage(format!("{}: {place}{message}", self.name)).into()
    }

    fn part<T: DeserializeOwned>(&self, table: &mut Table, name: &str) -> anyhow::Result<T> {
        match table.remove(name) {
            Some(value) => self.as_type(&format!("[{name}]"), value),
            None => {
                Err(self.wrong("", &format!("no [{name}]; expected [base], [budget], [evaluate] and rows")))
            }
        }
    }

    fn as_type<T: DeserializeOwned>(&self, place: &str, value: Value) -> anyhow::Result<T> {
        value.try_into().map_err(|error: toml::de::Error| {
            let whole = error.to_string();
            let key = whole.lines().find_map(|line| line.trim().strip_prefix("in `"));
            let key = key.map(|key| format!("{}: ", key.trim_end_matches('`'))).unwrap_or_default();
            self.wrong(place, &format!("{key}{}", error.message()))
        })
    }

    /// Names become folders.
    fn name(&self, place: &str, name: &str) -> anyhow::Result<()> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !name.is_empty() && name.len() <= 64 && !name.starts_with(['.', '-']) && name.chars().all(good) {
            return Ok(());
        }
        let expected = "expected 1 to 64 letters, digits, -, _ and ., the first no - or .";
        Err(self.wrong(place, &format!("\"{name}\" becomes the name of a folder: {expected}")))
    }

    fn budget(&self, raw: &RawBudget) -> anyhow::Result<Budget> {
        match (raw.steps, raw.seconds) {
            (Some(_), Some(_)) => {
                Err(self.wrong("[budget]", "steps and seconds contradict each other; keep one"))
            }
            (None, None) => Err(self.wrong("[budget]", "expected steps = N or seconds = S")),
            (Some(0), _) => Err(self.wrong("[budget]", "steps = 0: expected 1 or more")),
            (Some(steps), _) => Ok(Budget::Steps(steps)),
            (_, Some(seconds)) if seconds > 0.0 && seconds <= 1e8 => Ok(Budget::Seconds(seconds)),
            (_, Some(seconds)) => Err(self
                .wrong("[budget]", &format!("seconds = {seconds}: expected a number above 0, at most 1e8"))),
        }
    }

    fn evaluate(&self, raw: RawEvaluate) -> anyhow::Result<Evaluate> {
        let RawEvaluate { n, metrics, metric, seed, features, held_out, samplings: _ } = raw;
        let wrong = |message: &str| Err(self.wrong("[evaluate]", message));
        if n == 0 {
            return wrong("n = 0: expected 1 or more images");
        }
        let repeated = |(index, name): (usize, &String)| metrics[..index].contains(name);
        if metrics.is_empty() || metrics.iter().enumerate().any(repeated) {
            return wrong("metrics: expected a list of names such as [\"fd\"], each once");
        }
        if metrics.iter().any(|name| name.is_empty() || name.contains([',', ' '])) {
            return wrong("metrics: expected one name in each text");
        }
        let metric = metric.unwrap_or_else(|| metrics[0].clone());
        Ok(Evaluate { n, metrics, metric, seed, features, held_out })
    }

    fn best(&self, best: &Best) -> anyhow::Result<()> {
        if best.count == 0 {
            return Err(self.wrong("[best]", "count = 0: expected 1 or more; leave [best] out for none"));
        }
        self.seeds("[best]", &best.seeds)
    }

    fn seeds(&self, place: &str, seeds: &[u64]) -> anyhow::Result<()> {
        if seeds.is_empty() || seeds.iter().enumerate().any(|(index, seed)| seeds[..index].contains(seed)) {
            return Err(self.wrong(place, "seeds: expected a list such as [0, 1, 2], each once"));
        }
        Ok(())
    }

    fn rows(&self, rows: Option<Value>) -> anyhow::Result<Vec<RawRow>> {
        let tables = self.list("row", rows)?;
        let named = |(index, table): (usize, Table)| {
            let name = table.get("name").and_then(Value::as_str);
            let place = name.map_or_else(|| format!("row {}", index + 1), place);
            self.as_type(&place, Value::Table(table))
        };
        tables.into_iter().enumerate().map(named).collect()
    }

    /// Each objective with each loss weight, named `OBJECTIVE-WEIGHT`.
    fn grids(&self, grids: Option<Value>) -> anyhow::Result<Vec<RawRow>> {
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

    fn list(&self, name: &str, value: Option<Value>) -> anyhow::Result<Vec<Table>> {
        let tables = value.map(|value| value.try_into::<Vec<Table>>()).transpose();
        Ok(tables.map_err(|_| self.wrong(name, &format!("expected [[{name}]]")))?.unwrap_or_default())
    }

    fn row(&self, raw: RawRow, common: &Common<'_>) -> anyhow::Result<Row> {
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

    fn set(&self, place: &str, settings: &Settings) -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A study of two rows and a grid of four.
    const STUDY: &str = r#"
        [base]
        preset = "tiny-16"
        set = ["train.batch=8", "train.ema_sigma_rels=[0.05,0.1]"]
        ema = ["own", "sigma_rel=0.1"]
        [budget]
        seconds = 2.5
        [evaluate]
        n = 100
        metrics = ["fd", "kd"]
        samplings = [{ sampler = "ddim", steps = 4 }, { sampler = "ddpm", steps = 9, ema = ["raw"] }]
        [best]
        count = 2
        seeds = [0, 1, 2]
        [[row]]
        name = "base"
        [[row]]
        name = "flow-small"
        objective = "flow"
        set = ["train.batch=4"]
        ema = ["own"]
        samplings = [{ sampler = "heun", steps = 5 }]
        more_samplings = [{ sampler = "euler", steps = 6 }]
        seeds = [3, 4]
        [[grid]]
        objective = ["ddpm", "v"]
        loss_weight = ["simple", "min-snr"]
        seeds = [7]
    "#;

    fn study(text: &str) -> anyhow::Result<Study> {
        parse(text, "s.toml", "s")
    }

    #[test]
    fn a_study_is_read_with_its_defaults() {
        let study = study(STUDY).unwrap();
        assert_eq!((study.name.as_str(), study.budget), ("s", Budget::Seconds(2.5)));
        assert_eq!((study.evaluate.metric.as_str(), study.evaluate.seed), ("fd", 0));
        let names: Vec<&str> = study.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["base", "flow-small", "ddpm-simple", "ddpm-min-snr", "v-simple", "v-min-snr"]);
        let labels = |row: &Row| row.evaluations.iter().map(|(a, s)| format!("{a} {s}")).collect::<Vec<_>>();
        assert_eq!(labels(&study.rows[0]), ["own ddim 4", "sigma_rel=0.1 ddim 4", "raw ddpm 9"]);
        assert_eq!(labels(&study.rows[1]), ["own heun 5", "own euler 6"]);
        assert_eq!((&study.rows[0].seeds[..], &study.rows[1].seeds[..]), (&[0][..], &[3, 4][..]));
        assert_eq!(study.rows[1].settings.set, ["train.ema_sigma_rels=[0.05,0.1]", "train.batch=4"]);
        assert_eq!(study.rows[5].own.text(), "objective v, train.loss_weight=min-snr");
        assert_eq!(study.rows[5].seeds, [7]);
    }

    #[test]
    fn the_studies_of_the_repository_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/ablations");
        let studies: Vec<Study> =
            fs::read_dir(folder).unwrap().map(|entry| read(&entry.unwrap().path()).unwrap()).collect();
        let first = studies.iter().find(|study| study.name == "first").unwrap();
        assert!(first.rows.len() >= 12 && first.best.as_ref().is_some_and(|best| best.count == 3));
        assert!(first.rows.iter().all(|row| row.evaluations.len() >= 2));
    }

    #[test]
    fn the_study_of_the_documentation_is_read() {
        let page = include_str!("../../../docs/ablations.md");
        let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let study = study(text).unwrap();
        let counts: Vec<usize> = study.rows.iter().map(|row| row.evaluations.len()).collect();
        // own and raw with heun; two averages with one sampling and one of them with the other.
        assert_eq!((study.name.as_str(), counts), ("first", vec![2, 3, 3, 3, 3]));
    }

    #[test]
    fn every_mistake_is_one_line_with_file_row_and_key() {
        let cases: &[(&str, &str, &str)] = &[
            ("[base]", "[bass]", "s.toml: no [base]; expected"),
            ("[budget]\n        seconds = 2.5", "", "s.toml: no [budget]; expected"),
            ("seconds = 2.5", "seconds = 2.5\nsteps = 3", "s.toml: [budget]: steps and seconds contradict"),
            ("seconds = 2.5", "", "s.toml: [budget]: expected steps = N or seconds = S"),
            ("seconds = 2.5", "seconds = -1", "s.toml: [budget]: seconds = -1: expected"),
            ("seconds = 2.5", "steps = 0", "s.toml: [budget]: steps = 0"),
            ("seconds = 2.5", "steps = 'x'", "s.toml: [budget]: steps: invalid type"),
            ("preset =", "presets =", "s.toml: [base]: unknown field `presets`, expected one of"),
            (
                "\"train.batch=8\"",
                "\"train.steps=8\"",
                "s.toml: [base]: set \"train.steps=8\": [budget] decides",
            ),
            ("\"train.batch=4\"", "\"seed=4\"", "s.toml: row `flow-small`: set \"seed=4\": seeds decides"),
            (
                "\"train.batch=4\"",
                "\"train.batch\"",
                "s.toml: row `flow-small`: set \"train.batch\": expected KEY=VALUE",
            ),
            (
                "\"train.batch=4\"",
                "\"train.lr=1\", \"train.lr=2\"",
                "s.toml: row `flow-small`: set \"train.lr=2\": this key is repeated",
            ),
            ("name = \"flow-small\"", "name = \"base\"", "s.toml: row `base`: name: two rows"),
            ("name = \"flow-small\"", "", "s.toml: row 2: missing field `name`"),
            (
                "name = \"flow-small\"",
                "name = \"a/b\"",
                "s.toml: row `a/b`: \"a/b\" becomes the name of a folder",
            ),
            (
                "objective = \"flow\"",
                "objectiv = 'flow'",
                "s.toml: row `flow-small`: unknown field `objectiv`",
            ),
            (
                "ema = [\"own\"]",
                "ema = [\"ema\"]",
                "s.toml: row `flow-small`: ema: ema \"ema\": expected own, raw",
            ),
            ("ema = [\"own\"]", "ema = []", "s.toml: row `flow-small`: ema: expected a list"),
            ("seeds = [3, 4]", "seeds = [3, 3]", "s.toml: row `flow-small`: seeds: expected a list"),
            (
                "sampler = \"heun\"",
                "solver = \"heun\"",
                "s.toml: row `flow-small`: samplings: unknown field `solver`",
            ),
            (
                "sampler = \"euler\", steps = 6",
                "sampler = \"heun\", steps = 5",
                "s.toml: row `flow-small`: samplings: heun 5 of the average own is repeated",
            ),
            (
                "train.ema_sigma_rels=[0.05,0.1]",
                "train.lr=1",
                "s.toml: row `base`: ema: sigma_rel=0.1 cannot be made",
            ),
            ("n = 100", "n = 0", "s.toml: [evaluate]: n = 0"),
            ("n = 100", "", "s.toml: [evaluate]: missing field `n`"),
            ("\"fd\", \"kd\"", "", "s.toml: [evaluate]: metrics: expected a list"),
            ("\"fd\", \"kd\"", "\"fd,kd\"", "s.toml: [evaluate]: metrics: expected one name"),
            ("count = 2", "count = 0", "s.toml: [best]: count = 0"),
            ("seeds = [0, 1, 2]", "seeds = []", "s.toml: [best]: seeds: expected a list"),
            ("loss_weight = [\"simple\", \"min-snr\"]", "", "s.toml: grid 1: loss_weight: expected a list"),
            ("seeds = [7]", "name = 'x'", "s.toml: grid 1: name: rows of a grid"),
            ("[best]", "[bst]", "s.toml: unknown key `bst`; there are name, [base]"),
            ("[best]", "= 3", "s.toml: line 12: "),
        ];
        for (from, to, expected) in cases {
            assert!(STUDY.contains(from), "{from}");
            let error = study(&STUDY.replacen(from, to, 1)).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(expected) && message.lines().count() == 1, "{expected}: {message}");
            assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
        }
        let rows = STUDY.find("[[row]]").unwrap();
        let error = study(&STUDY[..rows]).unwrap_err().to_string();
        assert!(error.starts_with("s.toml: no rows; expected"), "{error}");
        let bare = STUDY[..rows].replace(
            "{ sampler = \"ddim\", steps = 4 }, { sampler = \"ddpm\", steps = 9, ema = [\"raw\"] }",
            "",
        );
        let error = study(&format!("{bare}[[row]]\nname = 'a'")).unwrap_err().to_string();
        assert!(error.starts_with("s.toml: row `a`: no samplings"), "{error}");
        let error = read(Path::new("no-such-file.toml")).unwrap_err();
        assert!(format!("{error:#}").starts_with("no-such-file.toml: "), "{error:#}");
    }
}
