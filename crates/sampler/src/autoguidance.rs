//! Autoguidance (Karras et al. 2024, "Guiding a Diffusion Model with a Bad Version of Itself"): a network is guided
//! away from a worse one of the same kind, such as an earlier checkpoint, `g + w (m - g)`. It needs no classes.

use tch::Tensor;

use crate::error::BoxError;
use crate::guidance::{Guidance, GuidanceError, check_output};

impl Guidance {
    /// Turns the network `model` into a [`crate::Model`] that is guided away from `guide`. `timesteps` is the T of
    /// the path that both were trained on.
    ///
    /// Both take `x_t` `[b, c, h, w]` and `t` `[b]` and return the same kind of output, with their own labels already
    /// bound if they have any. At scale 1 and outside the interval the guide is not called; at scale 0 only the guide
    /// is. Variances are those of `model`.
    ///
    /// # Errors
    /// Those of [`Guidance::validate`]. The returned model passes on errors of both networks and fails with
    /// [`GuidanceError::Output`].
    ///
    /// ```
    /// use sampler::{BoxError, Guidance};
    /// use tch::Tensor;
    /// let model = |x: &Tensor, _t: &Tensor| -> Result<Tensor, BoxError> { Ok(x * 3.0) };
    /// let guide = |x: &Tensor, _t: &Tensor| -> Result<Tensor, BoxError> { Ok(x * 2.0) };
    /// let guided = Guidance::new(2.0).against(guide, model, 1000)?;
    /// let x = Tensor::ones([1, 1, 1, 1], (tch::Kind::Float, tch::Device::Cpu));
    /// assert_eq!(tensor_io::to_vec(&guided(&x, &Tensor::from_slice(&[5_i64]))?)?, [4.0]);
    /// # Ok::<(), BoxError>(())
    /// ```
    pub fn against<G, M>(
        &self,
        guide: G,
        model: M,
        timesteps: usize,
    ) -> Result<impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + use<G, M>, GuidanceError>
    where
        G: Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError>,
        M: Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError>,
    {
        self.validate()?;
        let guidance = *self;
        Ok(move |x_t: &Tensor, t: &Tensor| {
            if guidance.scale == 1.0 || !guidance.guides_at(t, timesteps)? {
                return model(x_t, t);
            }
            if guidance.scale == 0.0 {
                return guide(x_t, t);
            }
            let kind = x_t.f_kind()?;
            let answer = |output: Tensor| -> Result<Tensor, BoxError> {
                check_output(x_t, &output)?;
                Ok(output.f_to_kind(kind)?)
            };
            let (better, worse) = (answer(model(x_t, t)?)?, answer(guide(x_t, t)?)?);
            Ok(guidance.combine(&better, &worse, x_t.size()[1])?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tch::{Device, Kind};

    fn network(
        factor: f64,
        calls: &Cell<usize>,
    ) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor, BoxError> + '_ {
        move |x, _| {
            calls.set(calls.get() + 1);
            Ok(x * factor)
        }
    }

    #[test]
    fn it_guides_away_from_the_guide_within_the_interval() {
        let (better, worse) = (Cell::new(0), Cell::new(0));
        let x = Tensor::ones([1, 1, 2, 2], (Kind::Float, Device::Cpu));
        let at = |guidance: Guidance, t: i64| {
            better.set(0);
            worse.set(0);
            let guided = guidance.against(network(2.0, &worse), network(3.0, &better), 10).unwrap();
            let got = guided(&x, &Tensor::from_slice(&[t])).unwrap().double_value(&[0, 0, 0, 0]);
            (got, better.get(), worse.get())
        };
        assert_eq!(at(Guidance::new(2.5), 4), (4.5, 1, 1));
        assert_eq!(at(Guidance::new(1.0), 4), (3.0, 1, 0));
        assert_eq!(at(Guidance::new(0.0), 4), (2.0, 0, 1));
        let part = Guidance { interval: (0.2, 0.5), ..Guidance::new(2.0) };
        assert_eq!((at(part, 4), at(part, 7)), ((4.0, 1, 1), (3.0, 1, 0)));
        assert!(Guidance::new(f64::NAN).against(network(1.0, &worse), network(1.0, &better), 10).is_err());
        let flat = |x: &Tensor, _: &Tensor| -> Result<Tensor, BoxError> { Ok(x.flatten(0, -1)) };
        let wrong = Guidance::new(2.0).against(flat, network(1.0, &better), 10).unwrap();
        assert!(wrong(&x, &Tensor::from_slice(&[4_i64])).unwrap_err().to_string().contains("shape"));
    }
}
