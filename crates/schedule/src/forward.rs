//! The forward process, one step at a time and in closed form (Ho et al. 2020, Eq. 2 and 4):
//! `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps`.

use ndarray::{Array1, ArrayD};

use crate::batch::{Element, combine, scale};
use crate::{Schedule, ScheduleError};

impl Schedule {
    /// `x_t` drawn from `q(x_t | x_0)` in closed form (Eq. 4).
    ///
    /// `x_0` is `[b, ...]`, `noise` the same shape, drawn from N(0, I). `t` holds one time in `0..T` for each of the
    /// b elements, as training (Algorithm 1) needs. The result has the shape of `x_0`.
    ///
    /// # Errors
    /// [`ScheduleError::Shape`] when `noise` has another shape; [`ScheduleError::Batch`] when `t` is not of
    /// length b or `x_0` has no axis; [`ScheduleError::Timestep`] for a `t` not in `0..T`.
    ///
    /// ```
    /// use ndarray::{ArrayD, IxDyn};
    /// let schedule = schedule::Schedule::ddpm();
    /// let x_0 = ArrayD::<f64>::ones(IxDyn(&[2, 3]));
    /// let eps = ArrayD::<f64>::zeros(IxDyn(&[2, 3]));
    /// let x_t = schedule.q_sample(&x_0, &[10, 20], &eps)?;
    /// assert_eq!(x_t[[1, 0]], schedule.sqrt_alpha_bars()[20]);
    /// # Ok::<(), schedule::ScheduleError>(())
    /// ```
    pub fn q_sample<A: Element>(
        &self,
        x_0: &ArrayD<A>,
        t: &[usize],
        noise: &ArrayD<A>,
    ) -> Result<ArrayD<A>, ScheduleError> {
        combine(x_0, ("noise", noise), t, self.steps(), |t| {
            (self.sqrt_alpha_bars()[t], self.sqrt_one_minus_alpha_bars()[t])
        })
    }

    /// `x_t` drawn from `q(x_t | x_{t-1})`, one step of the chain (Eq. 2):
    /// `sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps`.
    ///
    /// `x_prev` is `x_{t-1}`, the data itself at t = 0. Shapes, `t` and errors as [`Schedule::q_sample`].
    ///
    /// # Errors
    /// As [`Schedule::q_sample`].
    pub fn q_step<A: Element>(
        &self,
        x_prev: &ArrayD<A>,
        t: &[usize],
        noise: &ArrayD<A>,
    ) -> Result<ArrayD<A>, ScheduleError> {
        combine(x_prev, ("noise", noise), t, self.steps(), |t| {
            (self.alphas()[t].sqrt(), self.betas()[t].sqrt())
        })
    }

    /// Mean `[b, ...]` and variance `[b]` of `q(x_t | x_0)` (Eq. 4): `sqrt(alpha_bar_t) x_0` and
    /// `1 - alpha_bar_t`, the latter shared by all the pixels of an element.
    ///
    /// # Errors
    /// As [`Schedule::q_sample`].
    pub fn q_mean_variance<A: Element>(
        &self,
        x_0: &ArrayD<A>,
        t: &[usize],
    ) -> Result<(ArrayD<A>, Array1<f64>), ScheduleError> {
        let mean = scale(x_0, t, self.steps(), |t| self.sqrt_alpha_bars()[t])?;
        let variance = t.iter().map(|&t| 1.0 - self.alpha_bars()[t]).collect();
        Ok((mean, variance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Axis, IxDyn, arr0, concatenate};

    fn ramp(shape: &[usize], offset: f64) -> ArrayD<f64> {
        let mut next = offset;
        ArrayD::from_shape_simple_fn(IxDyn(shape), || {
            next += 0.37;
            next.sin()
        })
    }

    /// A batch with one t per element gives the same as its elements one by one.
    #[test]
    fn each_element_has_its_own_t() {
        let schedule = Schedule::ddpm();
        let (x_0, eps) = (ramp(&[3, 2, 4, 4], 0.0), ramp(&[3, 2, 4, 4], 9.0));
        let t = [999, 0, 321];
        for q in [Schedule::q_sample, Schedule::q_step] {
            let single: Vec<ArrayD<f64>> = (0..3)
                .map(|i| {
                    let element = |x: &ArrayD<f64>| x.slice_axis(Axis(0), (i..i + 1).into()).to_owned();
                    q(&schedule, &element(&x_0), &t[i..=i], &element(&eps)).unwrap()
                })
                .collect();
            let views: Vec<_> = single.iter().map(ArrayD::view).collect();
            assert_eq!(q(&schedule, &x_0, &t, &eps).unwrap(), concatenate(Axis(0), &views).unwrap());
        }
    }

    #[test]
    fn f32_is_the_rounded_f64() {
        let schedule = Schedule::ddpm();
        let (x_0, eps) = (ramp(&[2, 5], 0.0), ramp(&[2, 5], 9.0));
        let wide = schedule.q_sample(&x_0, &[3, 700], &eps).unwrap();
        let narrow = schedule.q_sample(&x_0.mapv(|x| x as f32), &[3, 700], &eps.mapv(|x| x as f32)).unwrap();
        assert!(narrow.iter().zip(&wide).all(|(&narrow, wide)| (f64::from(narrow) - wide).abs() < 3e-7));
    }

    #[test]
    fn mean_and_variance_are_those_of_q_sample() {
        let schedule = Schedule::ddpm();
        let x_0 = ramp(&[2, 6], 0.0);
        let (mean, variance) = schedule.q_mean_variance(&x_0, &[5, 500]).unwrap();
        let zero = ArrayD::zeros(x_0.raw_dim());
        assert_eq!(mean, schedule.q_sample(&x_0, &[5, 500], &zero).unwrap());
        // With x_0 = 0 and eps = 1, x_t is the standard deviation.
        let one = ArrayD::ones(x_0.raw_dim());
        let sigma = schedule.q_sample(&zero, &[5, 500], &one).unwrap();
        for (sigma, variance) in sigma.outer_iter().zip(&variance) {
            assert!(sigma.iter().all(|sigma| (sigma * sigma - variance).abs() < 1e-15));
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        use ScheduleError::{Batch, Shape, Timestep};
        let schedule = Schedule::ddpm();
        let x = ramp(&[2, 3], 0.0);
        assert_eq!(
            schedule.q_sample(&x, &[0, 1], &ramp(&[2, 4], 0.0)),
            Err(Shape { what: "noise", expected: vec![2, 3], got: vec![2, 4] })
        );
        // One t for the whole batch is refused, not spread over it.
        assert_eq!(schedule.q_step(&x, &[0], &x), Err(Batch { expected: 2, got: 1 }));
        assert_eq!(schedule.q_sample(&x, &[0, 1000], &x), Err(Timestep { steps: 1000, got: 1000 }));
        assert_eq!(schedule.q_mean_variance(&x, &[0, 1, 2]), Err(Batch { expected: 2, got: 3 }));
        let scalar = arr0(1.0).into_dyn();
        assert_eq!(schedule.q_sample(&scalar, &[0], &scalar), Err(Batch { expected: 0, got: 1 }));
        assert_eq!(schedule.q_sample(&scalar, &[], &scalar), Err(Batch { expected: 0, got: 0 }));
        let empty = ramp(&[0, 3], 0.0);
        assert_eq!(schedule.q_sample(&empty, &[], &empty), Ok(empty));
    }
}
