//! The results of a study as a table, in Markdown and for the terminal.

use super::lines::Line;

/// The heading of the training times. Nothing here knows what else a machine ran meanwhile.
const SECONDS: &str = "wall seconds, shared machine";

/// A header and cells.
pub(super) fn table(lines: &[Line<'_>]) -> Vec<Vec<String>> {
    let mut others: Vec<&str> = Vec::new();
    for (id, _) in lines.iter().flat_map(|line| &line.others) {
        if !others.contains(&id.as_str()) {
            others.push(id);
        }
    }
    let seeds = lines.iter().any(|line| line.seeds.len() > 1);
    let metric = lines.first().map(|line| line.title().to_owned()).unwrap_or_default();
    let mut head = vec!["training", "weights", "sampling", &metric, "95 % interval"];
    head.extend(seeds.then_some("spread (seeds)"));
    head.extend(others.iter().copied());
    head.extend(["steps", SECONDS, "differs from base"]);
    let head = head.into_iter().map(str::to_owned).collect();
    let row = |line: &Line<'_>| {
        let interval = |(low, high)| format!("{} to {}", short(low), short(high));
        let mut cells = vec![
            line.row.name.clone(),
            line.average.to_string(),
            line.sampling.to_string(),
            short(line.value()),
            line.interval().map_or_else(|| "-".to_owned(), interval),
        ];
        let spread = line.spread().map(|spread| format!("{} ({})", short(spread), line.seeds.len()));
        cells.extend(seeds.then(|| spread.unwrap_or_default()));
        cells.extend(others.iter().map(|id| {
            let value = line.others.iter().find(|(other, _)| other == id);
            value.map_or_else(|| "-".to_owned(), |(_, value)| short(*value))
        }));
        cells.push(line.steps.map_or_else(|| "-".to_owned(), |steps| steps.to_string()));
        cells.push(line.seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}")));
        cells.push(line.row.own.text());
        cells
    };
    std::iter::once(head).chain(lines.iter().map(row)).collect()
}

pub(super) fn as_markdown(rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        format!("| {} |", cells.join(" | "))
    };
    let columns = rows.first().map_or(0, Vec::len);
    let rule = format!("|{}", "---|".repeat(columns));
    let mut lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
    lines.insert(1.min(lines.len()), rule);
    lines.join("\n")
}

/// Columns separated by two spaces.
pub(super) fn as_text(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Escapes text that would end a cell.
pub(super) fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Four significant digits, without an exponent.
fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let decimals = (3 - x.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{x:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (x, want) in
            [(123.456, "123.5"), (12.3456, "12.35"), (0.012_345_6, "0.01235"), (12_345.6, "12346")]
        {
            assert_eq!(short(x), want);
        }
    }
}
