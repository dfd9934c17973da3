//! The state of Adam divided over the ranks (stage 1 of ZeRO: Rajbhandari et al. 2020). Each rank keeps the moments of its share
//! of the parameters and updates these; then all exchange their new weights. A tensor's update is the same wherever it takes
//! place, so a step has the same bits as one without this.

use std::ops::Range;

use tch::{Kind, Tensor, no_grad_guard};
use tensor_io::Named;

use super::Together;
use super::gradients::{Bucket, buckets};
use super::shares::shares;
use crate::adam::Adam;
use crate::error::TrainerError;
use crate::step::Trainer;

impl Trainer {
    /// Divides the state of Adam over the ranks from here on: each keeps and updates a share, which takes less memory. Comes
    /// between [`Trainer::join`] and [`Trainer::share_state`], on all ranks or none. Neither the numbers of a run nor its
    /// checkpoints depend on it. With a single rank nothing changes.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn divide_state(&mut self) -> Result<(), TrainerError> {
        let rank = self.rank();
        let Some(together) = self.together.as_mut().filter(|together| together.shares.is_none()) else {
            return Ok(());
        };
        let sizes: Vec<usize> = self.adam.params().iter().map(|(_, param)| bytes(param)).collect();
        let shares = shares(&sizes, together.ranks.size());
        let own = shares[rank].clone();
        together.shares = Some(shares.into());
        self.adam.divide(own)
    }

    /// Bytes of Adam's moments on the rank that has most of them, and on all ranks together, if they are divided.
    #[must_use]
    pub fn divided_bytes(&self) -> Option<(usize, usize)> {
        let shares = self.together.as_ref()?.shares.as_ref()?;
        let of_share = |share: &Range<usize>| -> usize {
            let sizes = self.adam.moment_sizes(share);
            sizes.iter().map(|(kind, numbers)| numbers * kind.elt_size_in_bytes()).sum()
        };
        let each: Vec<usize> = shares.iter().map(of_share).collect();
        Some((each.iter().copied().max().unwrap_or(0), each.iter().sum()))
    }

    /// The whole state of Adam on rank 0, with the moments of other ranks in host memory; no moments on the others.
    pub(super) fn gathered_state(&self, shares: &[Range<usize>]) -> Result<Vec<Named>, TrainerError> {
        let Some(together) = &self.together else { return self.adam.state() };
        let mut all = Vec::new();
        for (from, share) in shares.iter().enumerate() {
            let moments = if from == self.rank() {
                Some(self.adam.own_moments())
            } else if self.is_first() {
                Some(self.adam.host_moments(share)?)
            } else {
                None
            };
            if from > 0 {
                let sizes = self.adam.moment_sizes(share);
                together.send_share("the state of Adam", from, &sizes, moments.as_deref())?;
            }
            all.extend(moments.filter(|_| self.is_first()).into_iter().flatten());
        }
        self.adam.joined(all)
    }
}

impl Together {
    /// Sends the new weights of each share from its rank to the others, unless the update failed on any rank.
    pub(super) fn exchange_weights(
        &self,
        step: u64,
        updated: Result<(), TrainerError>,
        shares: &[Range<usize>],
        params: &[Named],
    ) -> Result<(), TrainerError> {
        let told = self.outcome("the update of a step", step, updated.as_ref().map(|()| (0.0, false)));
        // This rank's own error says more.
        updated?;
        let _ = told?;
        for (from, share) in shares.iter().enumerate() {
            let weights: Vec<Tensor> = params[share.clone()].iter().map(|(_, w)| w.shallow_clone()).collect();
            let sizes: Vec<_> = weights.iter().map(|w| (w.kind(), w.numel())).collect();
            self.send_share("the weights", from, &sizes, Some(&weights))?;
        }
        Ok(())
    }

