//! Adam for a share of the parameters: other ranks update the others and keep their moments. `together/divided.rs` moves the
//! moments between ranks.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use tensor_io::Named;

use super::{Adam, by_muon};
use crate::error::TrainerError;

/// What is here of a divided state, besides the moments themselves.
pub(super) struct Part {
    /// The parameters that are updated here.
    own: Range<usize>,
    /// The state of all parameters, from the time it is restored until every rank has its share.
    pub(super) whole: Option<Vec<Named>>,
}

impl Part {
    /// The parameters that are updated here: all of them, unless there is a part.
    pub(super) fn of<'a>(part: Option<&Self>, params: &'a [Named]) -> &'a [Named] {
        part.map_or(params, |part| &params[part.own.clone()])
    }
}

impl Adam {
    /// Keeps the moments of these parameters only, and updates only these from here on. What there was is then the whole
    /// state, and the own moments are zeros until it is handed out.
    pub(crate) fn divide(&mut self, own: Range<usize>) -> Result<(), TrainerError> {
        let whole = if self.moments.is_empty() { None } else { Some(self.state()?) };
        self.moments = Vec::new();
        self.part = Some(Part { own, whole });
        self.prepare()
    }

    /// All parameters, also those that other ranks update.
    pub(crate) fn params(&self) -> &[Named] {
        &self.params
    }

    /// Updates so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments that are here, two of each parameter.
    pub(crate) fn own_moments(&self) -> Vec<Tensor> {
        self.moments.iter().flatten().map(Tensor::shallow_clone).collect()
    }

