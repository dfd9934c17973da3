//! Figure 3: `q(x_t | x_{t-1})` iterated beside `q(x_t | x_0)` in closed form (Ho et al. 2020, Eq. 2 and 4).

use dataset::Dataset;
use figures::{Figure, Moments, OneStep};
use ndarray::{Array2, ArrayD, Axis};
use schedule::Schedule;

use crate::commands::figures::forward::{diffuse, in_columns, noise, to_model, to_pixels};
use crate::commands::figures::subject::{images, varied};
use crate::commands::figures::times;

/// Images shown.
const ROWS: usize = 3;
/// Pixels to measure, at most.
const PIXELS: usize = 784;
/// Noise keys for the images and the measurements, each step by step and in one jump.
const KEYS: [u32; 4] = [30, 31, 32, 33];

/// Fewest draws of a pixel for measuring its variance.
const MIN_DRAWS: usize = 8;

/// Both ways to `x_t`: images at every tenth of the chain; moments at every twentieth, over about `numbers` pixels
/// times draws.
pub(super) fn one_step(
    schedule: &Schedule,
    data: &Dataset,
    numbers: usize,
    seed: u64,
) -> anyhow::Result<Figure> {
    let [walk_images, jump_images, walk_moments, jump_moments] = KEYS.map(|key| (seed, key));
    let shown = times::every(schedule.steps(), 10);
    let x_0 = to_model(&images(data, &varied(data, ROWS))?);
    let mut walked = Vec::new();
    walk(schedule, &x_0, walk_images, |t, x_t| {
        if shown.contains(&t) {
            walked.push(to_pixels(x_t.clone())?);
        }
        Ok(())
    })?;
    let jump = |&t: &usize| to_pixels(diffuse(schedule, &x_0, t, jump_images)?);
    let jumped = shown.iter().map(jump).collect::<anyhow::Result<Vec<_>>>()?;

    let measured = times::every(schedule.steps(), 20);
    let (pixels, copies) = repeated(&x_0, numbers)?;
    let draws = copies.len_of(Axis(0));
    let mut moments = Vec::new();
    walk(schedule, &copies, walk_moments, |t, x_t| {
        if measured.contains(&t) {
            let closed = diffuse(schedule, &copies, t, jump_moments)?;
            let (mean, variance) = schedule.q_mean_variance(&pixels, &[t])?;
            let mean = mean.iter().map(|&value| f64::from(value)).sum::<f64>() / mean.len() as f64;
            moments.push(Moments {
                t,
                expected: (mean, variance[0]),
                iterated: measure(x_t),
                closed: measure(&closed),
            });
        }
        Ok(())
    })?;

    let (iterated, closed) = (in_columns(&walked)?, in_columns(&jumped)?);
    let shown =
        OneStep { times: &shown, iterated: iterated.view(), closed: closed.view(), moments: &moments };
    let mut figure = figures::one_step(&shown)?;
    figure.caption.push_str(&format!(
        " Measured at {} pixels of the first image, each over {draws} draws of the noise: the mean over draws and \
         pixels, and the variance over the draws, averaged over the pixels.",
        pixels.len(),
    ));
    Ok(figure)
}

/// Visits every `x_t` of the chain, t from 0 to T - 1, adding noise step by step.
fn walk(
    schedule: &Schedule,
    x_0: &ArrayD<f32>,
    key: (u64, u32),
    mut visit: impl FnMut(usize, &ArrayD<f32>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut x_t = x_0.clone();
    for t in 0..schedule.steps() {
        let times = vec![t; x_t.len_of(Axis(0))];
        x_t = schedule.q_step(&x_t, &times, &noise(x_t.shape(), t, key))?;
        visit(t, &x_t)?;
    }
    Ok(())
}

/// Evenly spaced pixels of the first image, `[1, p]`, and copies of them, `[draws, p]`: about `numbers` in all.
fn repeated(x_0: &ArrayD<f32>, numbers: usize) -> anyhow::Result<(ArrayD<f32>, ArrayD<f32>)> {
    let values: Vec<f32> = x_0.index_axis(Axis(0), 0).iter().copied().collect();
    let pixels: Vec<f32> =
        times::spread(values.len(), PIXELS).into_iter().map(|index| values[index]).collect();
    let draws = (numbers / pixels.len().max(1)).max(MIN_DRAWS);
    let one = Array2::from_shape_vec((1, pixels.len()), pixels)?;
    let all = Array2::from_shape_fn((draws, one.ncols()), |(_, pixel)| one[[0, pixel]]);
    Ok((one.into_dyn(), all.into_dyn()))
}

/// For `[draws, p]`: the mean of everything, and the unbiased variance over the draws, averaged over p.
fn measure(x_t: &ArrayD<f32>) -> (f64, f64) {
    let (draws, pixels) = (x_t.len_of(Axis(0)), x_t.len() / x_t.len_of(Axis(0)).max(1));
    let (mut mean, mut variance) = (0.0, 0.0);
    for pixel in x_t.lanes(Axis(0)) {
        let mean_here = pixel.iter().map(|&value| f64::from(value)).sum::<f64>() / draws as f64;
        let squares = pixel.iter().map(|&value| (f64::from(value) - mean_here).powi(2)).sum::<f64>();
        mean += mean_here / pixels as f64;
        variance += squares / (draws as f64 - 1.0) / pixels as f64;
    }
    (mean, variance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn moments_of_small_arrays() {
        let (mean, variance) = measure(&array![[1.0_f32, 10.0], [3.0, 14.0]].into_dyn());
        assert!((mean - 7.0).abs() < 1e-12 && (variance - 5.0).abs() < 1e-12);
    }

    #[test]
    fn pixels_are_repeated_not_mixed() {
        let (one, all) = repeated(&array![[0.1_f32, 0.2, 0.3], [9.0, 9.0, 9.0]].into_dyn(), 30).unwrap();
        assert_eq!(one, array![[0.1_f32, 0.2, 0.3]].into_dyn());
        assert_eq!(all.shape(), [10, 3]);
        assert!(all.outer_iter().all(|row| row == one.index_axis(Axis(0), 0)));
        let few = repeated(&array![[0.1_f32, 0.2]].into_dyn(), 1).unwrap().1;
        assert_eq!(few.shape(), [MIN_DRAWS, 2]);
    }

    /// The claim of the figure, at a small enough error to be reliable.
    #[test]
    fn the_walk_ends_where_the_jump_does() {
        let schedule = Schedule::new(&schedule::BetaSchedule::Constant { beta: 0.02 }, 100).unwrap();
        let x_0 = ArrayD::from_shape_fn(vec![1, 200], |index| index[1] as f32 / 100.0 - 1.0);
        let (pixels, copies) = repeated(&x_0, 12_800).unwrap();
        let mut seen = Vec::new();
        walk(&schedule, &copies, (3, KEYS[2]), |t, x_t| {
            seen.push(t);
            if t % 33 == 0 {
                let (mean, variance) = schedule.q_mean_variance(&pixels, &[t]).unwrap();
                let expected = (f64::from(mean.mean().unwrap()), variance[0]);
                let closed = diffuse(&schedule, &copies, t, (3, KEYS[3])).unwrap();
                for got in [measure(x_t), measure(&closed)] {
                    let sigma = (expected.1 / 12_800.0).sqrt();
                    assert!((got.0 - expected.0).abs() < 5.0 * sigma, "t = {t}: {got:?} {expected:?}");
                    assert!((got.1 / expected.1 - 1.0).abs() < 0.07, "t = {t}: {got:?} {expected:?}");
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