    /// Gives every rank its share of the whole state that rank 0 has.
    pub(super) fn hand_out(
        &self,
        what: &'static str,
        shares: &[Range<usize>],
        adam: &Adam,
    ) -> Result<(), TrainerError> {
        let rank = self.ranks.rank();
        for (to, share) in shares.iter().enumerate() {
            let whole = adam.moments_of(share).filter(|_| rank == 0);
            if to > 0 {
                let moments = if rank == to { Some(adam.own_moments()) } else { whole };
                self.send_share(what, 0, &adam.moment_sizes(share), moments.as_deref())?;
            } else if let Some(whole) = whole {
                for (own, new) in adam.own_moments().iter_mut().zip(&whole) {
                    own.f_copy_(new)?;
                }
            }
        }
        Ok(())
    }

    /// Sends tensors of rank `from` to the others, many in a message. They are given by types and numbers; ranks that have
    /// no `tensors` to overwrite only take part.
    fn send_share(
        &self,
        what: &'static str,
        from: usize,
        sizes: &[(Kind, usize)],
        tensors: Option<&[Tensor]>,
    ) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        let (sends, device) = (self.ranks.rank() == from, self.ranks.device());
        for Bucket { parameters, kind } in buckets(sizes.iter().copied(), self.reduction.bucket) {
            let part = tensors.map(|tensors| &tensors[parameters.clone()]);
            let numbers: usize = sizes[parameters].iter().map(|(_, numbers)| numbers).sum();
            // Moments that are not used.
            if numbers == 0 {
                continue;
            }
            let mut flat = match part.filter(|_| sends) {
                Some(part) => {
                    let flat = part.iter().map(|x| x.f_reshape([-1])).collect::<Result<Vec<_>, _>>()?;
                    Tensor::f_cat(&flat, 0)?.f_to_device(device)?
                }
                None => Tensor::f_empty([numbers as i64], (kind, device))?,
            };
            self.ranks.broadcast(what, from, &mut flat).map_err(TrainerError::Caller)?;
            if let Some(part) = part.filter(|_| !sends) {
                overwrite(part, &flat)?;
            }
        }
        Ok(())
    }
}

/// Overwrites tensors with the numbers of one, in order.
fn overwrite(tensors: &[Tensor], flat: &Tensor) -> Result<(), TrainerError> {
    let Some(first) = tensors.first() else { return Ok(()) };
    // In one transfer.
    let flat = flat.f_to_device(first.device())?;
    let mut done = 0;
    for tensor in tensors {
        let numbers = tensor.numel() as i64;
        tensor.shallow_clone().f_copy_(&flat.f_narrow(0, done, numbers)?.f_view_as(tensor)?)?;
        done += numbers;
    }
    Ok(())
}

