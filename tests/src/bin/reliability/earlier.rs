//! Rows of an earlier run, so that a table that takes hours can be made in parts.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::checks::{CHECKS, fuzz};
use crate::context::Context;
use crate::machine::Machine;
use crate::outcome::{Outcome, Row};

/// Adds the rows of a file written by `--json` to those of this run, in table order. Where both have a check, this
/// run's row counts, unless this machine could not try it. The file must come from the same mode and seed. The figure of
/// a row from another commit names that commit.
pub(crate) fn add(
    path: &Path,
    rows: Vec<Row>,
    machine: &Machine,
    context: &Context,
) -> anyhow::Result<Vec<Row>> {
    let told = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(told)?;
    let file: Value = serde_json::from_str(&text).with_context(told)?;
    let same = |what: &str, found: &Value, expected: Value| {
        ensure!(*found == expected, "--with {}: expected {what} {expected}, found {found}", path.display());
        Ok(())
    };
    same("full", &file["full"], context.full.into())?;
    same("seed", &file["seed"], context.seed.into())?;
    let text_of = |key: &str| file["machine"][key].as_str().unwrap_or("unknown");
    let (commit, date) = (text_of("commit"), text_of("date"));
    let mut rows = rows;
    for found in file["rows"].as_array().into_iter().flatten() {
        let check = CHECKS.iter().find(|check| found["name"] == check.name);
        let check =
            check.with_context(|| format!("--with {}: no such check: {}", path.display(), found["name"]))?;
        let mut outcome = outcome(found).with_context(told)?;
        if commit != machine.commit && !outcome.figure.contains("(at commit") {
            outcome.figure += &format!(" (at commit {commit}, {date})");
        }
        let not_tried = found["not_tried"].as_bool().unwrap_or(false);
        match rows.iter_mut().find(|row| row.check.name == check.name) {
            None => rows.push(Row { check, outcome, not_tried }),
            Some(row) if row.not_tried => *row = Row { check, outcome, not_tried },
            // This run had only some targets.
            Some(row) if check.name == fuzz::CHECK.name && !context.targets.is_empty() => {
                row.outcome = fuzz::mended(outcome, &row.outcome, &context.targets);
            }
            Some(_) => {}
        }
    }
    let place = |row: &Row| CHECKS.iter().position(|check| check.name == row.check.name);
    rows.sort_by_key(place);
    Ok(rows)
}

fn outcome(row: &Value) -> anyhow::Result<Outcome> {
    let number = |key: &str| row[key].as_u64().with_context(|| format!("no {key} in {row}"));
    let complaints = row["complaints"].as_array().with_context(|| format!("no complaints in {row}"))?;
    Ok(Outcome {
        tried: number("tried")?,
        survived: number("survived")?,
        figure: row["figure"].as_str().unwrap_or_default().to_owned(),
        complaints: complaints.iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::NotTried;
    use crate::report;

    fn machine(commit: &str) -> Machine {
        let text = || String::from("x");
        Machine {
            cores: 2,
            cpu: text(),
            kernel: text(),
            date: text(),
            commit: commit.into(),
            versions: vec![],
        }
    }

    #[test]
    fn rows_are_added_in_order_and_say_another_commit() {
        let context = Context::example();
        let row = |index: usize, tried| {
            let outcome = Outcome { tried, survived: tried, figure: "f".into(), ..Outcome::default() };
            Row::new(CHECKS[index], Ok(outcome))
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        let json = report::json(&[row(0, 5), row(2, 6)], &machine("abc"), &context).to_string();
        std::fs::write(&path, json).unwrap();

        let all = add(&path, vec![row(3, 8), row(2, 7)], &machine("abc"), &context).unwrap();
        let found: Vec<_> = all.iter().map(|row| (row.check.name, row.outcome.tried)).collect();
        let name = |index: usize| CHECKS[index].name;
        assert_eq!(found, [(name(0), 5), (name(2), 7), (name(3), 8)]);
        assert!(all.iter().all(|row| row.outcome.passed()));
        assert!(all.iter().all(|row| row.outcome.figure == "f"));
        let other = add(&path, vec![row(2, 7)], &machine("def"), &context).unwrap();
        let figures: Vec<_> = other.iter().map(|row| row.outcome.figure.as_str()).collect();
        assert_eq!(figures, ["f (at commit abc, x)", "f"]);
        let untried = |index: usize| Row::new(CHECKS[index], Err(NotTried("no ip".into()).into()));
        let all = add(&path, vec![untried(2)], &machine("abc"), &context).unwrap();
        assert!(all.len() == 2 && all.iter().all(|row| row.outcome.passed() && !row.not_tried));
        std::fs::write(&path, report::json(&[untried(3)], &machine("abc"), &context).to_string()).unwrap();
        let all = add(&path, vec![], &machine("abc"), &context).unwrap();
        assert!(all.len() == 1 && all[0].not_tried && !all[0].failed());
        let quick = Context { full: false, ..context };
        let refused = add(&path, vec![], &machine("abc"), &quick).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("expected full false, found true"), "{refused}");
    }
}
