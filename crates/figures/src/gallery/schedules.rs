//! Figure 1: what each noise schedule does to signal and noise (Ho et al. 2020, section 2, Eq. 2 and 4).

use crate::axis::Scale;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::HALF;
use crate::plot::{Mark, PALETTE, Panel};

/// One noise schedule.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleCurves<'a> {
    /// The name in the legend.
    pub name: &'a str,
    /// `beta_t`, `[T]`.
    pub betas: &'a [f64],
    /// `alpha_bar_t`, `[T]`, in `[0, 1]`.
    pub alpha_bars: &'a [f64],
}

/// A panel: heading, label and scale of the vertical axis, and its quantity from `(beta, alpha_bar)`.
type Quantity = (&'static str, &'static str, Scale, fn(f64, f64) -> f64);

const QUANTITIES: [Quantity; 6] = [
    ("Noise variance added by a step", "βₜ", Scale::Log, |beta, _| beta),
    ("Signal variance kept by a step", "αₜ", Scale::Linear, |beta, _| 1.0 - beta),
    ("Signal variance left after t steps", "ᾱₜ", Scale::Linear, |_, alpha_bar| alpha_bar),
    ("Factor of x₀", "√ᾱₜ", Scale::Linear, |_, alpha_bar| alpha_bar.max(0.0).sqrt()),
    ("Standard deviation of the noise", "√(1−ᾱₜ)", Scale::Linear, |_, alpha_bar| {
        (1.0 - alpha_bar).max(0.0).sqrt()
    }),
    ("Signal-to-noise ratio", "ᾱₜ/(1−ᾱₜ)", Scale::Log, |_, alpha_bar| {
        alpha_bar / (1.0 - alpha_bar)
    }),
];

/// Curves over t of `beta`, `alpha`, `alpha_bar`, `sqrt(alpha_bar)`, `sqrt(1 - alpha_bar)` and, on a logarithmic
/// axis, the signal-to-noise ratio; one colour per schedule. Schedules may differ in T.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when a schedule's arrays differ in length,
/// [`FiguresError::NotFinite`].
pub fn schedules(curves: &[ScheduleCurves<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the schedules", curves)?;
    for curve in curves {
        check::not_empty("the betas", curve.betas)?;
        check::length("alpha_bars", curve.betas.len(), curve.alpha_bars.len())?;
        check::finite(&format!("betas of {}", curve.name), curve.betas.iter().copied())?;
        check::finite(&format!("alpha_bars of {}", curve.name), curve.alpha_bars.iter().copied())?;
    }
    let words = Words {
        name: "01-schedules",
        title: "Noise schedules",
        caption: "Each curve is a schedule: the noise variance β that a step adds, and what follows from it. t counts from 0. \
                  The axis of α ends at the least α of the schedules that stay above 0.9."
            .into(),
        equation: "q(x_t | x_{t−1}) = N(x_t; √(1 − β_t) x_{t−1}, β_t I)\n\
                   α_t = 1 − β_t,  ᾱ_t = α_1 α_2 ⋯ α_t,  SNR(t) = ᾱ_t / (1 − ᾱ_t)",
        note: "Horizontal: timestep t, from 0 to T − 1. All quantities are dimensionless; pixels are in −1 to 1.",
    };
    let colours = || PALETTE.iter().copied().cycle();
    let legend =
        curves.iter().zip(colours()).map(|(curve, colour)| (curve.name.to_owned(), colour)).collect();
    let mut page = words.page().legend(legend);
    for row in QUANTITIES.chunks(2) {
        let panels: Result<_, _> = row
            .iter()
            .map(|&(heading, label, scale, quantity)| {
                let marks = curves.iter().zip(colours()).map(|(curve, colour)| {
                    let values = curve.betas.iter().zip(curve.alpha_bars);
                    // A ratio without noise or without signal has no place on a logarithmic axis.
                    let points = values.map(|(&beta, &alpha_bar)| quantity(beta, alpha_bar)).enumerate();
                    let finite = points.filter(|(_, value)| value.is_finite());
                    Mark::line(finite.map(|(t, value)| (t as f64, value)), colour)
                });
                Panel {
                    heading: heading.into(),
                    x_label: "t".into(),
                    y_label: label.into(),
                    y_scale: scale,
                    y_range: (label == "αₜ").then(|| (lowest_alpha(curves), 1.0)),
                    marks: marks.collect(),
                    ..Panel::default()
                }
                .draw(HALF.0, HALF.1)
            })
            .collect();
        page = page.row(panels?);
    }
    let picture = page.draw()?;
    words.figure(&picture)
}

/// The lower end of the axis of alpha: the smallest of the schedules that stay above 0.9, if any does.
/// The cosine schedule falls to zero in its last steps, and an axis down to zero would press all other
/// curves into one line.
fn lowest_alpha(curves: &[ScheduleCurves<'_>]) -> f64 {
    let smallest =
        |curve: &ScheduleCurves<'_>| curve.betas.iter().fold(1.0, |low: f64, beta| low.min(1.0 - beta));
    let gentle = curves.iter().map(smallest).filter(|&low| low > 0.9).reduce(f64::min);
    gentle.or(curves.iter().map(smallest).reduce(f64::min)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{ScheduleCurves, lowest_alpha, schedules};
    use crate::error::FiguresError;

    #[test]
    fn one_steep_schedule_does_not_hide_the_others() {
        let curve = |betas| ScheduleCurves { name: "", betas, alpha_bars: &[] };
        let (gentle, steep) = (curve(&[0.01, 0.02]), curve(&[0.01, 0.999]));
        assert!((lowest_alpha(&[gentle, steep]) - 0.98).abs() < 1e-12);
        assert!((lowest_alpha(&[steep]) - 0.001).abs() < 1e-12);
    }

    #[test]
    fn draws_and_refuses() {
        let betas = [0.1, 0.2, 1.0];
        let alpha_bars = [0.9, 0.72, 0.0];
        let curve = ScheduleCurves { name: "to the end", betas: &betas, alpha_bars: &alpha_bars };
        let figure = schedules(&[curve]).unwrap();
        assert_eq!(figure, schedules(&[curve]).unwrap());
        let other = ScheduleCurves { name: "other", ..curve };
        assert_ne!(figure.png, schedules(&[other]).unwrap().png);

        assert!(matches!(schedules(&[]), Err(FiguresError::Empty { .. })));
        let short = ScheduleCurves { alpha_bars: &alpha_bars[..2], ..curve };
        assert!(matches!(schedules(&[short]), Err(FiguresError::Mismatch { expected: 3, got: 2, .. })));
        let broken = ScheduleCurves { betas: &[0.1, f64::NAN, 1.0], ..curve };
        assert!(matches!(schedules(&[broken]), Err(FiguresError::NotFinite { index: 1, .. })));
    }
}
