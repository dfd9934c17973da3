//! Reads FILE.toml into a [`Study`]. Every mistake is one line that names the file, the row and the key.

mod file;
mod rows;

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use toml::{Table, Value};

use super::study::{Average, Best, Budget, Evaluate, Settings, Study};
use file::File;
use rows::{Common, place};

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

impl File<'_> {
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
}

#[cfg(test)]
mod tests {
    use super::super::study::Row;
    use super::*;
    use crate::process::Exit;

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
        let page = include_str!("../../../../docs/ablations.md");
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
