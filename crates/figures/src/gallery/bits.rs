//! Figure 20: where along the chain the bits of an image are (Ho et al. 2020, Eq. 5 and Fig. 5).

use crate::axis::Scale;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::HALF;
use crate::plot::{Mark, PALETTE, Panel};

/// The terms of the variational bound of a dataset, in bits per dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bits<'a> {
    /// t in `0..T`, as passed to the network, and its term, in rising t. The smallest t is the decoder's. Some t may
    /// be missing.
    pub by_t: &'a [(f64, f64)],
    /// The term of the prior, `L_T`.
    pub prior: f64,
    /// The total bound.
    pub total: f64,
    /// The number of images averaged.
    pub images: usize,
}

/// The terms count as complete if they differ from the whole by at most this share of it.
const ROUNDING: f64 = 0.01;

impl Bits<'_> {
    /// The sum of the terms from the noisiest down to each t, with the prior, rising in t; `None` when terms are missing.
    fn summed(&self) -> Option<Vec<(f64, f64)>> {
        let mut sum = self.prior;
        let mut sums: Vec<(f64, f64)> = Vec::with_capacity(self.by_t.len());
        for &(t, bits) in self.by_t.iter().rev() {
            sum += bits;
            sums.push((t, sum));
        }
        sums.reverse();
        ((sum - self.total).abs() <= ROUNDING * self.total.abs()).then_some(sums)
    }
}

/// The bits of each t and, where the terms are complete, how they add up from noise to image.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::NotFinite`], [`FiguresError::NotRising`] for the t.
pub fn bits(bits: &Bits<'_>) -> Result<Figure, FiguresError> {
    check::not_empty("the bits by t", bits.by_t)?;
    check::finite("bits by t", bits.by_t.iter().map(|term| term.1))?;
    check::finite("the bound", [bits.prior, bits.total])?;
    check::finite("t", bits.by_t.iter().map(|term| term.0))?;
    for (index, pair) in bits.by_t.windows(2).enumerate() {
        let (before, got) = (pair[0].0, pair[1].0);
        if got <= before {
            return Err(FiguresError::NotRising { what: "t", index: index + 1, before, got });
        }
    }
    let summed = bits.summed();
    let sums = if summed.is_some() {
        " Right: the sum from the noisiest t down. It ends at the whole bound."
    } else {
        " The terms of some t are missing, so they do not add up to the bound."
    };
    let side = if summed.is_some() { "Left: t" } else { "T" };
    let words = Words {
        name: "20-bits",
        title: "Bits by timestep",
        caption: format!(
            "{side}he bits that each reverse step costs, per dimension; t = 0 is the decoder's.{sums} Mean of {} images; the \
             whole bound is {:.3} bits/dim, of which {} are the first t's and {} the prior's.",
            bits.images,
            bits.total,
            short(bits.by_t[0].1),
            short(bits.prior),
        ),
        equation: "L = L_T + L_{T−1} + ⋯ + L_0,  L_T = D_{KL}(q(x_T | x_0) ‖ p(x_T))\n\
                   L_{t−1} = D_{KL}(q(x_{t−1} | x_t, x_0) ‖ p_θ(x_{t−1} | x_t)),  L_0 = −log p_θ(x_0 | x_1)",
        note: "Bits per dimension: nats divided by the number of dimensions and by ln 2.",
    };
    let lowest = bits.by_t.iter().fold(f64::INFINITY, |low, term| low.min(term.1));
    let by_t = Panel {
        heading: "Bits of each t".into(),
        x_label: "t".into(),
        y_label: "bits/dim".into(),
        // A term is a divergence and above 0, up to rounding.
        y_scale: if lowest > 0.0 { Scale::Log } else { Scale::Linear },
        marks: vec![
            Mark::line(bits.by_t.to_vec(), PALETTE[0]),
            Mark::dots(bits.by_t[..1].to_vec(), PALETTE[1], 3.0),
        ],
        ..Panel::default()
    };
    let mut panels = vec![by_t.draw(HALF.0, HALF.1)?];
    if let Some(sums) = summed {
        let panel = Panel {
            heading: "Sum from the noisiest t down".into(),
            x_label: "t".into(),
            y_label: "bits/dim".into(),
            marks: vec![
                Mark::line(sums.clone(), PALETTE[0]),
                Mark::dots(sums[..1].to_vec(), PALETTE[1], 3.0),
            ],
            ..Panel::default()
        };
        panels.push(panel.draw(HALF.0, HALF.1)?);
    }
    let legend = vec![("one t".into(), PALETTE[0]), ("t = 0, the decoder".into(), PALETTE[1])];
    let picture = words.page().legend(legend).row(panels).draw()?;
    words.figure(&picture)
}

/// A number that may be close to 0.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.1e}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::{Bits, bits};
    use crate::error::FiguresError;

    const ALL: Bits<'static> =
        Bits { by_t: &[(0.0, 1.5), (1.0, 0.5), (2.0, 0.25)], prior: 0.25, total: 2.5, images: 8 };

    #[test]
    fn the_sum_ends_at_the_bound_where_all_terms_are_there() {
        assert_eq!(ALL.summed().unwrap(), [(0.0, 2.5), (1.0, 1.0), (2.0, 0.5)]);
        assert_eq!(Bits { by_t: &[(0.0, 1.5), (2.0, 0.25)], ..ALL }.summed(), None);
        assert!(bits(&ALL).unwrap().caption.contains("ends at the whole bound"));
        let some = bits(&Bits { by_t: &[(0.0, 1.5), (2.0, 0.25)], ..ALL }).unwrap();
        assert!(some.caption.contains("some t are missing"), "{}", some.caption);
    }

    #[test]
    fn draws_and_refuses() {
        assert_eq!(bits(&ALL).unwrap(), bits(&ALL).unwrap());
        assert_ne!(bits(&ALL).unwrap().png, bits(&Bits { total: 3.0, ..ALL }).unwrap().png);
        // Rounding may leave a term of 0 slightly negative.
        assert!(bits(&Bits { by_t: &[(0.0, 2.25), (1.0, -1e-9)], ..ALL }).is_ok());
        assert!(matches!(bits(&Bits { by_t: &[], ..ALL }), Err(FiguresError::Empty { .. })));
        let nan = bits(&Bits { by_t: &[(0.0, f64::NAN)], ..ALL });
        assert!(matches!(nan, Err(FiguresError::NotFinite { .. })));
        assert!(matches!(bits(&Bits { prior: f64::INFINITY, ..ALL }), Err(FiguresError::NotFinite { .. })));
        let falling = bits(&Bits { by_t: &[(1.0, 1.0), (1.0, 1.0)], ..ALL });
        assert!(matches!(falling, Err(FiguresError::NotRising { index: 1, .. })));
    }
}
