//! Figure 8: the reverse process (Ho et al. 2020, Algorithm 2, and Eq. 15 for the predicted `x_0`).

use ndarray::ArrayView5;

use crate::denoising::pairs;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::gallery::time_columns;

/// For each image, its `x_t` and under it the `x_0` predicted from that `x_t`; columns go from large t
/// to small. `x_t` and `x_0` are `[images, times, h, w, c]`.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when `times` does not fit, [`FiguresError::Shape`]
/// when the arrays differ, [`FiguresError::Channels`], [`FiguresError::TooLarge`].
pub fn trajectories(
    times: &[usize],
    x_t: ArrayView5<'_, u8>,
    x_0: ArrayView5<'_, u8>,
) -> Result<Figure, FiguresError> {
    let words = Words {
        name: "08-trajectories",
        title: "Reverse process: xₜ and the predicted x₀",
        caption: "Upper row of each pair: xₜ along the chain, from t = T − 1 (left) to t = 0. Lower row: the x₀ that the \
                  network predicts from this xₜ (Eq. 15)."
            .into(),
        equation: "p_θ(x_{t−1} | x_t) = N(x_{t−1}; μ_θ(x_t, t), σ_t^2 I)\n\
                   x̂_0 = (x_t − √(1 − ᾱ_t) ε_θ(x_t, t)) / √ᾱ_t",
        note: "Columns: timestep t, from the start of sampling (left) to its end.",
    };
    let sheet = pairs(time_columns(times), None, &x_t, &x_0)?;
    let picture = words.page().row(vec![sheet]).draw()?;
    words.figure(&picture)
}

#[cfg(test)]
mod tests {
    use super::trajectories;
    use crate::error::FiguresError;
    use ndarray::Array5;

    #[test]
    fn draws_and_refuses() {
        let x_t = Array5::<u8>::from_elem((2, 3, 8, 8, 1), 90);
        let x_0 = Array5::<u8>::from_elem((2, 3, 8, 8, 1), 10);
        let draw = || trajectories(&[99, 50, 0], x_t.view(), x_0.view());
        assert_eq!(draw().unwrap(), draw().unwrap());
        assert_ne!(draw().unwrap().png, trajectories(&[99, 50, 0], x_0.view(), x_t.view()).unwrap().png);
        let short = trajectories(&[99, 50], x_t.view(), x_0.view());
        assert!(matches!(short, Err(FiguresError::Mismatch { expected: 3, got: 2, .. })));
        let other = Array5::<u8>::zeros((2, 3, 8, 8, 3));
        assert!(matches!(
            trajectories(&[9, 5, 0], x_t.view(), other.view()),
            Err(FiguresError::Shape { .. })
        ));
    }
}
