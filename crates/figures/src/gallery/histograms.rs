//! Figure 4: the pixels become standard normal (Ho et al. 2020, section 2: `p(x_T) = N(0, I)`).

use std::f64::consts::TAU;

use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::HALF;
use crate::plot::{Mark, PALETTE, Panel, lighter};

/// The axis runs over `-REACH..REACH`; a standard normal number lies outside once in 15,000.
const REACH: f64 = 4.0;
const BINS: usize = 64;

/// Pixel values at one t.
#[derive(Debug, Clone, Copy)]
pub struct PixelValues<'a> {
    /// The timestep.
    pub t: usize,
    /// Values of all pixels of a few images, in model units (data in `[-1, 1]`).
    pub values: &'a [f32],
}

/// Histograms of pixel values, one panel per t, with the density of N(0, 1).
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::NotFinite`].
pub fn histograms(at: &[PixelValues<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the histograms", at)?;
    let words = Words {
        name: "04-histograms",
        title: "Pixel values by timestep",
        caption: "Density of the pixel values at several t (bars) and of a standard normal number (line). The headings have \
                  mean and variance of the values."
            .into(),
        equation: "q(x_t | x_0) → N(0, I) as ᾱ_t → 0",
        note: "Pixel values in model units: −1 is black, 1 is white. Density per unit.",
    };
    let panels: Vec<_> = at.iter().map(panel).collect::<Result<_, _>>()?;
    let legend = vec![("pixels".into(), lighter(PALETTE[0], 0.35)), ("N(0, 1)".into(), PALETTE[1])];
    let mut page = words.page().legend(legend);
    for row in panels.chunks(2) {
        page = page.row(row.to_vec());
    }
    let picture = page.draw()?;
    words.figure(&picture)
}

fn panel(at: &PixelValues<'_>) -> Result<crate::Canvas, FiguresError> {
    let PixelValues { t, values } = at;
    check::not_empty("the pixel values", values)?;
    check::finite("pixel values", values.iter().map(|&value| f64::from(value)))?;
    let n = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / n;

    let step = 2.0 * REACH / BINS as f64;
    let normal = (0..=200).map(|i| {
        let x = REACH * (f64::from(i) / 100.0 - 1.0);
        (x, (-x * x / 2.0).exp() / TAU.sqrt())
    });
    Panel {
        heading: format!("t = {t}: mean {mean:.2}, variance {variance:.2}").replace('-', "−"),
        x_label: "pixel value".into(),
        y_label: "density".into(),
        x_range: Some((-REACH, REACH)),
        marks: vec![
            Mark::Bars {
                edges: (0..=BINS).map(|bin| bin as f64 * step - REACH).collect(),
                heights: density(values, step),
                colour: lighter(PALETTE[0], 0.35),
            },
            Mark::line(normal, PALETTE[1]),
        ],
        ..Panel::default()
    }
    .draw(HALF.0, HALF.1)
}

/// Share of all values in each bin, per unit of length; values beyond the axis count only in the total.
fn density(values: &[f32], step: f64) -> Vec<f64> {
    let mut counts = vec![0_usize; BINS];
    for &value in values {
        let bin = ((f64::from(value) + REACH) / step).floor();
        if (0.0..BINS as f64).contains(&bin) {
            counts[bin as usize] += 1;
        }
    }
    counts.into_iter().map(|count| count as f64 / (values.len() as f64 * step)).collect()
}

#[cfg(test)]
mod tests {
    use super::{BINS, PixelValues, REACH, density, histograms};
    use crate::error::FiguresError;

    #[test]
    fn density_is_a_share_by_length() {
        let step = 2.0 * REACH / BINS as f64;
        let bars = density(&[-4.0, 0.0, 0.01, 3.9, 9.0], step);
        assert!((bars.iter().sum::<f64>() * step - 0.8).abs() < 1e-12);
        assert!((bars[BINS / 2] * step - 0.4).abs() < 1e-12 && bars[0] > 0.0 && bars[BINS - 1] > 0.0);
    }

    #[test]
    fn draws_and_refuses() {
        let at = [PixelValues { t: 0, values: &[-1.0, 1.0] }, PixelValues { t: 9, values: &[0.1, 0.2] }];
        assert_eq!(histograms(&at).unwrap(), histograms(&at).unwrap());
        assert!(matches!(histograms(&[]), Err(FiguresError::Empty { .. })));
        let none = [PixelValues { t: 0, values: &[] }];
        assert!(matches!(histograms(&none), Err(FiguresError::Empty { .. })));
        let broken = [PixelValues { t: 0, values: &[0.0, f32::NAN] }];
        assert!(matches!(histograms(&broken), Err(FiguresError::NotFinite { index: 1, .. })));
    }
}