fn bytes(param: &Tensor) -> usize {
    param.numel() * param.kind().elt_size_in_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tch::Device;

    use super::*;
    use crate::error::BoxError;
    use crate::together::{Reduce, Reduction};

    /// Rank 0 of two. The other tells how its update ended, and then sends the number 7.
    struct Beside {
        ending: f64,
        device: Device,
        told: Mutex<Vec<f64>>,
        sent: Mutex<Sent>,
    }

    /// Who has sent weights, and where they were.
    type Sent = Vec<(usize, Device)>;

    impl Reduce for Beside {
        fn rank(&self) -> usize {
            0
        }

        fn size(&self) -> usize {
            2
        }

        fn device(&self) -> Device {
            self.device
        }

        fn sum(&self, what: &'static str, x: &mut Tensor) -> Result<(), BoxError> {
            assert_eq!(what, "the update of a step");
            *self.told.lock().unwrap() = Vec::try_from(&*x)?;
            let _ = x.f_add_(&Tensor::from_slice(&[0.0, self.ending, 0.0]))?;
            Ok(())
        }

        fn broadcast(&self, _: &'static str, from: usize, x: &mut Tensor) -> Result<(), BoxError> {
            self.sent.lock().unwrap().push((from, x.device()));
            if from == 1 {
                let _ = x.f_fill_(7.0)?;
            }
            Ok(())
        }

        fn gather(&self, _: &'static str, _: &[u8]) -> Result<Vec<Vec<u8>>, BoxError> {
            Err("nothing is gathered in a step".into())
        }

        fn wait(&self, _: &'static str) -> Result<(), BoxError> {
            Err("nobody waits in a step".into())
        }
    }

    /// [`exchanged_on`] the CPU, without the devices.
    fn exchanged(
        own: Result<(), TrainerError>,
        ending: f64,
    ) -> (Result<(), TrainerError>, Vec<f64>, Vec<usize>, Vec<f64>) {
        let (result, told, sent, weights) = exchanged_on(Device::Cpu, own, ending);
        (result, told, sent.into_iter().map(|(from, _)| from).collect(), weights)
    }

    /// An update on rank 0 that ended like this, while the other ended like `ending`, with ranks that send on a device: the result,
    /// what rank 0 told, what was sent, and the weights.
    fn exchanged_on(
        device: Device,
        own: Result<(), TrainerError>,
        ending: f64,
    ) -> (Result<(), TrainerError>, Vec<f64>, Sent, Vec<f64>) {
        let beside = Arc::new(Beside { ending, device, told: Mutex::default(), sent: Mutex::default() });
        let (ranks, reduction) = (Arc::clone(&beside), Reduction::default());
        let together = Together { ranks, reduction, shares: None };
        let leaf = |name: &str, value: f64| {
            (name.to_owned(), Tensor::from_slice(&[value, -0.0]).set_requires_grad(true))
        };
        let params = [leaf("a", 1.0), leaf("b", 2.0)];
        let result = together.exchange_weights(4, own, &[0..1, 1..2], &params);
        let weights = params.iter().map(|(_, w)| f64::try_from(w.get(0)).unwrap()).collect();
        let (told, sent) = (beside.told.lock().unwrap().clone(), beside.sent.lock().unwrap().clone());
        (result, told, sent, weights)
    }

    #[test]
    fn each_share_comes_from_its_rank() {
        let (result, told, sent, weights) = exchanged(Ok(()), 0.0);
        assert!(result.is_ok());
        assert_eq!((told, sent, weights), (vec![0.0; 3], vec![0, 1], vec![1.0, 7.0]));
    }

    /// Nothing is copied to host memory if the ranks sum between GPUs; without a GPU there is no memory to send from.
    #[test]
    fn weights_are_sent_on_the_device_of_the_ranks() {
        let (result, _, sent, weights) = exchanged_on(Device::Cuda(0), Ok(()), 0.0);
        if tch::Cuda::is_available() {
            let expected = vec![(0, Device::Cuda(0)), (1, Device::Cuda(0))];
            assert_eq!((result.is_ok(), sent, weights), (true, expected, vec![1.0, 7.0]));
        } else {
            assert_eq!((result.is_ok(), sent, weights), (false, vec![], vec![1.0, 2.0]));
        }
        let (_, _, sent, _) = exchanged_on(Device::Cpu, Ok(()), 0.0);
        assert_eq!(sent, [(0, Device::Cpu), (1, Device::Cpu)]);
    }

    #[test]
    fn an_update_that_failed_anywhere_fails_everywhere_and_nothing_is_sent() {
        let (result, _, sent, weights) = exchanged(Ok(()), 1.0);
        let error = result.unwrap_err();
        assert!(matches!(error, TrainerError::OtherRank { rank: 1, failure: "failed", step: 4 }), "{error}");
        assert_eq!((sent, weights), (vec![], vec![1.0, 2.0]));

        let (result, told, sent, _) = exchanged(Err(TrainerError::OptimalPairing), 0.0);
        assert!(matches!(result, Err(TrainerError::OptimalPairing)));
        assert_eq!((told, sent), (vec![1.0, 0.0, 0.0], vec![]));
    }
}
