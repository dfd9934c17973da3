//! Plain-text tables, and the format of numbers in them.

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::screen;

/// Alignment of a cell in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Rows of cells. Columns are as wide as their widest cell, with two spaces between them.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    sides: Vec<Side>,
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    /// Lines are at most this long, if the last column is prose.
    width: Option<usize>,
}

impl Table {
    /// A table with a header. Columns whose name begins with `>` are right-aligned, as numbers are.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let side = |name: &&str| if name.starts_with('>') { Side::Right } else { Side::Left };
        let name = |name: &&str| name.trim_start_matches('>').to_owned();
        Self {
            sides: columns.iter().map(side).collect(),
            header: Some(columns.iter().map(name).collect()),
            rows: Vec::new(),
            width: None,
        }
    }

    /// Names and values, without a header.
    pub(crate) fn facts<N: Into<String>, V: Into<String>>(facts: impl IntoIterator<Item = (N, V)>) -> Self {
        Self {
            sides: vec![Side::Left; 2],
            header: None,
            rows: facts.into_iter().map(|(name, value)| vec![cell(name), cell(value)]).collect(),
            width: None,
        }
    }

    /// Adds a row; missing cells at its end stay empty.
    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// For a screen of this width: a last column of text continues below itself. Without a width lines stay whole.
    pub(crate) fn within(self, width: Option<usize>) -> Self {
        Self { width, ..self }
    }

    /// Header and rows as the lines of the screen.
    fn lines(&self) -> Vec<Vec<String>> {
        let lines: Vec<Vec<String>> = self.header.iter().chain(&self.rows).cloned().collect();
        let (Some(width), Some((Side::Left, others))) = (self.width, self.sides.split_last()) else {
            return lines;
        };
        // The other columns and the gaps behind them.
        let start: usize = widths(&lines, others.len()).iter().map(|width| width + 2).sum();
        let room = width.saturating_sub(start).max(NARROWEST);
        let broken = |mut line: Vec<String>| {
            let Some(last) = line.get_mut(others.len()) else { return vec![line] };
            let mut parts = screen::wrapped(last, room).into_iter();
            *last = parts.next().unwrap_or_default();
            let below = parts.map(|part| [vec![String::new(); others.len()], vec![part]].concat());
            [line].into_iter().chain(below).collect()
        };
        lines.into_iter().flat_map(broken).collect()
    }
}

/// Least width of a column of prose.
const NARROWEST: usize = 20;

/// The widest cell of each of the first columns.
fn widths(lines: &[Vec<String>], columns: usize) -> Vec<usize> {
    let width = |line: &Vec<String>, column: usize| line.get(column).map_or(0, |cell| cell.chars().count());
    (0..columns).map(|column| lines.iter().map(|line| width(line, column)).max().unwrap_or(0)).collect()
}

/// Most characters in a cell. Nobody reads more, and Rust pads to at most 65,535.
const MAX_CELL: usize = 1000;

