//! The sum of all ranks' gradients, in few large buffers: a message costs time of its own, whatever its size. `early.rs` begins
//! the sums during the backward pass.

use tch::{Device, Kind, Tensor, no_grad_guard};
use tensor_io::Named;

use super::{Begun, Together, sent_as};
use crate::error::TrainerError;

/// Neighbouring parameters whose gradients are sent together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) parameters: std::ops::Range<usize>,
    pub(super) kind: Kind,
}

/// The parameters of a bucket, and the type of its sum.
pub(super) struct Group {
    pub(super) params: Vec<Named>,
    kind: Kind,
}

impl Group {
    /// The numbers of all gradients.
    fn numbers(&self) -> i64 {
        self.params.iter().map(|(_, param)| param.numel() as i64).sum()
    }
}

/// The sum of a bucket, begun.
pub(super) struct Sent<'a> {
    gradients: Vec<Tensor>,
    sum: Begun<'a>,
}

/// Splits parameters, given as (type, numbers), into buckets of one type. A bucket is closed when it has `most` bytes.
pub(super) fn buckets(parameters: impl Iterator<Item = (Kind, usize)>, most: usize) -> Vec<Bucket> {
    let mut all: Vec<(Bucket, usize)> = Vec::new();
    for (index, (kind, numbers)) in parameters.enumerate() {
        let bytes = numbers * kind.elt_size_in_bytes();
        match all.last_mut().filter(|(bucket, taken)| bucket.kind == kind && *taken < most) {
            Some((bucket, taken)) => {
                bucket.parameters.end = index + 1;
                *taken += bytes;
            }
            None => all.push((Bucket { parameters: index..index + 1, kind }, bytes)),
        }
    }
    all.into_iter().map(|(bucket, _)| bucket).collect()
}

impl Together {
    /// The trained parameters in buckets, in their order.
    pub(super) fn groups(&self, params: &[Named]) -> Vec<Group> {
        let trained: Vec<&Named> = params.iter().filter(|(_, param)| param.requires_grad()).collect();
        let sizes = trained.iter().map(|(_, param)| (sent_as(param.kind(), self.reduction), param.numel()));
        let handle = |(name, param): &&Named| (name.clone(), param.shallow_clone());
        buckets(sizes, self.reduction.bucket)
            .into_iter()
            .map(|Bucket { parameters, kind }| Group {
                params: trained[parameters].iter().map(handle).collect(),
                kind,
            })
            .collect()
    }

    /// Replaces the gradients of the parameters by their sums over all ranks. While one bucket is summed, the next is filled and
    /// the one before is read.
    pub(super) fn sum_gradients(&self, groups: &[Group]) -> Result<(), TrainerError> {
        let mut before: Option<(&Group, Sent<'_>)> = None;
        for group in groups {
            let sent = self.send(group)?;
            if let Some((group, sent)) = before.replace((group, sent)) {
                self.receive(group, sent)?;
            }
        }
        before.map_or(Ok(()), |(group, sent)| self.receive(group, sent))
    }

    /// Begins the sum of a bucket.
    pub(super) fn send(&self, group: &Group) -> Result<Sent<'_>, TrainerError> {
        let _no_grad = no_grad_guard();
        let Group { params, kind } = group;
        let gradients = params.iter().map(|(_, param)| param.f_grad()).collect::<Result<Vec<_>, _>>()?;
        let (mut flat, mut exists) = (Vec::new(), Vec::new());
        for ((_, param), gradient) in params.iter().zip(&gradients) {
            let defined = gradient.defined();
            exists.push(if defined { 1.0_f32 } else { 0.0 });
            flat.push(match defined {
                true => gradient.f_reshape([-1])?.f_to_kind(*kind)?,
                false => Tensor::f_zeros([param.numel() as i64], (*kind, param.device()))?,
            });
        }
        // Behind the gradients: how many ranks have each.
        let device = params.first().map_or(Device::Cpu, |(_, param)| param.device());
        flat.push(Tensor::f_from_slice(&exists)?.f_to_device(device)?.f_to_kind(*kind)?);
        let sum = self.begin(Tensor::f_cat(&flat, 0)?)?;
        Ok(Sent { gradients, sum })
    }

    /// Takes part in the sum of a bucket without gradients, for the sake of the other ranks.
    pub(super) fn sum_zeros(&self, group: &Group) -> Result<(), TrainerError> {
        let numbers = group.numbers() + group.params.len() as i64;
        // Where the others have theirs, as far as it matters to the sum.
        let sum = self.begin(Tensor::f_zeros([numbers], (group.kind, self.ranks.device()))?)?;
        sum().map(drop).map_err(TrainerError::Caller)
    }

    fn begin(&self, flat: Tensor) -> Result<Begun<'_>, TrainerError> {
        self.ranks.begin_sum("the gradients", flat).map_err(TrainerError::Caller)
    }

    /// Waits for the sum of a bucket and writes it to the gradients.
    pub(super) fn receive(
        &self,
        group: &Group,
        Sent { gradients, sum }: Sent<'_>,
    ) -> Result<(), TrainerError> {
        let _no_grad = no_grad_guard();
        let flat = sum().map_err(TrainerError::Caller)?;
        let having = flat.f_narrow(0, group.numbers(), group.params.len() as i64)?;
        let having: Vec<f64> = Vec::try_from(having.f_to_kind(Kind::Double)?)?;
        let (mut first, size) = (0, self.ranks.size());
        for (((name, param), mut gradient), found) in group.params.iter().zip(gradients).zip(having) {
            let numbers = param.numel() as i64;
            if found != if gradient.defined() { size as f64 } else { 0.0 } {
                return Err(TrainerError::PartialGradient { name: name.clone(), found, size });
            }
            if gradient.defined() {
                gradient.f_copy_(&flat.f_narrow(0, first, numbers)?.f_view_as(&gradient)?)?;
            }
            first += numbers;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_one_type_and_are_full_before_the_next() {
        let (f32, f64) = (Kind::Float, Kind::Double);
        let of = |sizes: &[(Kind, usize)], most| {
            let all = buckets(sizes.iter().copied(), most);
            all.into_iter().map(|bucket| (bucket.parameters, bucket.kind)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[], 8), []);
        let sizes = [(f32, 1), (f32, 1), (f32, 100), (f64, 1), (f32, 1)];
        assert_eq!(of(&sizes, 8), [(0..2, f32), (2..3, f32), (3..4, f64), (4..5, f32)]);
        assert_eq!(of(&sizes, 1 << 20), [(0..3, f32), (3..4, f64), (4..5, f32)]);
        assert_eq!(of(&sizes[..3], 0), [(0..1, f32), (1..2, f32), (2..3, f32)]);
    }
}
