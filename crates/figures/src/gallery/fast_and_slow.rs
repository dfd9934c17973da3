//! Figure 13: a fast solver in a few steps next to Algorithm 2 in all of them.

use ndarray::{ArrayView4, Axis, concatenate};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::rows::{blanks, in_rows};
use crate::sheet::Sheet;

const COLUMNS: usize = 8;

/// Samples `[n, h, w, c]` of the slow and of the fast solver, with the network evaluations each took.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Shape`] when the arrays differ, [`FiguresError::Channels`],
/// [`FiguresError::TooLarge`].
pub fn fast_and_slow(
    (slow, slow_calls): (ArrayView4<'_, u8>, usize),
    (fast, fast_calls): (ArrayView4<'_, u8>, usize),
) -> Result<Figure, FiguresError> {
    check::images("the slow samples", &slow.view().into_dyn())?;
    check::shape("the fast samples", slow.shape(), fast.shape())?;
    let words = Words {
        name: "13-fast-and-slow",
        title: "DDPM and a fast solver",
        caption: format!(
            "Above, Algorithm 2 of Ho et al. 2020 with {slow_calls} network evaluations per image; below, \
             DPM-Solver++ (2M, Lu et al. 2022) with {fast_calls}. Both start from the same noise; only the first draws more \
             noise at every step, so the images differ."
        ),
        equation: "x_s = (σ_s/σ_t) x_t − α_s (e^{−h} − 1) (x̂_0 + (h/(2 h_{−1})) (x̂_0 − x̂_{0,−1})),  \
                   h = λ_s − λ_t,  λ = ln(α/σ)",
        note: "Not selected: the first images of the seed. Numbers: network evaluations per image.",
    };
    let count = slow.dim().0;
    let (slow, fast) = (in_rows(&slow, COLUMNS), in_rows(&fast, COLUMNS));
    let (height, columns) = (slow.dim().0, slow.dim().1);
    let both = concatenate![Axis(0), slow, fast];
    let band = |name: &str, calls: usize| Band::new(format!("{name}, {calls}")).spanning(height);
    let sheet = Sheet::new(both.view())
        .rows([band("DDPM", slow_calls), band("DPM-Solver++", fast_calls).apart()])
        .without(blanks(count, columns, 0).chain(blanks(count, columns, height)));
    words.sheet(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn draws_and_refuses() {
        let slow = Array4::<u8>::from_elem((9, 8, 8, 1), 90);
        let fast = Array4::<u8>::from_elem((9, 8, 8, 1), 10);
        let draw = || fast_and_slow((slow.view(), 1000), (fast.view(), 15));
        assert_eq!(draw().unwrap(), draw().unwrap());
        assert!(draw().unwrap().caption.contains("with 1000 network"));
        let fewer = Array4::<u8>::zeros((8, 8, 8, 1));
        let wrong = fast_and_slow((slow.view(), 1000), (fewer.view(), 15));
        assert!(matches!(wrong, Err(FiguresError::Shape { .. })));
    }
}