    /// Whether there is a whole state to hand out.
    pub(crate) fn has_whole(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.whole.is_some())
    }

    /// The moments of some parameters in the whole state, if there is one.
    pub(crate) fn moments_of(&self, params: &Range<usize>) -> Option<Vec<Tensor>> {
        let whole = self.part.as_ref()?.whole.as_ref()?;
        // The number of steps comes first.
        let moments = &whole[1 + 2 * params.start..1 + 2 * params.end];
        Some(moments.iter().map(|(_, moment)| moment.shallow_clone()).collect())
    }

    /// To be called when every rank has its share of the whole state, of so many steps.
    pub(crate) fn settled(&mut self, steps: u64) -> Result<(), TrainerError> {
        if let Some(part) = &mut self.part {
            part.whole = None;
        }
        self.count_from(steps)
    }

    /// The whole state, as [`Adam::state`] has it, from the moments of all parameters.
    pub(crate) fn joined(&self, moments: Vec<Tensor>) -> Result<Vec<Named>, TrainerError> {
        self.state_of(moments.into_iter())
    }

    /// A whole state of zeros in host memory.
    pub(super) fn in_host_memory(&self) -> Result<Vec<Named>, TrainerError> {
        self.joined(self.host_moments(&(0..self.params.len()))?)
    }

    /// Zeros in host memory for the moments of some parameters, two each.
    pub(crate) fn host_moments(&self, params: &Range<usize>) -> Result<Vec<Tensor>, TrainerError> {
        let mut zeros = Vec::new();
        for named in &self.params[params.clone()] {
            let kind = named.1.f_kind()?;
            for shape in self.shapes(named) {
                zeros.push(Tensor::f_zeros(shape, (kind, Device::Cpu))?);
            }
        }
        Ok(zeros)
    }

    /// Type and numbers of the moments of some parameters, two each.
    pub(crate) fn moment_sizes(&self, params: &Range<usize>) -> Vec<(Kind, usize)> {
        let sizes = |named: &Named| {
            let kind = named.1.kind();
            self.shapes(named).map(|shape| (kind, shape.iter().product::<i64>() as usize))
        };
        self.params[params.clone()].iter().flat_map(sizes).collect()
    }

    /// The shapes of a parameter's moments.
    fn shapes(&self, named: &Named) -> [Vec<i64>; 2] {
        let size = named.1.size();
        let second = if by_muon(self.optimizer, named) { vec![0] } else { size.clone() };
        [size, second]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use config::Optimizer;

    use super::*;
    use crate::example::example;

    fn parameters() -> Vec<Named> {
        let leaf = |(name, values): (&str, &[f64])| {
            (name.to_owned(), Tensor::from_slice(values).set_requires_grad(true))
        };
        [("a", &[1.0, -2.0][..]), ("b", &[0.5][..]), ("c", &[3.0, 4.0, 5.0][..])].map(leaf).into()
    }

    /// Some steps on the sum of (w - 3)^2 of all parameters, by several optimisers after one backward pass.
    fn descend(params: &[Named], parts: &mut [&mut Adam], steps: usize) {
        for _ in 0..steps {
            parts[0].forget_gradients().unwrap();
            let losses = params.iter().map(|(_, w)| (w - 3.0).square().sum(Kind::Double));
            losses.reduce(|sum, loss| sum + loss).unwrap().backward();
            for part in parts.iter_mut() {
                part.step(0.1, 1.0, &example()).unwrap();
            }
        }
    }

    fn divided(params: &[Named], own: Range<usize>) -> Adam {
        let mut adam = Adam::new(params, Optimizer::Adam).unwrap();
        adam.divide(own).unwrap();
        adam
    }

    fn values(params: &[Named]) -> Vec<Tensor> {
        params.iter().map(|(_, w)| w.detach().copy()).collect()
    }

    #[test]
    fn the_parts_together_do_what_one_does_bit_for_bit() {
        let (whole, shared) = (parameters(), parameters());
        let mut adam = Adam::new(&whole, Optimizer::Adam).unwrap();
        descend(&whole, &mut [&mut adam], 7);
        let [mut first, mut second] = [0..1, 1..3].map(|own| divided(&shared, own));
        descend(&shared, &mut [&mut first, &mut second], 7);
        assert_eq!(values(&whole), values(&shared));

        let moments: Vec<Tensor> = first.own_moments().into_iter().chain(second.own_moments()).collect();
        assert_eq!((first.own_moments().len(), moments.len(), second.steps()), (2, 6, 7));
        assert_eq!(second.joined(moments).unwrap(), adam.state().unwrap());
        assert!(matches!(first.state(), Err(TrainerError::DividedState)));
    }

    #[test]
    fn the_sizes_are_those_of_the_moments() {
        let matrix = ("conv1.weight".to_owned(), Tensor::zeros([8, 16], (Kind::Float, Device::Cpu)));
        let params: Vec<Named> = parameters().into_iter().chain([matrix]).collect();
        for (optimizer, second) in [(Optimizer::Adam, 128), (Optimizer::Muon, 0)] {
            let mut adam = Adam::new(&params, optimizer).unwrap();
            adam.prepare().unwrap();
            let of =
                |moments: &[Tensor]| -> Vec<_> { moments.iter().map(|x| (x.kind(), x.numel())).collect() };
            assert_eq!(adam.moment_sizes(&(0..4)), of(&adam.own_moments()));
            assert_eq!(adam.moment_sizes(&(3..4)), [(Kind::Float, 128), (Kind::Float, second)]);
            assert_eq!(adam.moment_sizes(&(1..4)), of(&adam.host_moments(&(1..4)).unwrap()));
        }
    }

    #[test]
    fn a_part_leaves_the_other_parameters_alone() {
        let params = parameters();
        let before = values(&params);
        descend(&params, &mut [&mut divided(&params, 1..2)], 2);
        let after = values(&params);
        assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
        assert_ne!(after[1], before[1]);
        // A rank may have nothing to do.
        descend(&params, &mut [&mut divided(&params, 3..3)], 1);
        assert_eq!(values(&params), after);
    }

    #[test]
    fn a_restored_state_is_kept_whole_until_it_is_handed_out() {
        let params = parameters();
        let mut adam = Adam::new(&params, Optimizer::Adam).unwrap();
        descend(&params, &mut [&mut adam], 3);
        let saved = adam.state().unwrap();

        let mut part = divided(&params, 1..3);
        assert!(!part.has_whole() && part.moments_of(&(0..3)).is_none());
        part.restore(Path::new("x"), &saved).unwrap();
        assert!(part.has_whole() && part.steps() == 3);
        for range in [0..0, 0..2, 2..3] {
            let expected = saved[1 + 2 * range.start..1 + 2 * range.end].iter();
            let expected: Vec<Tensor> = expected.map(|(_, moment)| moment.copy()).collect();
            assert_eq!(part.moments_of(&range).unwrap(), expected);
        }
        part.settled(5).unwrap();
        assert!(!part.has_whole() && part.steps() == 5);
        let refused = part.restore(Path::new("x"), &saved[..3]).unwrap_err().to_string();
        assert!(refused.contains("m.b") && !part.has_whole(), "{refused}");

        // Dividing later keeps what was learned.
        adam.divide(0..1).unwrap();
        let own: Vec<Tensor> = adam.own_moments();
        assert_eq!(own, [own[0].zeros_like(), own[1].zeros_like()]);
        assert_eq!(own[0].size(), [2]);
        assert_eq!(adam.moments_of(&(0..1)).unwrap()[0], saved[1].1);
    }
}
