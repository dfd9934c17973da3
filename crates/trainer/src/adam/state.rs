//! The state of Adam and Muon as named tensors, for files and other ranks.

use std::path::Path;

use tch::{Device, Tensor};
use tensor_io::Named;

use super::{Adam, copy_handles, zeros};
use crate::error::TrainerError;

impl Adam {
    /// The state by name, for a file: `m.NAME`, `v.NAME` and `step`. `v.NAME` has the shape `[0]` if Muon updates the
    /// parameter.
    ///
    /// # Errors
    /// [`TrainerError::DividedState`] when a part of it is on other ranks; errors from libtorch.
    pub fn state(&self) -> Result<Vec<Named>, TrainerError> {
        if self.part.is_some() {
            return Err(TrainerError::DividedState);
        }
        // Before the first step they are zeros.
        let fresh = match self.moments.is_empty() {
            true => zeros(&self.params, self.optimizer)?,
            false => Vec::new(),
        };
        let moments = fresh.iter().chain(&self.moments).flatten();
        self.state_of(moments.map(Tensor::shallow_clone))
    }

    /// The state with the given moments: two of each parameter, in order.
    pub(super) fn state_of(&self, moments: impl Iterator<Item = Tensor>) -> Result<Vec<Named>, TrainerError> {
        let step = ("step".to_owned(), Tensor::f_from_slice(&[self.steps as i64])?);
        let names = self.params.iter().flat_map(|(name, _)| [format!("m.{name}"), format!("v.{name}")]);
        Ok(std::iter::once(step).chain(names.zip(moments)).collect())
    }

    /// Restores a state from [`Adam::state`].
    ///
    /// # Errors
    /// [`TrainerError::Tensors`] when names, shapes or types differ; the state is then unchanged.
    pub fn restore(&mut self, path: &Path, state: &[Named]) -> Result<(), TrainerError> {
        let targets = self.targets()?;
        tensor_io::copy_into(path, state, &targets)?;
        self.restored(targets)
    }

    /// Tensors to overwrite with a whole state, for [`Adam::restored`].
    pub(crate) fn targets(&mut self) -> Result<Vec<Named>, TrainerError> {
        if self.part.is_some() {
            return self.in_host_memory();
        }
        self.prepare()?;
        self.state()
    }

    /// To be called after the tensors of [`Adam::targets`] were overwritten. A divided state is in effect only after
    /// [`Adam::settled`].
    pub(crate) fn restored(&mut self, state: Vec<Named>) -> Result<(), TrainerError> {
        self.count_from(i64::try_from(&state[0].1.f_view(-1)?.f_get(0)?)?.max(0) as u64)?;
        if let Some(part) = &mut self.part {
            part.whole = Some(state);
        }
        Ok(())
    }

    pub(super) fn count_from(&mut self, steps: u64) -> Result<(), TrainerError> {
        self.steps = steps;
        let _ = self.counter.f_fill_(steps as f64)?;
        Ok(())
    }
}

