//! Multistep consistency sampling (Song et al. 2023, Algorithm 1): the network's image, with new noise of the next level, again
//! and again. For networks that were tuned to answer with an image from any level (Geng et al. 2024); an ordinary network
//! answers with the mean of all images that its input may come from, which is blurred.

use crate::grid::Grid;
use crate::stage::{Stage, Sum};

/// The steps on a grid: `x = alpha x_0 + sigma z` with a new z for each, and `x_0` alone at the data.
#[must_use]
pub fn consistency(grid: &Grid) -> Vec<Stage> {
    (0..grid.steps())
        .map(|i| {
            let to = grid.level(i + 1);
            Stage::new(grid.level(i), Sum::of_x(0.0, &[to.alpha])).with_noise(to.sigma)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::StageNoise;
    use schedule::{Level, Schedule};

    /// Each level has the variance of `x_t` there: that of the image and that of the noise, nothing of the `x_t` before.
    #[test]
    fn every_step_diffuses_the_image_anew() {
        let grid = Grid::at_times(&Schedule::ddpm(), &[999.0, 600.0, 300.0], Level::DATA).unwrap();
        let stages = consistency(&grid);
        for (i, stage) in stages.iter().enumerate() {
            let to = grid.level(i + 1);
            assert_eq!((stage.next.x, stage.next.past[0]), (0.0, to.alpha));
            match stage.noise {
                StageNoise::Fixed(sigma) => assert!((sigma.powi(2) + to.alpha.powi(2) - 1.0).abs() < 1e-12),
                StageNoise::None => assert_eq!((i, to.is_data()), (2, true)),
                StageNoise::Learned { .. } => panic!("{stage:?}"),
            }
        }
        assert_eq!(stages[2].next.past, [1.0]);
    }
}
