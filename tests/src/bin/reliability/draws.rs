//! Random choices for a trial: a function of (seed, check, trial, purpose), so a trial can be repeated on its own.

use sha2::{Digest, Sha256};

/// The draws of one trial.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    key: String,
}

impl Draws {
    pub(crate) fn new(seed: u64, check: &str, trial: u64) -> Self {
        Self { key: format!("{seed}/{check}/{trial}") }
    }

    /// Uniform below `end`, which is above 0; 0 otherwise.
    pub(crate) fn below(&self, what: &str, end: u64) -> u64 {
        let digest = Sha256::digest(format!("{}/{what}", self.key));
        let bits = digest.iter().take(8).fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
        // Biased by less than end / 2^64.
        bits.checked_rem(end).unwrap_or(0)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&self, what: &str) -> f64 {
        const STEPS: u64 = 1 << 53;
        self.below(what, STEPS) as f64 / STEPS as f64
    }

    /// An element of a list, which must not be empty.
    pub(crate) fn pick<'a, T: ?Sized>(&self, what: &str, list: &[&'a T]) -> &'a T {
        list[self.below(what, list.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Draws;

    #[test]
    fn draws_are_a_function_of_their_name_and_spread() {
        let draws = Draws::new(3, "kills", 7);
        assert_eq!(draws.unit("moment"), Draws::new(3, "kills", 7).unit("moment"));
        let others = [Draws::new(4, "kills", 7), Draws::new(3, "kills", 8), Draws::new(3, "pairs", 7)];
        assert!(others.iter().all(|other| other.unit("moment") != draws.unit("moment")));
        assert_ne!(draws.unit("moment"), draws.unit("other"));
        let units: Vec<f64> = (0..1000).map(|n| draws.unit(&n.to_string())).collect();
        let mean = units.iter().sum::<f64>() / 1000.0;
        // The mean of uniforms: 0.5 with a standard deviation of 0.009.
        assert!((mean - 0.5).abs() < 0.05 && units.iter().all(|u| (0.0..1.0).contains(u)), "{mean}");
        assert_eq!(draws.below("nothing", 0), 0);
        assert!(["a", "b"].contains(&draws.pick("one", &["a", "b"])));
    }
}
