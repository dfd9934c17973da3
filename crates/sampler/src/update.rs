//! One reverse step as a weighted sum, `x_{t-1} = w_0 x_0 + w_t x_t + sigma z`, all weights known beforehand.

use tch::{TchError, Tensor};

/// The weights of one reverse step, f64; `z` is standard normal noise.
///
/// DDPM and DDIM differ in nothing else: the network's answer enters both as the predicted `x_0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Weight of the predicted `x_0`.
    pub x_0: f64,
    /// Weight of `x_t`.
    pub x_t: f64,
    /// Standard deviation of the added noise; 0 adds none.
    pub sigma: f64,
}

impl Update {
    /// `x_{t-1}` from `x_0` and `x_t`, both `[b, c, h, w]`, without the noise.
    pub(crate) fn mean(&self, x_0: &Tensor, x_t: &Tensor) -> Result<Tensor, TchError> {
        weighted_sum((self.x_0, x_0), (self.x_t, x_t))
    }
}

/// `w_a a + w_b b`, of one shape. What has weight 0 is not looked at.
///
/// The result is a new tensor: an observer may have kept the inputs.
pub(crate) fn weighted_sum((w_a, a): (f64, &Tensor), (w_b, b): (f64, &Tensor)) -> Result<Tensor, TchError> {
    if w_b == 0.0 {
        return a.f_mul_scalar(w_a);
    }
    let mut sum = b.f_mul_scalar(w_b)?;
    if w_a == 0.0 { Ok(sum) } else { sum.f_add_(&a.f_mul_scalar(w_a)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_zero_hide_what_they_weigh() {
        let x = tensor_io::from_slice(&[1.0_f32, -2.0], &[2]).unwrap();
        let nan = &x * f64::NAN;
        let sum =
            |a: (f64, &Tensor), b: (f64, &Tensor)| tensor_io::to_vec(&weighted_sum(a, b).unwrap()).unwrap();
        assert_eq!(sum((3.0, &x), (2.0, &x)), [5.0, -10.0]);
        assert_eq!(sum((0.0, &nan), (2.0, &x)), [2.0, -4.0]);
        assert_eq!(sum((3.0, &x), (0.0, &nan)), [3.0, -6.0]);
        assert!(sum((3.0, &x), (1.0, &nan))[0].is_nan());
        // The inputs are untouched.
        assert_eq!(tensor_io::to_vec(&x).unwrap(), [1.0, -2.0]);
    }
}
