//! Whether samples repeat training images, and which training images are nearest to some of them.

use anyhow::ensure;
use dataset::Dataset;
use features::Extracted;
use metrics::{MetricsError, copying, nearest};
use ndarray::{Array2, Array4, ArrayView4, Axis, Slice, concatenate};

use crate::commands::evaluate::references::Reference;
use crate::commands::evaluate::rows;
use crate::commands::evaluation::{CopyingBy, CopyingRecord};
use crate::output;

/// Real images of a set whose distances are compared, at most; they are spread evenly over it.
const MOST: usize = 2000;
/// Samples are flagged below this p-value and above this share. A network that fits its training images slightly better than
/// others is not copying.
const ALPHA: f64 = 0.001;
const LEAST_SHARE: f64 = 0.55;
/// Samples shown with their nearest training images, and how many per row.
const SHOWN: usize = 16;
const COLUMNS: usize = 8;
/// Real images whose pixels are in memory at a time.
const PART: usize = 2000;

/// Compares the samples' distances to training images and to held-out ones; `None` if there are too few of either. `mirrored`
/// also looks for mirror images.
pub(crate) fn test(
    samples: Option<ArrayView4<'_, u8>>,
    features: Option<&Extracted>,
    train: &Reference,
    held_out: &Reference,
    mirrored: bool,
) -> anyhow::Result<Option<CopyingRecord>> {
    let mut by = Vec::new();
    let mut compared = (0, 0);
    if let (Some(samples), Some(train), Some(held_out)) = (samples, &train.images, &held_out.images) {
        compared = (train.len().min(MOST), held_out.len().min(MOST));
        let mut flat = rows::flat(samples);
        if mirrored {
            flat = concatenate(
                Axis(0),
                &[flat.view(), rows::flat(samples.slice_axis(Axis(2), Slice::new(0, None, -1))).view()],
            )?;
        }
        let of = |data: &Dataset| -> anyhow::Result<Array2<f32>> {
            Ok(rows::flat(data.images(spread(data.len()))?.view()))
        };
        let (train, held_out) = (of(train)?, of(held_out)?);
        ensure!(
            train.ncols() == flat.ncols() && held_out.ncols() == flat.ncols(),
            "--metrics copying: samples and real images must have the same size; use --set data.size, or another --held-out"
        );
        by.extend(compare("pixels", &flat, &train, &held_out)?);
    }
    if let (Some(samples), Some(train), Some(held_out)) = (features, &train.rows, &held_out.rows) {
        compared = (train.features.nrows().min(MOST), held_out.features.nrows().min(MOST));
        let of = |rows: &Extracted| {
            rows.features.select(Axis(0), &spread(rows.features.nrows()).collect::<Vec<_>>())
        };
        by.extend(compare("features", &samples.features, &of(train), &of(held_out))?);
    }
    let Some(share) = by.iter().map(|by| by.share).reduce(f64::max) else { return Ok(None) };
    // Two tests have two chances of a false alarm (Bonferroni).
    let tests = by.len() as f64;
    let least = by.iter().map(|by| by.p_value).fold(1.0, f64::min);
    let is_copy = |by: &CopyingBy| by.p_value * tests < ALPHA && by.share > LEAST_SHARE;
    Ok(Some(CopyingRecord {
        flagged: by.iter().any(is_copy),
        share,
        p_value: (least * tests).min(1.0),
        alpha: ALPHA,
        least_share: LEAST_SHARE,
        train: compared.0,
        held_out: compared.1,
        by,
    }))
}

/// At most [`MOST`] indices below `count`, evenly spread.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let chosen = count.min(MOST);
    (0..chosen).map(move |index| index * count / chosen)
}

/// The test with one distance; `None` if there are too few real images for it.
fn compare(
    distance: &str,
    samples: &Array2<f32>,
    train: &Array2<f32>,
    held_out: &Array2<f32>,
) -> anyhow::Result<Option<CopyingBy>> {
    let distances = |set: &Array2<f32>| -> anyhow::Result<Vec<f64>> {
        Ok(nearest(set, samples)?.iter().map(|nearest| nearest.distance).collect())
    };
    match copying(&distances(train)?, &distances(held_out)?) {
        Ok(found) => {
            let distance = distance.to_owned();
            Ok(Some(CopyingBy { distance, share: found.share, p_value: found.p_value }))
        }
        Err(MetricsError::TooFew { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A picture of the first samples, each above its nearest training image by pixels and, if there are features, by features.
pub(crate) fn picture(
    samples: ArrayView4<'_, u8>,
    features: Option<&Extracted>,
    train: &Reference,
) -> anyhow::Result<Option<figures::Canvas>> {
    let Some(images) = &train.images else { return Ok(None) };
    let shown = SHOWN.min(samples.len_of(Axis(0)));
    let shown = shown - shown % COLUMNS.min(shown.max(1));
    let samples = samples.slice_axis(Axis(0), (..shown).into());
    let (height, width, channels) = images.shape();
    if shown == 0 || samples.shape()[1..] != [height, width, channels] {
        return Ok(None);
    }
    let mut found = vec![by_pixels(samples, images)?];
    if let (Some(features), Some(of_train)) = (features, &train.rows) {
        let first = features.features.slice_axis(Axis(0), (..shown).into());
        let nearest = nearest(&first, &of_train.features)?;
        found.push(nearest.iter().map(|nearest| nearest.index).collect());
    }
    let columns = COLUMNS.min(shown);
    let mut cells = Vec::new();
    for first in (0..shown).step_by(columns) {
        cells.extend((first..first + columns).map(|index| samples.index_axis(Axis(0), index).to_owned()));
        for row in &found {
            for &index in &row[first..first + columns] {
                cells.push(images.image(index)?);
            }
        }
    }
    let views: Vec<_> = cells.iter().map(|cell| cell.view().insert_axis(Axis(0))).collect();
    let all: Array4<u8> = concatenate(Axis(0), &views)?;
    Ok(Some(figures::grid(all.view(), columns, output::scale(height), 2)?))
}

/// The nearest training image of each sample by pixels. Only a part of the set is in memory at a time.
fn by_pixels(samples: ArrayView4<'_, u8>, images: &Dataset) -> anyhow::Result<Vec<usize>> {
    let flat = rows::flat(samples);
    let mut best = vec![(f64::INFINITY, 0); flat.nrows()];
    for first in (0..images.len()).step_by(PART) {
        let part = images.images(first..(first + PART).min(images.len()))?;
        let found = nearest(&flat, &rows::flat(part.view()))?;
        for (best, found) in best.iter_mut().zip(found) {
            if found.distance < best.0 {
                *best = (found.distance, first + found.index);
            }
        }
    }
    Ok(best.into_iter().map(|(_, index)| index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_over_the_set() {
        assert_eq!(spread(3).collect::<Vec<_>>(), [0, 1, 2]);
        let many: Vec<_> = spread(10_000).collect();
        assert_eq!((many.len(), many[0], many[1], many[1999]), (2000, 0, 5, 9995));
        assert_eq!(spread(0).count(), 0);
    }
}
