//! Laws: time and memory of a step against batch size, image side and width, each with a held-out point.

use anyhow::Context;
use serde_json::{Value, json};

use super::measure::Measured;
use super::plan::{Axis, CENTRE};
use crate::bench::fit::{Power, Quality, Sum, quality};
use crate::bench::markdown::short;

/// The quantity of a law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Time,
    Memory,
}

impl Quantity {
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Time => "ms",
            Self::Memory => "MiB",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Time => 't',
            Self::Memory => 'm',
        }
    }

    fn of(self, measured: &Measured) -> f64 {
        match self {
            Self::Time => 1e3 * measured.seconds(),
            Self::Memory => measured.peak_mib(),
        }
    }
}

/// The form of a law.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A sum of powers, all fitted.
    Sum(Sum),
    /// `offset + factor x^exponent`, the offset not fitted here.
    Power { offset: f64, power: Power },
}

impl Shape {
    pub(super) fn at(&self, x: f64) -> f64 {
        match self {
            Self::Sum(sum) => sum.at(x),
            Self::Power { offset, power } => offset + power.at(x),
        }
    }
}

/// A law and its points, as `(value of the axis, ms or MiB)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Law {
    pub(super) axis: Axis,
    pub(super) quantity: Quantity,
    pub(super) shape: Shape,
    pub(super) fitted: Vec<(f64, f64)>,
    /// Small points outside the law's range.
    pub(super) left_out: Vec<(f64, f64)>,
    /// The largest point, held out to test the law's prediction.
    pub(super) held_out: (f64, f64),
    /// On the points it was fitted to.
    pub(super) quality: Quality,
}

/// The laws of time, then of memory, each against batch, side and width; time against width has a power and a sum.
///
/// # Errors
/// Too few points, or a point without numbers.
pub(super) fn laws(all: &[Measured]) -> anyhow::Result<Vec<Law>> {
    let everywhere = |_: (f64, f64)| true;
    let sum = |axis, quantity, powers: &[i32], holds: &dyn Fn((f64, f64)) -> bool| {
        let fit = |points: &[(f64, f64)]| Some(Shape::Sum(Sum::fit(points, powers)?));
        law(all, axis, quantity, holds, (&fit, powers.len()))
    };
    let batch = sum(Axis::Batch, Quantity::Time, &[0, 1], &everywhere)?;
    // The cost of a step without images. It does not depend on the side, but does depend on the width.
    let overhead = batch.shape.at(0.0).max(0.0);
    let power = |axis, offset: f64, holds: &dyn Fn((f64, f64)) -> bool| {
        let fit = |points: &[(f64, f64)]| {
            let points: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x, y - offset)).collect();
            Power::fit(&points).map(|power| Shape::Power { offset, power })
        };
        law(all, axis, Quantity::Time, holds, (&fit, 2))
    };
    let side = power(Axis::Side, overhead, &|(_, ms)| ms >= 2.0 * overhead)?;
    let is_wide = |(width, _): (f64, f64)| width >= f64::from(CENTRE.width);
    let width = power(Axis::Width, 0.0, &is_wide)?;
    // Elementwise work grows with w, multiplications and the optimiser with w^2.
    let of_parts = sum(Axis::Width, Quantity::Time, &[1, 2], &is_wide)?;
    let memory = |axis, powers: &[i32]| sum(axis, Quantity::Memory, powers, &everywhere);
    // Feature maps grow with n, s^2 and w; weights, gradients, moments and EMA with w^2.
    let of_memory =
        [memory(Axis::Batch, &[0, 1])?, memory(Axis::Side, &[0, 2])?, memory(Axis::Width, &[0, 1, 2])?];
    Ok([batch, side, width, of_parts].into_iter().chain(of_memory).collect())
}

/// Fits the law to points.
type Fit<'a> = &'a dyn Fn(&[(f64, f64)]) -> Option<Shape>;