/// The targets of [`Adam::targets`] for the file at `path`. Earlier versions also saved a second moment for what Muon updates;
/// it is read into a tensor of its own and dropped.
pub(crate) fn targets_in(path: &Path, targets: &[Named]) -> Result<Vec<Named>, TrainerError> {
    let mut all = copy_handles(targets);
    if all.iter().all(|(_, target)| target.numel() > 0) {
        return Ok(all);
    }
    let found = tensor_io::read_header(path)?.tensors;
    for index in 1..all.len() {
        // The first moment is before the second.
        let (size, (name, target)) = (all[index - 1].1.size(), &all[index]);
        if target.numel() == 0 && found.get(name).is_some_and(|(_, shape)| *shape == size) {
            all[index].1 = Tensor::f_zeros(size, (target.f_kind()?, Device::Cpu))?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use config::{Optimizer, TrainConfig};
    use tch::{Kind, no_grad_guard};

    use super::super::tests::{descend, new, parameter};
    use super::*;
    use crate::example::example;

    #[test]
    fn restored_state_continues_as_if_nothing_had_happened() {
        let config = example();
        let whole = parameter(&[1.0, -2.0]);
        descend(&whole, &mut new(&whole), 9, &config);

        let first = parameter(&[1.0, -2.0]);
        let mut adam = new(&first);
        descend(&first, &mut adam, 4, &config);
        let second = vec![("w".to_owned(), first[0].1.detach().copy().set_requires_grad(true))];
        let mut restored = new(&second);
        restored.restore(Path::new("x"), &adam.state().unwrap()).unwrap();
        descend(&second, &mut restored, 5, &config);
        assert_eq!(whole[0].1, second[0].1);

        let other = vec![("u".to_owned(), Tensor::from_slice(&[1.0, 2.0]))];
        assert!(new(&other).restore(Path::new("x"), &adam.state().unwrap()).is_err());
    }

    /// A matrix and a vector of a network.
    fn mixed() -> Vec<Named> {
        let leaf = |name: &str, values: Tensor| (name.to_owned(), values.set_requires_grad(true));
        let matrix = Tensor::arange(96_i64, (Kind::Double, Device::Cpu)).sin().view([8, 12]);
        vec![leaf("conv1.weight", matrix), leaf("conv1.bias", Tensor::from_slice(&[1.0, -2.0]))]
    }

    #[test]
    fn muon_has_one_moment() {
        let params = mixed();
        let mut adam = Adam::new(&params, Optimizer::Muon).unwrap();
        let shapes = |adam: &Adam| -> Vec<(String, Vec<i64>)> {
            let state = adam.state().unwrap();
            state.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect()
        };
        let before = shapes(&adam);
        descend(&params, &mut adam, 2, &TrainConfig { optimizer: Optimizer::Muon, ..example() });
        let expected = [
            ("step", vec![1]),
            ("m.conv1.weight", vec![8, 12]),
            ("v.conv1.weight", vec![0]),
            ("m.conv1.bias", vec![2]),
            ("v.conv1.bias", vec![2]),
        ];
        assert_eq!(before, expected.map(|(name, shape)| (name.to_owned(), shape)));
        assert_eq!(shapes(&adam), before);
        assert_eq!(shapes(&new(&params))[2], ("v.conv1.weight".to_owned(), vec![8, 12]));
    }

    /// A file of this version, and one of an earlier version with a second moment that Muon did not use.
    #[test]
    fn second_moments_of_earlier_versions_are_dropped() {
        let config = TrainConfig { optimizer: Optimizer::Muon, ..example() };
        let folder = tempfile::tempdir().unwrap();
        let paths = ["now", "earlier", "unlike"].map(|name| folder.path().join(name));
        let params = mixed();
        let mut adam = Adam::new(&params, Optimizer::Muon).unwrap();
        descend(&params, &mut adam, 3, &config);
        let mut saved = adam.state().unwrap();
        for (path, second) in paths.iter().zip([vec![0_i64], vec![8, 12], vec![12, 8]]) {
            saved[2].1 = Tensor::ones(second, (Kind::Double, Device::Cpu));
            tensor_io::save(path, &saved).unwrap();
        }
        let load = |adam: &mut Adam, path: &Path| -> Result<(), TrainerError> {
            let targets = adam.targets()?;
            tensor_io::load_into(path, &targets_in(path, &targets)?)?;
            adam.restored(targets)
        };
        let at = params[0].1.detach().copy();
        descend(&params, &mut adam, 2, &config);
        for path in &paths[..2] {
            let again = mixed();
            let mut restored = Adam::new(&again, Optimizer::Muon).unwrap();
            {
                let _no_grad = no_grad_guard();
                again[0].1.shallow_clone().copy_(&at);
            }
            load(&mut restored, path).unwrap();
            descend(&again, &mut restored, 2, &config);
            assert_eq!(again[0].1, params[0].1);
            assert_eq!(restored.state().unwrap(), adam.state().unwrap());
        }
        // Another shape is an error, and Adam needs both moments.
        for (optimizer, path) in [(Optimizer::Muon, &paths[2]), (Optimizer::Adam, &paths[0])] {
            let refused = load(&mut Adam::new(&params, optimizer).unwrap(), path).unwrap_err().to_string();
            assert!(refused.contains("v.conv1.weight"), "{refused}");
        }
    }
}
