//! Gradient clipping that checks the norm first. libtorch's clipping lets NaN through, since no comparison with NaN is
//! true, and the next step would write NaN into every weight.

use tch::{Kind, Tensor, no_grad_guard};
use tensor_io::Named;

use crate::error::TrainerError;

/// The joint L2 norm of all gradients; 0 if there are none.
///
/// # Errors
/// Errors from libtorch.
pub fn grad_norm(params: &[Named]) -> Result<f64, TrainerError> {
    let _no_grad = no_grad_guard();
    let gradients = gradients(params)?;
    if let Some(norm) = torch_ext::joint_norm(&gradients)? {
        return Ok(norm);
    }
    // On other devices: one number per gradient, and one transfer for all of them.
    let norms = gradients.iter().map(|gradient| gradient.f_norm()).collect::<Result<Vec<_>, _>>()?;
    Ok(f64::try_from(&Tensor::f_stack(&norms, 0)?.f_to_kind(Kind::Double)?.f_norm()?)?)
}

/// [`grad_norm`] as a tensor `[]` on the parameters' device, in f32.
pub(crate) fn grad_norm_ahead(params: &[Named]) -> Result<Tensor, TrainerError> {
    Ok(torch_ext::listed_norm(&gradients(params)?)?)
}

/// The gradients of the parameters that have one.
fn gradients(params: &[Named]) -> Result<Vec<Tensor>, TrainerError> {
    let all = params.iter().map(|(_, param)| param.f_grad()).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(Tensor::defined).collect())
}

/// The factor that scales gradients of this norm to at most `max_norm`. It is 1 for a norm that is not finite; the caller
/// must not step with such gradients.
#[must_use]
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if norm.is_finite() && norm > max_norm { max_norm / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters with the given gradients.
    fn with_gradients(gradients: &[f64]) -> Vec<Named> {
        let leaf = |&g: &f64| {
            let w = Tensor::from_slice(&[1.0]).set_requires_grad(true);
            (&w * g).sum(Kind::Double).backward();
            ("w".to_owned(), w)
        };
        gradients.iter().map(leaf).collect()
    }

    #[test]
    fn long_gradients_shrink_to_the_norm_and_short_ones_stay() {
        let norm = grad_norm(&with_gradients(&[3.0, 4.0])).unwrap();
        assert!((norm - 5.0).abs() < 1e-9);
        assert_eq!(clip_factor(norm, 10.0), 1.0);
        assert!((clip_factor(norm, 1.0) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_norm_that_is_not_finite_is_reported() {
        let nan = grad_norm(&with_gradients(&[1.0, f64::NAN])).unwrap();
        let infinite = grad_norm(&with_gradients(&[f64::INFINITY])).unwrap();
        assert!(nan.is_nan() && infinite.is_infinite());
        assert_eq!((clip_factor(nan, 1.0), clip_factor(infinite, 1.0)), (1.0, 1.0));
        assert_eq!(grad_norm(&[]).unwrap(), 0.0);
    }
}
