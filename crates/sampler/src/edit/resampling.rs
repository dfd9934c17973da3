//! The order of reverse steps and backward jumps in RePaint (Lugmayr et al. 2022, Sec. 4.2).

use crate::error::SamplerError;

/// How often parts of the chain are run again.
///
/// When part of a step's result is set from outside, a single step can reconcile the drawn part and the given part
/// only so far. So the chain jumps back by the forward process and takes the same steps again. Each time, the rest of
/// the image is drawn with the known part in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// How many steps a jump goes back, at least 1; 10 in the paper, in chains of 250 steps.
    pub jump: usize,
    /// How often each stretch of `jump` steps is run, 1 (once, no jumps) to [`Resampling::MOST`]; 10 in the paper.
    pub repeats: usize,
}

/// What a run does next; levels are counted from the noisiest, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// The reverse step from a level to the next one.
    Reverse { from: usize },
    /// The forward process in one jump to a noisier level.
    Forward { from: usize, to: usize },
}

impl Resampling {
    /// No jumps.
    pub const NONE: Self = Self { jump: 1, repeats: 1 };

    /// The largest number of repeats.
    pub const MOST: usize = 1000;

    /// The total number of reverse steps for a chain.
    ///
    /// # Errors
    /// [`SamplerError::Value`] for a number of repeats or a jump that is 0 or too large, [`SamplerError::Jump`] for a
    /// jump that does not fit into the chain.
    ///
    /// ```
    /// use sampler::Resampling;
    /// assert_eq!(Resampling::NONE.reverse_steps(50)?, 50);
    /// // The paper's: every tenth step but the first ones, 9 times 10 steps more.
    /// assert_eq!(Resampling { jump: 10, repeats: 10 }.reverse_steps(250)?, 250 + 24 * 9 * 10);
    /// # Ok::<(), sampler::SamplerError>(())
    /// ```
    pub fn reverse_steps(&self, steps: usize) -> Result<usize, SamplerError> {
        self.validate(steps)?;
        let jumps = steps.saturating_sub(self.jump).div_ceil(self.jump);
        Ok(steps.saturating_add(jumps.saturating_mul(self.repeats - 1).saturating_mul(self.jump)))
    }

    /// Where jumps start, as steps left: at 1 and every `jump` steps from there, as far as the jump fits.
    fn jumps_from(&self, steps: usize) -> impl Iterator<Item = usize> {
        (1..=steps.saturating_sub(self.jump)).step_by(self.jump)
    }

    /// Steps and jumps in order.
    pub(crate) fn moves(&self, steps: usize) -> Result<Vec<Move>, SamplerError> {
        let mut moves = Vec::with_capacity(self.reverse_steps(steps)?);
        let mut jumps = vec![0; steps + 1];
        for left in self.jumps_from(steps) {
            jumps[left] = self.repeats - 1;
        }
        let mut left = steps;
        while left > 0 {
            moves.push(Move::Reverse { from: steps - left });
            left -= 1;
            if jumps[left] > 0 {
                jumps[left] -= 1;
                moves.push(Move::Forward { from: steps - left, to: steps - left - self.jump });
                left += self.jump;
            }
        }
        Ok(moves)
    }

    fn validate(&self, steps: usize) -> Result<(), SamplerError> {
        if !(1..=Self::MOST).contains(&self.repeats) {
            let got = self.repeats as f64;
            return Err(SamplerError::Value { what: "resample", got, expected: "1 (no jumps) to 1000" });
        }
        if self.jump == 0 {
            return Err(SamplerError::Value { what: "jump", got: 0.0, expected: "1 or more steps" });
        }
        if self.repeats > 1 && self.jump >= steps {
            return Err(SamplerError::Jump { got: self.jump, highest: steps.saturating_sub(1) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The levels that a run visits, as steps left.
    fn path(jump: usize, repeats: usize, steps: usize) -> Vec<usize> {
        let moves = Resampling { jump, repeats }.moves(steps).unwrap();
        let to = moves.into_iter().map(|step| match step {
            Move::Reverse { from } => from + 1,
            Move::Forward { to, .. } => to,
        });
        std::iter::once(0).chain(to).map(|level| steps - level).collect()
    }

    #[test]
    fn small_paths_by_hand() {
        assert_eq!(path(1, 1, 3), [3, 2, 1, 0]);
        assert_eq!(path(1, 2, 3), [3, 2, 3, 2, 1, 2, 1, 0]);
        assert_eq!(path(2, 2, 5), [5, 4, 3, 5, 4, 3, 2, 1, 3, 2, 1, 0]);
        assert_eq!(path(1, 3, 2), [2, 1, 2, 1, 2, 1, 0]);
        assert_eq!(path(7, 1, 2), [2, 1, 0], "without repeats there are no jumps");
    }

    #[test]
    fn values_out_of_range() {
        let moves = |jump, repeats, steps| Resampling { jump, repeats }.moves(steps);
        for (jump, repeats) in [(0, 1), (0, 5), (1, 0), (1, 1001), (1, usize::MAX)] {
            assert!(matches!(moves(jump, repeats, 10), Err(SamplerError::Value { .. })), "{jump} {repeats}");
        }
        // Any chain length is accepted.
        assert_eq!(Resampling { jump: 3, repeats: 4 }.reverse_steps(usize::MAX).unwrap(), usize::MAX);
        for jump in [10, 11, usize::MAX] {
            assert!(matches!(moves(jump, 2, 10), Err(SamplerError::Jump { highest: 9, got }) if got == jump));
        }
        assert!(moves(9, 2, 10).is_ok());
        assert!(matches!(moves(1, 2, 1), Err(SamplerError::Jump { highest: 0, .. })));
    }

    proptest! {
        #[test]
        fn paths_go_down_by_one_and_up_by_the_jump(steps in 2_usize..60, jump in 1_usize..60, repeats in 1_usize..6) {
            prop_assume!(jump < steps);
            let resampling = Resampling { jump, repeats };
            let path = path(jump, repeats, steps);
            prop_assert_eq!((path[0], path.last()), (steps, Some(&0)));
            prop_assert!(path.iter().all(|left| *left <= steps));
            prop_assert!(path.windows(2).all(|pair| pair[1] + 1 == pair[0] || pair[1] == pair[0] + jump));
            let down = path.windows(2).filter(|pair| pair[1] < pair[0]).count();
            prop_assert_eq!(down, resampling.reverse_steps(steps).unwrap());
            // The stretch that ends where jumps start runs `repeats` times.
            let visits = path.iter().filter(|left| **left == 1).count();
            prop_assert_eq!(visits, repeats);
        }
    }
}
