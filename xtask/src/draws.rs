//! Draws that are the same on every machine.

/// Numbers of the SplitMix64 generator (Steele, Lea and Flood 2014, figure 17).
#[derive(Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    /// The draws of a stream of a seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // One more step keeps neighbouring streams apart.
        Self(Self(seed).draw() ^ Self(!stream).draw())
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is small beside 2^64.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        const STEPS: u64 = 1 << 53;
        (self.draw() % STEPS) as f64 / STEPS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_from_seed_and_stream() {
        // The first numbers of seed 0, as published with the generator.
        let mut draws = Draws(0);
        assert_eq!([draws.draw(), draws.draw()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        let first = |seed, stream| Draws::new(seed, stream).draw();
        assert_eq!(first(3, 4), first(3, 4));
        let all = [first(3, 4), first(4, 3), first(3, 5), first(4, 4), first(0, 0), first(4, 4) ^ 1];
        assert!((1..all.len()).all(|n| !all[..n].contains(&all[n])), "{all:x?}");
        assert!((0..100).all(|_| draws.below(7) < 7) && draws.below(0) == 0);
    }

    #[test]
    fn units_fill_their_interval() {
        let mut draws = Draws::new(1, 0);
        let units: Vec<f64> = (0..1000).map(|_| draws.unit()).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)), "{units:?}");
        // The mean has a standard deviation of 0.009, and a tenth of the interval has 100 of them, give or take 9.
        let mean = units.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
        for tenth in 0..10 {
            let count = units.iter().filter(|unit| (*unit * 10.0) as i32 == tenth).count();
            assert!((50..150).contains(&count), "{tenth}: {count}");
        }
    }
}
