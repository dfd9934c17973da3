//! Weighted sums of tensors, the only arithmetic of the sampling loop besides the network.

use tch::{TchError, Tensor};

/// `sum_j w_j a_j`, all of the same shape. Terms of weight 0 are not read; a single term of weight 1 is not copied.
///
/// No input is written to, because an observer may have kept it.
pub(crate) fn weighted_sum(terms: &[(f64, &Tensor)]) -> Result<Tensor, TchError> {
    let mut kept = terms.iter().filter(|(w, _)| *w != 0.0);
    let Some((w, first)) = kept.next() else {
        return match terms.first() {
            Some((_, any)) => any.f_zeros_like(),
            None => Err(TchError::Shape("an empty sum".to_owned())),
        };
    };
    let mut rest = kept.peekable();
    if rest.peek().is_none() && *w == 1.0 {
        return Ok(first.shallow_clone());
    }
    let mut sum = first.f_mul_scalar(*w)?;
    for (w, term) in rest {
        sum = if *w == 1.0 { sum.f_add_(term)? } else { sum.f_add_(&term.f_mul_scalar(*w)?)? };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_zero_hide_what_they_weigh() {
        let x = tensor_io::from_slice(&[1.0_f32, -2.0], &[2]).unwrap();
        let nan = &x * f64::NAN;
        let sum = |terms: &[(f64, &Tensor)]| tensor_io::to_vec(&weighted_sum(terms).unwrap()).unwrap();
        assert_eq!(sum(&[(3.0, &x), (2.0, &x), (1.0, &x)]), [6.0, -12.0]);
        assert_eq!(sum(&[(0.0, &nan), (2.0, &x)]), [2.0, -4.0]);
        assert_eq!(sum(&[(1.0, &x), (0.0, &nan)]), [1.0, -2.0]);
        assert_eq!(sum(&[(0.0, &nan)]), [0.0, 0.0]);
        assert!(sum(&[(3.0, &x), (1.0, &nan)])[0].is_nan());
        assert!(weighted_sum(&[]).is_err());
        // The inputs are untouched.
        assert_eq!(tensor_io::to_vec(&x).unwrap(), [1.0, -2.0]);
    }
}
