//! Numbers as the pages show them.

use std::fmt::Display;

/// A whole number: `1,234,567`.
pub(in crate::commands) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of any size with four significant digits.
pub(in crate::commands) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1e-3..1e6 => {
            let decimals = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
            let text = format!("{value:.decimals$}");
            // Drop trailing zeros: 0.5000 becomes 0.5.
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
        _ => format!("{value:.2e}"),
    }
}

/// The same, in the notation of equations: `4.04 · 10^{−5}`.
pub(in crate::commands) fn in_equation(value: f64) -> String {
    let text = short(value);
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{digits} · 10^{{{}}}", exponent.replace('-', "−")),
        None => text.replace('-', "−"),
    }
}

/// A count of operations with its unit: `1.50 PFLOP`.
pub(in crate::commands) fn flop(operations: f64) -> String {
    let units = [("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)];
    let fitting = units.iter().find(|(_, size)| operations >= *size).unwrap_or(&("MFLOP", 1e6));
    format!("{:.2} {}", operations / fitting.1, fitting.0)
}

/// A time span: `42 s`, `7.7 min` or `3.2 h`.
pub(in crate::commands) fn duration(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 35_746_307].map(grouped), ["0", "999", "1,000", "35,746,307"]);
    }

    #[test]
    fn four_digits_count() {
        let shown = [0.0, 0.5, 12.345_67, 999.96, 123_456.7, -0.012_345, 4.0358e-5, 1e9, f64::INFINITY];
        let expected = ["0", "0.5", "12.35", "1000", "123457", "-0.01235", "4.04e-5", "1.00e9", "inf"];
        assert_eq!(shown.map(short), expected);
        assert_eq!(in_equation(4.0358e-5), "4.04 · 10^{−5}");
        assert_eq!(in_equation(-0.25), "−0.25");
    }

    #[test]
    fn spans_and_operations_have_a_unit() {
        assert_eq!([0.0, 119.0, 462.0, 11_520.0].map(duration), ["0 s", "119 s", "7.7 min", "3.2 h"]);
        assert_eq!([5e5, 3.6e10, 1.5e15].map(flop), ["0.50 MFLOP", "36.00 GFLOP", "1.50 PFLOP"]);
    }
}
