//! Gradient clipping that looks at the norm first: libtorch's lets a NaN through, since NaN exceeds
//! nothing, and the next step writes it into every weight.

use tch::{Kind, Tensor, no_grad_guard};
use tensor_io::Named;

use crate::error::TrainerError;

/// Scales all gradients so that their joint L2 norm is at most `max_norm`; returns the norm they had.
/// Gradients whose norm is not finite are left alone: the caller must not step with them.
///
/// # Errors
/// Those of libtorch.
pub fn clip_grad_norm(params: &[Named], max_norm: f64) -> Result<f64, TrainerError> {
    let _no_grad = no_grad_guard();
    let mut gradients = Vec::with_capacity(params.len());
    for (_, param) in params {
        let gradient = param.f_grad()?;
        if gradient.defined() {
            gradients.push(gradient);
        }
    }
    if gradients.is_empty() {
        return Ok(0.0);
    }
    // One number a gradient, one transfer for all.
    let norms: Vec<Tensor> = gradients.iter().map(|g| g.f_norm()).collect::<Result<_, _>>()?;
    let total = Tensor::f_stack(&norms, 0)?.f_to_kind(Kind::Double)?.f_norm()?;
    let norm = f64::try_from(&total)?;
    if norm.is_finite() && norm > max_norm {
        for gradient in &mut gradients {
            let _ = gradient.f_mul_scalar_(max_norm / norm)?;
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters whose gradients are the given numbers.
    fn with_gradients(gradients: &[f64]) -> Vec<Named> {
        let leaf = |&g: &f64| {
            let w = Tensor::from_slice(&[1.0]).set_requires_grad(true);
            (&w * g).sum(Kind::Double).backward();
            ("w".to_owned(), w)
        };
        gradients.iter().map(leaf).collect()
    }

    fn gradients(params: &[Named]) -> Vec<f64> {
        params.iter().map(|(_, p)| f64::try_from(&p.grad().get(0)).unwrap()).collect()
    }

    #[test]
    fn long_gradients_shrink_to_the_norm_and_short_ones_stay() {
        let params = with_gradients(&[3.0, 4.0]);
        assert!((clip_grad_norm(&params, 10.0).unwrap() - 5.0).abs() < 1e-9);
        assert_eq!(gradients(&params), [3.0, 4.0]);
        assert!((clip_grad_norm(&params, 1.0).unwrap() - 5.0).abs() < 1e-9);
        let clipped = gradients(&params);
        assert!((clipped[0] - 0.6).abs() < 1e-9 && (clipped[1] - 0.8).abs() < 1e-9);
    }

    #[test]
    fn a_norm_that_is_not_finite_is_reported() {
        assert!(clip_grad_norm(&with_gradients(&[1.0, f64::NAN]), 1.0).unwrap().is_nan());
        assert!(clip_grad_norm(&with_gradients(&[f64::INFINITY]), 1.0).unwrap().is_infinite());
        assert_eq!(clip_grad_norm(&[], 1.0).unwrap(), 0.0);
    }
}
