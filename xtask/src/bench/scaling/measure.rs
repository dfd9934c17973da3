//! Times the points in turns, each in a separate process.

use anyhow::Context;
use serde_json::{Value, json};

use super::plan::Point;
use crate::bench::rounds::median;

/// Points that need more memory are skipped: the smallest machine for this has 24 GiB and other work to do.
const MOST_MIB: f64 = 8192.0;

/// The answers of a point, round by round.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) point: Point,
    pub(super) said: Vec<Value>,
}

impl Measured {
    fn numbers(&self, key: &str) -> Vec<f64> {
        self.said.iter().map(|said| said[key].as_f64().unwrap_or(f64::NAN)).collect()
    }

    /// Seconds per step: the median of the rounds' medians.
    pub(super) fn seconds(&self) -> f64 {
        median(&self.numbers("median_s"))
    }

    /// The smallest and the largest of the rounds.
    pub(super) fn spread(&self) -> [f64; 2] {
        let numbers = self.numbers("median_s");
        let ends = |[low, high]: [f64; 2], s: f64| [low.min(s), high.max(s)];
        numbers.into_iter().fold([f64::INFINITY, f64::NEG_INFINITY], ends)
    }

    /// Peak memory of the whole process.
    pub(super) fn peak_mib(&self) -> f64 {
        median(&self.numbers("peak_mib"))
    }

    /// Operations of a step, including the attention's products.
    pub(super) fn gflop(&self) -> f64 {
        median(&self.numbers("gflop")) + median(&self.numbers("attention_gflop"))
    }

    pub(super) fn gflop_per_s(&self) -> f64 {
        self.gflop() / self.seconds()
    }
}

/// Runs all points in rounds, small ones first in the first round, last in the second; `start` runs one. Points that
/// would take too much memory are skipped.
///
/// # Errors
/// When `start` fails.
pub(super) fn take_turns(
    points: &[Point],
    rounds: usize,
    start: &mut dyn FnMut(Point) -> anyhow::Result<Value>,
) -> anyhow::Result<Vec<Measured>> {
    let mut all: Vec<Measured> = Vec::new();
    for &point in points {
        if most_mib(&all, point) <= MOST_MIB {
            all.push(Measured { point, said: vec![start(point)?] });
        }
    }
    for round in 1..rounds {
        let mut order: Vec<&mut Measured> = all.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for measured in order {
            measured.said.push(start(measured.point)?);
        }
    }
    Ok(all)
}

/// An upper bound on the memory of a point, from smaller ones: a process grows no faster than its feature maps. 0 if
/// there is no smaller point.
fn most_mib(smaller: &[Measured], point: Point) -> f64 {
    let fits = |p: Point| p.batch <= point.batch && p.side <= point.side && p.width <= point.width;
    let known = smaller.iter().filter(|measured| fits(measured.point));
    known
        .map(|measured| measured.peak_mib() * point.size() / measured.point.size())
        .min_by(f64::total_cmp)
        .unwrap_or(0.0)
}

/// As JSON, to make the page again.
pub(super) fn to_json(all: &[Measured]) -> Value {
    let one = |Measured { point, said }: &Measured| json!({ "batch": point.batch, "side": point.side, "width": point.width, "rounds": said });
    all.iter().map(one).collect()
}

/// Reads it back.
///
/// # Errors
/// Anything that [`to_json`] does not produce.
pub(super) fn from_json(value: &Value) -> anyhow::Result<Vec<Measured>> {
    let one = |value: &Value| {
        let number = |key: &str| {
            let number = value[key].as_u64().and_then(|number| u32::try_from(number).ok());
            number.with_context(|| format!("no {key} in {value}"))
        };
        let point = Point { batch: number("batch")?, side: number("side")?, width: number("width")? };
        let said = value["rounds"].as_array().filter(|rounds| !rounds.is_empty());
        Ok(Measured { point, said: said.with_context(|| format!("no rounds in {value}"))?.clone() })
    };
    value.as_array().context("no points")?.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scaling::plan::{Axis, CENTRE, points};

    fn said(seconds: f64, peak_mib: f64) -> Value {
        json!({ "median_s": seconds, "peak_mib": peak_mib, "gflop": 8.0, "attention_gflop": 2.0 })
    }

    #[test]
    fn every_point_has_its_turn_in_every_round() {
        let (points, mut order) = (points(true), Vec::new());
        let all = take_turns(&points, 3, &mut |point| {
            order.push(point);
            Ok(said(order.len() as f64, 100.0))
        })
        .unwrap();
        let n = points.len();
        assert_eq!((&order[..n], &order[2 * n..]), (&points[..], &points[..]));
        assert!(order[n..2 * n].iter().eq(points.iter().rev()));
        // First, last of the second round, first of the third.
        assert_eq!((all[0].seconds(), all[0].spread()), (2.0 * n as f64, [1.0, 2.0 * n as f64 + 1.0]));
        assert_eq!((all[0].gflop(), all[0].peak_mib()), (10.0, 100.0));
        assert_eq!(from_json(&to_json(&all)).unwrap(), all);
    }

    /// 1 GiB at a side of 32 may become 16 at 128, unless a larger point has shown less.
    #[test]
    fn what_would_take_too_much_is_left_out() {
        let sides = [32, 64, 128].map(|side| Axis::Side.point(side));
        let run = |of_64: f64| {
            let mib = |point: Point| if point == CENTRE { 1000.0 } else { of_64 };
            let all = take_turns(&sides, 2, &mut |point| Ok(said(1.0, mib(point)))).unwrap();
            all.len()
        };
        assert_eq!((run(2000.0), run(3000.0)), (3, 2));
        let error = take_turns(&sides, 1, &mut |_| anyhow::bail!("it fell over")).unwrap_err();
        assert_eq!(error.to_string(), "it fell over");
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        for text in ["{}", "[{}]", r#"[{"batch": 1, "side": 32, "width": 32, "rounds": []}]"#] {
            assert!(from_json(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }
}