/// Fits one law with this many parameters: holds out the largest point, then drops those outside its range.
fn law(
    all: &[Measured],
    axis: Axis,
    quantity: Quantity,
    holds: &dyn Fn((f64, f64)) -> bool,
    (fit, numbers): (Fit<'_>, usize),
) -> anyhow::Result<Law> {
    let place = |measured: &Measured| Some((f64::from(axis.value(measured.point)?), quantity.of(measured)));
    let mut points: Vec<(f64, f64)> = all.iter().filter_map(place).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let what = || format!("{} against {}: too few points for a law", quantity.unit(), axis.name());
    let held_out = points.pop().with_context(what)?;
    // As many points as parameters would fit exactly, so one more is kept even if it is small.
    let most = points.len().checked_sub(numbers + 1).with_context(what)?;
    let small = points.iter().take(most).take_while(|&&point| !holds(point)).count();
    let fitted = points.split_off(small);
    let left_out = points;
    let shape = fit(&fitted).with_context(what)?;
    let quality = quality(&fitted, |x| shape.at(x));
    Ok(Law { axis, quantity, shape, fitted, left_out, held_out, quality })
}

impl Law {
    /// The law's prediction for the held-out point.
    pub(super) fn predicted(&self) -> f64 {
        self.shape.at(self.held_out.0)
    }

    /// The relative error of the prediction.
    pub(super) fn error(&self) -> f64 {
        self.predicted() / self.held_out.1 - 1.0
    }

    /// `t = 12.3 + 5.41 n`, in the unit of the quantity.
    pub(super) fn formula(&self) -> String {
        let (left, x) = (self.quantity.letter(), self.axis.letter());
        match &self.shape {
            Shape::Sum(sum) => {
                let mut right = String::new();
                for (index, (c, power)) in sum.terms.iter().enumerate() {
                    right += match (index, *c < 0.0) {
                        (0, true) => "-",
                        (0, false) => "",
                        (_, true) => " - ",
                        (_, false) => " + ",
                    };
                    right += &short(c.abs());
                    right += &match power {
                        0 => String::new(),
                        1 => format!(" {x}"),
                        power => format!(" {x}^{power}"),
                    };
                }
                format!("{left} = {right}")
            }
            Shape::Power { offset, power: Power { factor, exponent } } => {
                let offset = if *offset == 0.0 { String::new() } else { format!("{} + ", short(*offset)) };
                format!("{left} = {offset}{} {x}^{exponent:.2}", short(*factor))
            }
        }
    }

    /// Whether it has a panel: of the two laws of time against width only the sum, whose exponent may grow.
    pub(super) fn is_drawn(&self) -> bool {
        let is_power = matches!(self.shape, Shape::Power { .. });
        !(self.axis == Axis::Width && is_power)
    }

    /// A panel of the picture, as input for `ddpm draw-scaling`.
    pub(super) fn panel(&self) -> Value {
        const POINTS: u32 = 60;
        let fitted: Vec<(f64, f64)> = self.left_out.iter().chain(&self.fitted).copied().collect();
        let first = fitted.first().map_or(self.held_out.0, |point| point.0);
        let x = |i: u32| first * (self.held_out.0 / first).powf(f64::from(i) / f64::from(POINTS));
        let law: Vec<(f64, f64)> =
            (0..=POINTS).map(x).map(|x| (x, self.shape.at(x))).filter(|point| point.1 > 0.0).collect();
        let what = match self.quantity {
            Quantity::Time => "a step",
            Quantity::Memory => "peak memory",
        };
        json!({
            "heading": self.formula(), "x_label": self.axis.name(),
            "y_label": format!("{what}, {}", self.quantity.unit()),
            "fitted": fitted, "held_out": [self.held_out], "law": law,
        })
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "against": self.axis.name(), "unit": self.quantity.unit(), "law": self.formula(),
            "fitted": self.fitted, "left_out": self.left_out, "r_squared": self.quality.r_squared,
            "largest_error": self.quality.worst, "held_out": self.held_out,
            "predicted": self.predicted(), "error": self.error(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scaling::plan::{Point, points};

    /// A machine that obeys all laws exactly: a step has a fixed cost, and a cost per image.
    fn machine(cost: impl Fn(Point) -> (f64, f64)) -> Vec<Measured> {
        let measured = |point| {
            let (ms, mib) = cost(point);
            Measured { point, said: vec![json!({ "median_s": ms / 1e3, "peak_mib": mib })] }
        };
        points(false).into_iter().map(measured).collect()
    }

    fn ideal(Point { batch, side, width }: Point) -> (f64, f64) {
        let (n, s, w) = (f64::from(batch), f64::from(side) / 32.0, f64::from(width) / 32.0);
        // The fixed cost belongs to the centre's network; widths follow a power law only without it.
        let fixed = if width == CENTRE.width { 6.0 } else { 0.0 };
        let of_image = if width == CENTRE.width { 5.0 } else { 5.375 };
        (fixed + of_image * n * s.powf(1.9) * w.powf(1.5), 84.0 + 8.0 * n * s.powi(2) * w + 16.0 * w * w)
    }

    #[test]
    fn exact_costs_are_found_and_predicted() {
        let laws = laws(&machine(ideal)).unwrap();
        for law in laws.iter().enumerate().filter(|(index, _)| *index != 3).map(|(_, law)| law) {
            assert!(law.error().abs() < 1e-9 && law.quality.worst < 1e-9, "{law:?}");
        }
        let parts = |point: Point| {
            let w = f64::from(point.width);
            if Axis::Width.value(point).is_some() {
                (2.0 * w + 0.125 * w * w, ideal(point).1)
            } else {
                ideal(point)
            }
        };
        let of_parts = &super::laws(&machine(parts)).unwrap()[3];
        assert!(of_parts.error().abs() < 1e-9 && of_parts.quality.worst < 1e-9, "{of_parts:?}");
        assert_eq!(of_parts.formula(), "t = 2.00 w + 0.125 w^2");
        assert_eq!(laws.iter().filter(|law| law.is_drawn()).count(), 6);
        assert_eq!(laws[0].formula(), "t = 6.00 + 5.00 n");
        let Shape::Power { offset, power } = &laws[1].shape else { panic!("{:?}", laws[1]) };
        assert!((offset - 6.0).abs() < 1e-9 && (power.exponent - 1.9).abs() < 1e-9, "{power:?}");
        assert!(laws[2].formula().ends_with(" w^1.50"), "{}", laws[2].formula());
        assert_eq!(laws[4].formula(), "m = 100 + 8.00 n");
        assert_eq!(laws[5].formula(), "m = 100 + 0.125 s^2");
        assert_eq!(laws[6].formula(), "m = 84.0 + 4.00 w + 0.0156 w^2");
    }

    /// Where the fixed cost dominates a step, the rest cannot be measured.
    #[test]
    fn points_that_say_little_are_left_out() {
        let laws = laws(&machine(ideal)).unwrap();
        // 6 + 80 x (8/32)^1.9 = 11.7 ms, less than twice the fixed cost.
        assert_eq!(laws[1].left_out.iter().map(|p| p.0).collect::<Vec<_>>(), [8.0]);
        assert_eq!(laws[2].left_out.iter().map(|p| p.0).collect::<Vec<_>>(), [16.0]);
        let held_out: Vec<f64> = laws.iter().map(|law| law.held_out.0).collect();
        assert_eq!(held_out, [128.0; 7]);
        assert!(laws.iter().all(|law| law.fitted.iter().all(|point| point.0 < 128.0)));
    }

    /// If the machine slows down at the held-out points, the prediction errors show it.
    #[test]
    fn a_prediction_can_fail() {
        let slow = |point: Point| {
            let (ms, mib) = ideal(point);
            let last = [point.batch, point.side, point.width].contains(&128);
            if last { (2.0 * ms, mib) } else { (ms, mib) }
        };
        let laws = laws(&machine(slow)).unwrap();
        assert!(laws[..3].iter().all(|law| (law.error() + 0.5).abs() < 0.02), "{laws:?}");
        assert!(laws[4..].iter().all(|law| law.error().abs() < 1e-9));
    }

    /// A slow start of every step, on a busy machine, must not leave a law without points.
    #[test]
    fn as_many_points_as_a_law_needs_are_kept() {
        let slow = |point: Point| (ideal(point).0 + 1e4, ideal(point).1);
        let laws = laws(&machine(slow)).unwrap();
        assert_eq!(laws[1].fitted.iter().map(|p| p.0).collect::<Vec<_>>(), [48.0, 64.0, 96.0]);
    }

    #[test]
    fn too_few_points_are_no_law() {
        let mut all = machine(ideal);
        all.retain(|measured| measured.point.side <= 32);
        let error = laws(&all).unwrap_err().to_string();
        assert_eq!(error, "ms against image side: too few points for a law");
    }

    #[test]
    fn a_panel_holds_every_point_and_a_line_through_all() {
        let law = &laws(&machine(ideal)).unwrap()[1];
        let panel = law.panel();
        assert_eq!(panel["fitted"].as_array().unwrap().len(), 6);
        let line = panel["law"].as_array().unwrap();
        let ends = [&line[0][0], &line[line.len() - 1][0]].map(|x| x.as_f64().unwrap());
        assert!((ends[0] - 8.0).abs() < 1e-9 && (ends[1] - 128.0).abs() < 1e-9, "{ends:?}");
        assert_eq!(law.json()["held_out"][0], 128.0);
    }
}
