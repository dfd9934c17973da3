//! What the ranks tell each other about a step: whether it worked, the loss, and the losses of all images.

use tch::Tensor;

use super::Together;
use crate::draw::Share;
use crate::error::TrainerError;

/// How a rank's share of a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Fine,
    Failed,
    OutOfMemory,
    /// Without a failure, but a gradient grew after its sum had begun.
    Late,
}

/// A number of every rank, for their sum, and whether a gradient was late.
pub(super) type Part = (f64, bool);

impl Ending {
    fn of(own: Result<Part, &TrainerError>) -> Self {
        match own {
            Ok((_, false)) => Self::Fine,
            Ok((_, true)) => Self::Late,
            Err(TrainerError::OutOfMemory { .. }) => Self::OutOfMemory,
            Err(_) => Self::Failed,
        }
    }

    fn from_number(number: f64) -> Self {
        [Self::Fine, Self::Failed, Self::OutOfMemory, Self::Late]
            .into_iter()
            .find(|ending| f64::from(*ending as u8) == number)
            .unwrap_or(Self::Failed)
    }

    fn failure(self) -> Option<&'static str> {
        match self {
            Self::Fine | Self::Late => None,
            Self::Failed => Some("failed"),
            Self::OutOfMemory => Some("ran out of memory"),
        }
    }
}

impl Together {
    /// The loss of the whole batch, from this rank's part of it or its error.
    pub(super) fn loss(&self, step: u64, own: Result<Part, &TrainerError>) -> Result<Part, TrainerError> {
        self.outcome("the loss of a step", step, own)
    }

    /// The sum of a number of every rank and whether a gradient was late on any, or an error if one has failed. If several have,
    /// it names the first.
    pub(super) fn outcome(
        &self,
        what: &'static str,
        step: u64,
        own: Result<Part, &TrainerError>,
    ) -> Result<Part, TrainerError> {
        let (rank, size) = (self.ranks.rank(), self.ranks.size());
        let mut told = vec![0.0; size + 1];
        told[rank] = f64::from(Ending::of(own) as u8);
        told[size] = own.map_or(0.0, |(number, _)| number);
        let told = self.sum(what, &told)?;
        let endings: Vec<Ending> = told[..size].iter().map(|&number| Ending::from_number(number)).collect();
        let failed = |(rank, ending): (usize, &Ending)| ending.failure().map(|failure| (rank, failure));
        match endings.iter().enumerate().find_map(failed) {
            Some((rank, failure)) => Err(TrainerError::OtherRank { rank, failure, step }),
            None => Ok((told[size], endings.contains(&Ending::Late))),
        }
    }

    /// The losses of all images, unweighted and weighted, from those of this share.
    pub(super) fn losses(
        &self,
        share: &Share,
        (each, weighted): (&Tensor, &Tensor),
    ) -> Result<(Vec<f32>, Vec<f32>), TrainerError> {
        let mut all = vec![0.0; 2 * share.of];
        for (first, own) in [(0, each), (share.of, weighted)] {
            let places = &mut all[first + share.images.start..first + share.images.end];
            places.iter_mut().zip(tensor_io::to_vec(own)?).for_each(|(place, loss)| *place = f64::from(loss));
        }
        // Every place has a single number that is not 0, so no sum rounds.
        let all = self.sum("the losses of a step", &all)?;
        let part = |part: &[f64]| part.iter().map(|&loss| loss as f32).collect();
        Ok((part(&all[..share.of]), part(&all[share.of..])))
    }

    /// A number as rank 0 has it.
    pub(super) fn of_first(&self, what: &'static str, own: f64) -> Result<f64, TrainerError> {
        let mut x = Tensor::f_from_slice(&[own])?;
        self.ranks.broadcast(what, 0, &mut x).map_err(TrainerError::Caller)?;
        Ok(f64::try_from(&x)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_number_and_only_failures_end_a_step() {
        let memory = TrainerError::OutOfMemory { images: 1, image: [1, 2, 2], found: String::new() };
        let endings = [
            (Ok((0.5, false)), Ending::Fine, None),
            (Ok((0.5, true)), Ending::Late, None),
            (Err(&TrainerError::OptimalPairing), Ending::Failed, Some("failed")),
            (Err(&memory), Ending::OutOfMemory, Some("ran out of memory")),
        ];
        for (own, ending, failure) in endings {
            assert_eq!((Ending::of(own), ending.failure()), (ending, failure));
            assert_eq!(Ending::from_number(f64::from(ending as u8)), ending);
        }
        // A rank of another version, or a sum that went wrong.
        for number in [7.0, -1.0, 0.5, f64::NAN] {
            assert_eq!(Ending::from_number(number), Ending::Failed);
        }
    }
}
