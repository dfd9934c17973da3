//! Figure 9: both choices of the reverse variance (Ho et al. 2020, section 3.2).

use ndarray::{ArrayView4, Axis, concatenate};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::rows::{blanks, in_rows};
use crate::sheet::Sheet;

const COLUMNS: usize = 10;

/// Samples `[n, h, w, c]` with `sigma_t^2 = beta_t` above samples from the same noise with the posterior variance;
/// the same place in both blocks has the same starting noise.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Shape`] when the arrays differ, [`FiguresError::Channels`],
/// [`FiguresError::TooLarge`].
pub fn sigmas(beta: ArrayView4<'_, u8>, posterior: ArrayView4<'_, u8>) -> Result<Figure, FiguresError> {
    check::images("the samples", &beta.view().into_dyn())?;
    check::shape("samples with the posterior variance", beta.shape(), posterior.shape())?;
    let words = Words {
        name: "09-sigmas",
        title: "Two reverse variances, same noise",
        caption: "Above, each reverse step adds noise of variance β; below, of the smaller posterior \
                  variance. By section 3.2 of the paper the first is optimal for standard normal data, the second for a \
                  single image."
            .into(),
        equation: "σ_t^2 = β_t  or  σ_t^2 = β̃_t = (1 − ᾱ_{t−1}) / (1 − ᾱ_t) β_t",
        note: "The same place in both blocks started from the same noise.",
    };
    let (first, second) = (in_rows(&beta, COLUMNS), in_rows(&posterior, COLUMNS));
    let (height, columns) = (first.dim().0, first.dim().1);
    let both = concatenate![Axis(0), first, second];
    let count = beta.dim().0;
    let sheet = Sheet::new(both.view())
        .rows([Band::new("σₜ² = βₜ").spanning(height), Band::new("posterior σₜ²").spanning(height).apart()])
        .without(blanks(count, columns, 0).chain(blanks(count, columns, height)));
    words.sheet(sheet)
}

#[cfg(test)]
mod tests {
    use super::sigmas;
    use crate::error::FiguresError;
    use ndarray::Array4;

    #[test]
    fn draws_and_refuses() {
        let beta = Array4::<u8>::from_elem((13, 8, 8, 1), 90);
        let posterior = Array4::<u8>::from_elem((13, 8, 8, 1), 10);
        let draw = || sigmas(beta.view(), posterior.view());
        assert_eq!(draw().unwrap(), draw().unwrap());
        assert_ne!(draw().unwrap().png, sigmas(posterior.view(), beta.view()).unwrap().png);
        let fewer = Array4::<u8>::zeros((12, 8, 8, 1));
        assert!(matches!(sigmas(beta.view(), fewer.view()), Err(FiguresError::Shape { .. })));
        let none = Array4::<u8>::zeros((0, 8, 8, 1));
        assert!(matches!(sigmas(none.view(), none.view()), Err(FiguresError::Empty { .. })));
    }
}
