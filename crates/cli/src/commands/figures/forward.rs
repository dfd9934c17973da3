//! Figures 2 and 4: images diffused in one jump, `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps`
//! (Ho et al. 2020, Eq. 4).

use dataset::Dataset;
use figures::{Figure, PixelValues, Strip};
use ndarray::{Array4, Array5, ArrayD, Axis, Ix4, stack};
use random::{Purpose, Stream};
use schedule::Schedule;

use crate::commands::figures::subject::{images, varied};
use crate::commands::figures::tables::scientific;
use crate::commands::figures::times;
use crate::output;

/// Images in the strips.
const ROWS: usize = 5;
/// Approximate number of pixel values that the histograms count.
const PIXELS: usize = 200_000;
/// Share of the chain at which each is taken.
const SHARES: [f64; 6] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Figure 2: the same images at every twentieth and every tenth of the chain.
pub(super) fn strips(schedule: &Schedule, data: &Dataset, seed: u64) -> anyhow::Result<Figure> {
    let x_0 = to_model(&images(data, &varied(data, ROWS))?);
    let steps = schedule.steps();
    let mut blocks: Vec<(String, Vec<usize>, Array5<u8>)> = Vec::new();
    for parts in [10, 20] {
        let times = times::every(steps, parts);
        if blocks.iter().any(|block| block.1 == times) {
            continue;
        }
        let at = |&t: &usize| to_pixels(diffuse(schedule, &x_0, t, (seed, 2))?);
        let columns = times.iter().map(at).collect::<anyhow::Result<Vec<_>>>()?;
        let stride = times::stride(steps, parts);
        let heading = if stride == 1 { "Every step".to_owned() } else { format!("Every {stride} steps") };
        blocks.push((heading, times, in_columns(&columns)?));
    }
    let strips: Vec<_> = blocks
        .iter()
        .map(|(heading, times, images)| Strip { heading, times, images: images.view() })
        .collect();
    let mut figure = figures::forward_strips(&strips)?;
    let left = schedule.alpha_bars()[steps - 1];
    figure.caption.push_str(&format!(
        " At t = {} a share of {} of the images' variance is left (ᾱ).",
        steps - 1,
        scientific(left)
    ));
    Ok(figure)
}

/// Figure 4: pixel values at several t.
pub(super) fn histograms(schedule: &Schedule, data: &Dataset, seed: u64) -> anyhow::Result<Figure> {
    let (height, width, channels) = data.shape();
    let count = (PIXELS / (height * width * channels)).clamp(1, data.len());
    let x_0 = to_model(&images(data, &times::spread(data.len(), count))?);
    let at = |t| -> anyhow::Result<(usize, Vec<f32>)> {
        Ok((t, diffuse(schedule, &x_0, t, (seed, 4))?.into_iter().collect()))
    };
    let times = times::at_shares(schedule.steps(), &SHARES);
    let values = times.into_iter().map(at).collect::<anyhow::Result<Vec<_>>>()?;
    let panels: Vec<_> = values.iter().map(|(t, values)| PixelValues { t: *t, values }).collect();
    let mut figure = figures::histograms(&panels)?;
    let images = output::images(count);
    figure.caption.push_str(&format!(" All pixels of {images}."));
    Ok(figure)
}

/// `q(x_t | x_0)` with the noise of a figure.
pub(super) fn diffuse(
    schedule: &Schedule,
    x_0: &ArrayD<f32>,
    t: usize,
    key: (u64, u32),
) -> anyhow::Result<ArrayD<f32>> {
    let times = vec![t; x_0.len_of(Axis(0))];
    Ok(schedule.q_sample(x_0, &times, &noise(x_0.shape(), t, key))?)
}

/// Standard normal noise: a function of seed, figure, t and the image's place in the batch.
pub(super) fn noise(shape: &[usize], t: usize, (seed, figure): (u64, u32)) -> ArrayD<f32> {
    let mut noise = ArrayD::zeros(shape);
    for (index, mut image) in noise.outer_iter_mut().enumerate() {
        let mut stream = Stream::new(seed, Purpose::Figure, index as u64, figure).sub_stream(t as u32);
        if let Some(values) = image.as_slice_mut() {
            stream.fill_normal(values);
        }
    }
    noise
}

/// u8 `[n, h, w, c]` to `[n, c, h, w]` in [-1, 1].
pub(super) fn to_model(images: &Array4<u8>) -> ArrayD<f32> {
    dataset::to_model(images.view()).into_dyn()
}

/// And back to u8.
pub(super) fn to_pixels(images: ArrayD<f32>) -> anyhow::Result<Array4<u8>> {
    Ok(dataset::from_model(images.into_dimensionality::<Ix4>()?.view()))
}

/// Joins one `[n, h, w, c]` per column to `[n, columns, h, w, c]`.
pub(super) fn in_columns(columns: &[Array4<u8>]) -> anyhow::Result<Array5<u8>> {
    Ok(stack(Axis(1), &columns.iter().map(Array4::view).collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_differs_by_image_time_figure_and_seed() {
        let base = noise(&[2, 3, 4], 5, (1, 2));
        assert_eq!(base, noise(&[2, 3, 4], 5, (1, 2)));
        assert_ne!(base.index_axis(Axis(0), 0), base.index_axis(Axis(0), 1));
        for other in
            [noise(&[2, 3, 4], 6, (1, 2)), noise(&[2, 3, 4], 5, (1, 3)), noise(&[2, 3, 4], 5, (2, 2))]
        {
            assert_ne!(base, other);
        }
        assert_eq!(noise(&[1, 3, 4], 5, (1, 2)).index_axis(Axis(0), 0), base.index_axis(Axis(0), 0));
    }

    #[test]
    fn columns_lie_on_the_second_axis() {
        let column = |value: u8| Array4::from_elem((2, 4, 4, 1), value);
        let both = in_columns(&[column(1), column(2)]).unwrap();
        assert_eq!((both.dim(), both[[1, 0, 3, 3, 0]], both[[0, 1, 0, 0, 0]]), ((2, 2, 4, 4, 1), 1, 2));
    }
}