/// Keeps a cell on one line, whatever it contains.
fn cell(text: impl Into<String>) -> String {
    let mut text = text.into();
    if let Some((end, _)) = text.char_indices().nth(MAX_CELL) {
        text.truncate(end);
        text.push_str(" ...");
    }
    match files::printable_line(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// No newline at the end, no trailing spaces.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let widths = widths(&lines, self.sides.len());
        for (index, line) in lines.iter().enumerate() {
            let mut text = String::new();
            for ((cell, width), side) in line.iter().zip(&widths).zip(&self.sides) {
                let gap = if text.is_empty() { "" } else { "  " };
                match side {
                    Side::Left => write!(text, "{gap}{cell:<width$}")?,
                    Side::Right => write!(text, "{gap}{cell:>width$}")?,
                }
            }
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// `35,746,307`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `35,746,307 images`.
pub(crate) fn numbered(number: usize, noun: &str) -> String {
    format!("{} {}", grouped(number), files::noun_of(number, noun))
}

/// `136.4 MiB`, `1.2 GiB` or `31.0 KiB`.
pub(crate) fn bytes(number: u64) -> String {
    const KIB: f64 = 1024.0;
    let number = number as f64;
    match number {
        _ if number >= KIB.powi(3) => format!("{:.1} GiB", number / KIB.powi(3)),
        _ if number >= KIB.powi(2) => format!("{:.1} MiB", number / KIB.powi(2)),
        _ if number >= KIB => format!("{:.1} KiB", number / KIB),
        _ => files::counted(number, "byte"),
    }
}

/// Five significant digits: plain if that is short, otherwise with an exponent.
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value == 0.0 || !value.is_finite() => format!("{value}"),
        _ if (1e-3..1e5).contains(&size) => {
            let whole_digits = size.log10().floor() as i32 + 1;
            format!("{value:.*}", usize::try_from(5 - whole_digits).unwrap_or(0).min(7))
        }
        _ => format!("{value:.4e}"),
    }
}

/// At most `count` of `0..len`, evenly spaced, including the first and the last: 0, 100, .. 900, 999 for 11 of 1000.
pub(crate) fn spread(len: usize, count: usize) -> Vec<usize> {
    if len <= count || count < 2 {
        return (0..len).collect();
    }
    (0..count).map(|i| (i * len / (count - 1)).min(len - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut table = Table::new(&["name", ">count", "note"]);
        table.row(["a", "5", "x"]);
        table.row(["longer", "12345", ""]);
        assert_eq!(table.to_string(), "name    count  note\na           5  x\nlonger  12345");
        let facts = Table::facts([("step", "10"), ("checkpoint", "a b")]);
        assert_eq!(facts.to_string(), "step        10\ncheckpoint  a b");
    }

    #[test]
    fn an_empty_first_cell_keeps_its_column() {
        let mut table = Table::new(&["", ">n"]);
        table.row(["total", "1"]);
        table.row(["", "22"]);
        assert_eq!(table.to_string(), "        n\ntotal   1\n       22");
    }

    #[test]
    fn prose_continues_below_itself() {
        let facts =
            [("note", "one two three four five"), ("a hash", "0123456789abcdef0123456789"), ("n", "")];
        let narrow = Table::facts(facts).within(Some(28)).to_string();
        let want = "note    one two three four\n        five\na hash  0123456789abcdef0123456789\nn";
        assert_eq!(narrow, want);
        assert_eq!(Table::facts(facts).within(None).to_string().lines().count(), 3);
        // Numbers are not prose, and a missing cell is no line.
        let mut numbers = Table::new(&["name", ">a number"]).within(Some(1));
        numbers.row(["x", "1 2"]);
        assert_eq!(numbers.to_string(), "name  a number\nx          1 2");
        let mut short = Table::new(&["name", "note"]).within(Some(1));
        short.row(["x"]);
        assert_eq!(short.to_string(), "name  note\nx");
    }

    #[test]
    fn a_cell_stays_on_its_line() {
        let facts = Table::facts([("data", "a\n\u{1b}[2Jb")]);
        assert_eq!(facts.to_string(), "data  a\\u000a\\u001b[2Jb");
    }

    /// Rust pads to 65,535 characters and panics beyond that.
    #[test]
    fn an_overlong_cell_is_cut() {
        let facts = Table::facts([("a", "é".repeat(100_000)), ("b", "short".to_owned())]).to_string();
        assert_eq!(facts.lines().next().map(|line| line.chars().count()), Some(3 + MAX_CELL + 4));
        assert!(facts.ends_with("b  short"));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 35_746_307].map(grouped), ["0", "999", "1,000", "35,746,307"]);
        assert_eq!(
            [12, 2048, 142_985_228, 5 << 30].map(bytes),
            ["12 bytes", "2.0 KiB", "136.4 MiB", "5.0 GiB"]
        );
        let shown =
            [0.0, 1e-4, 4.0358e-5, 0.002_092_1, 0.02, 0.999_9, 9999.0, -10.117_7, 1e7, f64::NEG_INFINITY]
                .map(significant);
        let want = [
            "0",
            "1.0000e-4",
            "4.0358e-5",
            "0.0020921",
            "0.020000",
            "0.99990",
            "9999.0",
            "-10.118",
            "1.0000e7",
            "-inf",
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn rows_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread(3, 11), [0, 1, 2]);
        assert_eq!(spread(1000, 11), [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 999]);
        assert_eq!(spread(12, 11), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
        assert_eq!(spread(0, 11), [0_usize; 0]);
    }
}
