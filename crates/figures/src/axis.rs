//! Ends and tick labels of an axis.

use std::sync::Arc;

use kuva::render::layout::TickFormat;
use kuva::render::render_utils::{compute_tick_step, generate_ticks};

/// How numbers are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scale {
    #[default]
    Linear,
    Log,
}

/// About how many ticks an axis has.
pub(crate) const TICKS: usize = 5;
/// Smallest number on a logarithmic axis; below it the plotting crate has no ticks.
const SMALLEST: f64 = 1e-10;
/// Decades a logarithmic axis spans at most, counted down from its largest number.
const DECADES: i32 = 12;

impl Scale {
    /// Whether a number has a place on such an axis.
    pub(crate) fn shows(self, value: f64) -> bool {
        match self {
            Self::Linear => true,
            Self::Log => value >= SMALLEST,
        }
    }
}

/// One axis: its scale and both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    pub(crate) scale: Scale,
    pub(crate) range: (f64, f64),
}

impl Axis {
    /// An axis around finite `values`, with `room` (a share of their span) beyond both ends, or exactly
    /// over `range` where one is given. An axis is never so short that its ticks coincide.
    pub(crate) fn new(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        range: Option<(f64, f64)>,
        room: f64,
    ) -> Self {
        let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (low, high) = range.unwrap_or_else(|| values.fold((f64::INFINITY, f64::NEG_INFINITY), ends));
        // An empty plot still has axes.
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let range = match scale {
            Scale::Log => log_ends(low, high),
            Scale::Linear => {
                let (low, high) = apart(low, high);
                let room = if range.is_some() { 0.0 } else { room * (high - low) };
                // Values that start at zero start the axis there.
                (if low == 0.0 { low } else { low - room }, high + room)
            }
        };
        Self { scale, range }
    }

    /// Tick labels: as many decimals as the ticks need, all alike; powers of ten on a logarithmic axis.
    pub(crate) fn ticks(&self) -> TickFormat {
        let (low, high) = self.range;
        match self.scale {
            Scale::Log => {
                // Beyond this many decades every other label is left out, so that none touch.
                let decades = (high / low).log10();
                let every = if decades > 8.5 { 2 } else { 1 };
                let plain = decades < 3.5;
                TickFormat::Custom(Arc::new(move |value| power(value, every, plain)))
            }
            Scale::Linear => {
                let largest = low.abs().max(high.abs());
                if !(1e-3..1e6).contains(&largest) {
                    return TickFormat::Custom(Arc::new(scientific));
                }
                let step = compute_tick_step(low, high, TICKS);
                let whole = |decimals: &usize| {
                    let scaled = step * 10_f64.powi(*decimals as i32);
                    (scaled - scaled.round()).abs() < 1e-6 * scaled
                };
                let decimals = (0..12).find(whole).unwrap_or(12);
                TickFormat::Custom(Arc::new(move |value| decimal(value, decimals)))
            }
        }
    }

    /// Positions of the ticks of a linear axis.
    pub(crate) fn positions(&self) -> Vec<f64> {
        generate_ticks(self.range.0, self.range.1, TICKS)
    }
}

/// Ends that are distinct enough for ticks between them.
fn apart(low: f64, high: f64) -> (f64, f64) {
    let least = 1e-6 * low.abs().max(high.abs()).max(1e-12);
    if high - low > least {
        return (low, high);
    }
    let middle = low / 2.0 + high / 2.0;
    let half = if middle == 0.0 { 1.0 } else { 0.1 * middle.abs() };
    (middle - half, middle + half)
}

/// Powers of ten around the values, or 1, 2, 5 times one where the axis is short.
fn log_ends(low: f64, high: f64) -> (f64, f64) {
    let high = high.max(SMALLEST * 10.0);
    let low = low.max(SMALLEST).min(high);
    let top = high.log10().ceil() as i32;
    let bottom = (low.log10().floor() as i32).clamp(top - DECADES, top - 1);
    let marks = |decade: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade));
    if top - bottom > 3 {
        return (10_f64.powi(bottom), 10_f64.powi(top));
    }
    let near = 1e-9;
    let start = marks(bottom).into_iter().rfind(|&mark| mark <= low * (1.0 + near));
    let end = marks(top - 1).into_iter().find(|&mark| mark >= high * (1.0 - near));
    let (start, end) = (start.unwrap_or(10_f64.powi(bottom)), end.unwrap_or(10_f64.powi(top)));
    if end > 1.5 * start { (start, end) } else { (10_f64.powi(bottom), 10_f64.powi(top)) }
}

fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    // No "-0.00".
    if text.parse() == Ok(0.0) { format!("{:.decimals$}", 0.0) } else { text.replace('-', "−") }
}

fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{value:.2e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.').replace('-', "−");
    format!("{mantissa}×10{}", superscript(exponent))
}

/// A tick of a logarithmic axis: each `every`-th power of ten, and numbers between where they fit.
fn power(value: f64, every: i32, plain: bool) -> String {
    let exponent = value.log10();
    let whole = exponent.round() as i32;
    if plain && (0.009..11_000.0).contains(&value) {
        let decimals = (-exponent.floor()).max(0.0) as usize;
        return format!("{value:.decimals$}");
    }
    if (exponent - exponent.round()).abs() > 1e-6 {
        return scientific(value);
    }
    match whole {
        _ if whole % every != 0 => String::new(),
        0 => "1".to_owned(),
        1 => "10".to_owned(),
        exponent => format!("10{}", superscript(&exponent.to_string())),
    }
}

fn superscript(digits: &str) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |letter: char| match letter.to_digit(10) {
        Some(digit) => RAISED[digit as usize],
        None => '⁻',
    };
    digits.chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::{Axis, Scale, power, scientific};
    use proptest::prelude::*;

    fn axis(scale: Scale, values: &[f64]) -> Axis {
        Axis::new(scale, values.iter().copied(), None, 0.05)
    }

    #[test]
    fn ends() {
        assert_eq!(axis(Scale::Linear, &[0.0, 2.0]).range, (0.0, 2.1));
        assert_eq!(axis(Scale::Linear, &[]).range, (0.0, 1.05));
        assert_eq!(axis(Scale::Linear, &[5.0]).range, (4.45, 5.55));
        assert_eq!(axis(Scale::Log, &[0.02, 300.0]).range, (0.01, 1000.0));
        assert_eq!(axis(Scale::Log, &[0.025, 1.4]).range, (0.02, 2.0));
        assert_eq!(axis(Scale::Log, &[0.3]).range, (0.2, 0.5));
        assert_eq!(axis(Scale::Log, &[0.2]).range, (0.1, 1.0));
        assert_eq!(axis(Scale::Log, &[1e-300, 1.0]).range, (1e-10, 1.0));
        let given = Axis::new(Scale::Linear, [9.0].into_iter(), Some((-4.0, 4.0)), 0.05);
        assert_eq!(given.range, (-4.0, 4.0));
    }

    #[test]
    fn tick_labels() {
        let labels = |axis: Axis, values: &[f64]| -> Vec<String> {
            values.iter().map(|&value| axis.ticks().format(value)).collect()
        };
        let linear = |low, high| Axis { scale: Scale::Linear, range: (low, high) };
        assert_eq!(labels(linear(0.0, 0.02), &[0.0, 0.005, 0.01]), ["0.000", "0.005", "0.010"]);
        assert_eq!(labels(linear(-1.0, 1.0), &[-0.5, -1e-17]), ["−0.5", "0.0"]);
        assert_eq!(labels(linear(0.0, 1000.0), &[200.0]), ["200"]);
        assert_eq!(labels(linear(0.0, 5e-4), &[2e-4]), ["2×10⁻⁴"]);
        assert_eq!(labels(linear(0.0, 1.3), &[0.25, 0.5]), ["0.25", "0.50"]);
        assert_eq!([1e-5, 1.0, 10.0, 1e4].map(|value| power(value, 1, false)), ["10⁻⁵", "1", "10", "10⁴"]);
        assert_eq!([1e-5, 1e-4].map(|value| power(value, 2, false)), ["", "10⁻⁴"]);
        assert_eq!(
            [0.1, 0.05, 200.0, 2e-5].map(|value| power(value, 1, true)),
            ["0.1", "0.05", "200", "2×10⁻⁵"]
        );
        assert_eq!([0.0, -2.5e7].map(scientific), ["0", "−2.5×10⁷"]);
    }

    proptest! {
        #[test]
        fn every_axis_has_length(a in -1e29..1e29_f64, b in -1e29..1e29_f64, log: bool) {
            let axis = axis(if log { Scale::Log } else { Scale::Linear }, &[a, b]);
            let (low, high) = axis.range;
            prop_assert!(low.is_finite() && high.is_finite());
            prop_assert!(high - low > 1e-7 * low.abs().max(high.abs()));
        }
    }
}
