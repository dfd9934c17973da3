//! The table: for a terminal, as Markdown for publication, as JSON.

use serde_json::{Value, json};

use crate::context::Context;
use crate::machine::Machine;
use crate::outcome::Row;

const HEAD: [&str; 5] = ["goal", "tried", "survived", "figure", "result"];

fn cells(row: &Row) -> [String; 5] {
    let outcome = &row.outcome;
    [
        row.check.goal.to_owned(),
        outcome.tried.to_string(),
        outcome.survived.to_string(),
        outcome.figure.clone(),
        row.result().to_owned(),
    ]
}

/// As aligned columns.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(ToOwned::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for [goal, tried, survived, figure, result] in &lines {
        let [goal_width, tried_width, survived_width, figure_width, _] = widths;
        text += &format!(
            "{goal:goal_width$}  {tried:>tried_width$}  {survived:>survived_width$}  {figure:figure_width$}  {result}\n"
        );
    }
    let failed = rows.iter().filter(|row| row.failed()).count();
    let not_tried = rows.iter().filter(|row| row.not_tried).count();
    text += &format!("{} ok, {failed} failed", rows.len() - failed - not_tried);
    if not_tried > 0 {
        text += &format!(", {not_tried} not tried");
    }
    text + "\n"
}

/// As Markdown for publication.
pub(crate) fn markdown(rows: &[Row], machine: &Machine, context: &Context) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mode = if context.full { "--full" } else { "--quick" };
    let mut text = format!(
        "# What the program survives\n\nWritten by `cargo xtask reliability {mode} --seed {}` on {}, at commit {}, with {}: \
         {} cores of {}, {}.\n\n",
        context.seed,
        machine.date,
        machine.commit,
        machine.versions.join(", "),
        machine.cores,
        machine.cpu,
        machine.kernel,
    );
    text += &line(&HEAD.map(ToOwned::to_owned));
    text += "|---|---:|---:|---|---|\n";
    for row in rows {
        text += &line(&cells(row).map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
    }
    text += "\n## What each row means\n";
    for row in rows {
        text += &format!("- **{}** (`--only {}`): {}\n", row.check.goal, row.check.name, row.check.meaning);
    }
    let complaints: Vec<String> = rows.iter().flat_map(complaints).collect();
    if !complaints.is_empty() {
        text += &format!("\n## What failed\n{}", complaints.concat());
    }
    text
}

fn complaints(row: &Row) -> Vec<String> {
    let shown = row.outcome.complaints.iter().take(10);
    shown.map(|complaint| format!("- `{}`: {}\n", row.check.name, complaint.replace('\n', " "))).collect()
}

/// As JSON for programs.
pub(crate) fn json(rows: &[Row], machine: &Machine, context: &Context) -> Value {
    let row = |row: &Row| {
        json!({
            "name": row.check.name, "goal": row.check.goal, "tried": row.outcome.tried,
            "survived": row.outcome.survived, "figure": row.outcome.figure, "ok": row.outcome.passed(),
            "not_tried": row.not_tried, "complaints": row.outcome.complaints,
        })
    };
    json!({
        "full": context.full, "seed": context.seed, "machine": machine.json(),
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Check, NotTried, Outcome};

    static CHECK: Check =
        Check { name: "x", goal: "a | b", meaning: "All of it.", run: |_| Ok(Outcome::default()) };

    fn rows() -> Vec<Row> {
        let good = Outcome { tried: 3, survived: 3, figure: "0 lost".into(), ..Outcome::default() };
        let bad = Outcome { complaints: vec!["two\nlines".into()], ..good.clone() };
        vec![Row::new(&CHECK, Ok(good)), Row::new(&CHECK, Ok(bad))]
    }

    #[test]
    fn the_table_is_aligned_and_counts() {
        let text = table(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "goal   tried  survived  figure  result");
        assert_eq!(lines[1], "a | b      3         3  0 lost  ok");
        assert_eq!(lines[2], "a | b      3         3  0 lost  FAILED");
        assert_eq!(lines[3], "1 ok, 1 failed");

        let mut rows = rows();
        rows.push(Row::new(&CHECK, Err(NotTried("no ip".into()).into())));
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "a | b      0         0  no ip   not tried");
        assert_eq!(lines[4], "1 ok, 1 failed, 1 not tried");
    }

    #[test]
    fn markdown_says_where_it_was_made_and_what_failed() {
        let machine = Machine {
            cores: 2,
            cpu: "a CPU".into(),
            kernel: "Linux 6".into(),
            date: "2026-11-25".into(),
            commit: "abc".into(),
            versions: vec!["ddpm 0.1.0".into()],
        };
        let context = Context::example();
        let text = markdown(&rows(), &machine, &context);
        for part in ["--full --seed 7", "2026-11-25", "a CPU", "| a \\| b | 3 |", "two lines", "All of it."] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("/p") && !text.contains("/w"), "{text}");
        assert_eq!(json(&rows(), &machine, &context)["rows"][1]["ok"], false);
    }
}
