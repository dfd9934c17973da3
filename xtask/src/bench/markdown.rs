//! Numbers and tables of the pages.

/// Three significant digits, without an exponent.
pub(super) fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let decimals = (2 - x.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{x:.decimals$}")
}

/// A table with a header.
pub(super) fn table<R: IntoIterator<Item = Vec<String>>>(header: &[&str], rows: R) -> String {
    let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}", "---|".repeat(header.len()));
    let lines = [row(&header), rule].into_iter().chain(rows.into_iter().map(|cells| row(&cells)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        assert_eq!(
            [1234.5, 12.34, 0.001_234_5, -5.0, 0.0].map(short),
            ["1234", "12.3", "0.00123", "-5.00", "0"]
        );
    }

    #[test]
    fn a_table_has_a_rule_below_its_header() {
        let rows = [vec!["1".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["a", "b"], rows), "| a | b |\n|---|---|\n| 1 | 2 |");
    }
}
