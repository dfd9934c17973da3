//! The table as text, as Markdown and as JSON.

use serde_json::{Value, json};

use super::rows::{Measured, Row, Unit};

const COLUMNS: [&str; 7] = ["work", "against", "goal", "stretch", "measured", "rounds", ""];

/// For a terminal: columns separated by two spaces, with the numbers behind each ratio below its work.
pub(super) fn text(rows: &[Row]) -> String {
    let cells: Vec<[String; 7]> =
        std::iter::once(COLUMNS.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 7]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// As Markdown, with a head that says what was run, where and how often.
pub(super) fn markdown(rows: &[Row], head: &str) -> String {
    let row = |cells: [String; 7]| format!("| {} |\n", cells.join(" | "));
    let mut out = format!("{head}\n\n{}", row(COLUMNS.map(str::to_owned)));
    out += &row(COLUMNS.map(|_| "---".to_owned()));
    out.extend(rows.iter().map(|r| row(cells(r))));
    out
}

/// The rows, and every answer of every program.
pub(super) fn json(rows: &[Row], measured: &Measured, head: &Value) -> Value {
    let row = |row: &Row| {
        let number = row.measured.as_ref().ok();
        json!({
            "work": row.work, "against": row.against, "goal": row.goals.map(|goals| goals.0),
            "stretch": row.goals.map(|goals| goals.1), "measured": number.map(|number| number.0),
            "rounds": number.map(|number| number.1), "of": row.of, "verdict": row.verdict(),
            "left_out": row.measured.as_ref().err(),
        })
    };
    let said: Vec<Value> = measured
        .blocks
        .iter()
        .flat_map(|(block, said)| said.by.iter().map(move |(who, lines)| (block, who, lines)))
        .map(|(block, who, lines)| json!({ "block": block, "program": who.name(), "rounds": lines }))
        .collect();
    json!({ "run": head, "rows": rows.iter().map(row).collect::<Vec<_>>(), "said": said })
}

fn cells(row: &Row) -> [String; 7] {
    let show = |x: f64| number(row.unit, x);
    let (goal, stretch) = row.goals.map(|(goal, stretch)| (show(goal), show(stretch))).unwrap_or_default();
    let (measured, rounds) = match &row.measured {
        Ok((value, [low, high])) => {
            let behind = if row.of.is_empty() { String::new() } else { format!(" ({})", row.of) };
            (format!("{}{behind}", show(*value)), format!("{} to {}", show(*low), show(*high)))
        }
        Err(why) => (why.clone(), String::new()),
    };
    [row.work.clone(), row.against.clone(), goal, stretch, measured, rounds, row.verdict().to_owned()]
}

fn number(unit: Unit, x: f64) -> String {
    match unit {
        Unit::Times => format!("{x:.2}x"),
        Unit::Share => format!("{:.0} %", 100.0 * x),
        Unit::Memory => format!("{x:.2}"),
        Unit::Seconds => format!("{x:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = Row {
            work: "train step".into(),
            against: "diffusers f32".into(),
            unit: Unit::Times,
            goals: Some((2.0, 2.6)),
            measured: Ok((2.25, [1.9, 2.5])),
            of: "1100.0 and 500.0 ms".into(),
        };
        let missing = Row {
            work: "64 images".into(),
            unit: Unit::Seconds,
            goals: None,
            measured: Err("there is no trained run".into()),
            ..row.clone()
        };
        vec![row, missing]
    }

    #[test]
    fn text_and_markdown_say_the_same() {
        let text = text(&rows());
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("2.00x") && lines[1].contains("1.90x to 2.50x") && lines[1].ends_with("met")
        );
        assert!(lines[2].contains("there is no trained run") && lines[2].ends_with("left out"));
        let page = markdown(&rows(), "# Head");
        assert!(page.starts_with("# Head\n\n| work |"), "{page}");
        let want = "| train step | diffusers f32 | 2.00x | 2.60x | 2.25x (1100.0 and 500.0 ms) | 1.90x to 2.50x | met |";
        assert_eq!(page.lines().nth(4), Some(want));
        assert!(page.lines().skip(2).all(|line| line.matches('|').count() == 8), "{page}");
    }

    #[test]
    fn json_has_numbers_and_reasons() {
        let said = json(&rows(), &Measured::default(), &json!({ "rounds": 5 }));
        assert_eq!(
            (&said["rows"][0]["measured"], &said["rows"][0]["verdict"]),
            (&json!(2.25), &json!("met"))
        );
        assert_eq!(said["rows"][1]["left_out"], "there is no trained run");
        assert!(said["rows"][1]["measured"].is_null() && said["run"]["rounds"] == 5);
    }
}
