//! Features of image sets, cached between runs for sets that do not change.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use dataset::{AnyArray, Dataset, Npz};
use features::{Extracted, Extractor};
use files::AvailableMemory;
use ndarray::{Array2, ArrayView4, Axis, Ix2, concatenate};
use tch::Tensor;
use tracing::debug;
use unet::Backbone;

use crate::config::{self, Config};
use crate::failure::{bail_usage, wrong_data};
use crate::flags::Global;
use crate::{output, progress};

/// Images read and passed through the network at a time.
const PART: usize = 500;
/// Larger caches are not written: 50,000 images of 2,048 features are 410 MB.
const MAX_CACHED: usize = 1 << 29;

/// Features of images in memory, u8 `[n, h, w, c]`.
pub(crate) fn of_images(
    extractor: &Extractor,
    images: ArrayView4<'_, u8>,
    global: &Global,
) -> anyhow::Result<Extracted> {
    in_parts(images.len_of(Axis(0)), "features", global, |first, count| {
        Ok(extractor.extract(images.slice_axis(Axis(0), (first..first + count).into()))?)
    })
}

/// Features of a set, read from the cache if it has them.
pub(crate) fn of_dataset(
    extractor: &Extractor,
    data: &Dataset,
    global: &Global,
) -> anyhow::Result<Extracted> {
    let cached = cache_path(&data.fingerprint()?, extractor.sha256());
    if let Some(found) = cached.as_deref().and_then(|path| from_cache(path, data.len(), extractor.width())) {
        return Ok(found);
    }
    check_memory(data.len(), extractor.width())?;
    let extracted = in_parts(data.len(), "features of real images", global, |first, count| {
        Ok(extractor.extract(data.images(first..first + count)?.view())?)
    })?;
    if let Some(path) = cached.filter(|_| extracted.features.len() * size_of::<f32>() <= MAX_CACHED)
        && let Err(error) = to_cache(&path, &extracted)
    {
        // A failure only makes the next evaluation slower.
        debug!("{}: {error:#}", path.display());
    }
    Ok(extracted)
}

/// Refuses sets whose features do not fit in memory: most metrics compare single images.
fn check_memory(images: usize, width: usize) -> anyhow::Result<()> {
    // They are joined from parts, so all of them exist twice.
    let needed = 2 * size_of::<f32>() as u64 * images as u64 * width as u64;
    match AvailableMemory::now() {
        Some(available) if needed > available.bytes => bail_usage!(
            "--data: the features of {images} images take {} MiB, and {} MiB are available; use a part of the images, or a machine \
             with more memory",
            needed.div_ceil(1 << 20),
            available.bytes >> 20
        ),
        _ => Ok(()),
    }
}

/// Some images of a set as the network sees them, border included, with their labels if it was trained on classes.
pub(crate) fn as_seen(
    bordered: &Dataset,
    range: Range<usize>,
    net: &dyn Backbone,
) -> anyhow::Result<(Tensor, Option<Tensor>)> {
    let tensor = output::to_tensor(&bordered.images(range.clone())?)?;
    let labels: Option<Vec<i64>> = range.map(|index| bordered.label(index).map(i64::from)).collect();
    let labels = labels.filter(|_| net.facts().classes.is_some());
    Ok((tensor, labels.map(|labels| net.labels(&labels)).transpose()?))
}

/// Adds the border of a configuration to a set.
pub(crate) fn bordered(images: &Dataset, config: &Config) -> anyhow::Result<Dataset> {
    Ok(images.clone().with_border(config.data.pad_to_multiple.unwrap_or(1))?)
}

/// Pixels in [-1, 1] as features, `[n, h * w * c]`.
pub(crate) fn flat(images: ArrayView4<'_, u8>) -> Array2<f32> {
    let (n, width) = (images.len_of(Axis(0)), images.len() / images.len_of(Axis(0)).max(1));
    let values = dataset::to_model(images);
    // A distance does not depend on the order of the channels.
    values.into_shape_with_order((n, width)).unwrap_or_else(|_| Array2::zeros((0, width)))
}

/// Reads the features in a file: array `features`, `[n, width]`.
pub(crate) fn given(path: &Path) -> anyhow::Result<Option<Extracted>> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz")) || !path.is_file() {
        return Ok(None);
    }
    let mut npz = Npz::open(path)?;
    if !npz.contains("features") {
        return Ok(None);
    }
    let shape = |array: &AnyArray| array.shape().to_vec();
    let features = npz.array("features")?;
    let found = shape(&features);
    let features = features.into_f32().into_dimensionality::<Ix2>().ok();
    let features = features.with_context(|| {
        format!("{}: array features has shape {found:?}, expected [n, width]", path.display())
    })?;
    if let Some(row) = features.outer_iter().position(|row| !row.iter().all(|x| x.is_finite())) {
        return Err(wrong_data(format!(
            "{}: array features: row {row} holds a number that is not finite, or too large for f32",
            path.display()
        )));
    }
    if features.nrows() < 2 {
        let rows = features.nrows();
        return Err(wrong_data(format!(
            "{}: array features: {rows} rows, expected 2 or more",
            path.display()
        )));
    }
    let answers = match npz.contains("answers") {
        true => npz.array("answers")?.into_f32().into_dimensionality::<Ix2>().ok(),
        false => None,
    };
    Ok(Some(Extracted { features, answers }))
}

fn in_parts(
    count: usize,
    what: &str,
    global: &Global,
    mut part: impl FnMut(usize, usize) -> anyhow::Result<Extracted>,
) -> anyhow::Result<Extracted> {
    ensure!(count > 0, "there are no images");
    let bar = progress::bar(global, count as u64, what);
    let (mut features, mut answers) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(PART) {
        let size = PART.min(count - first);
        let extracted = part(first, size)?;
        features.push(extracted.features);
        answers.extend(extracted.answers);
        bar.inc(size as u64);
    }
    bar.finish_and_clear();
    let joined =
        |parts: &[Array2<f32>]| concatenate(Axis(0), &parts.iter().map(Array2::view).collect::<Vec<_>>());
    let answers = if answers.is_empty() { None } else { Some(joined(&answers)?) };
    Ok(Extracted { features: joined(&features)?, answers })
}

/// The path is made from what the features depend on.
fn cache_path(data: &str, weights: &str) -> Option<PathBuf> {
    let name = format!("features-{data:.24}-{weights:.24}.npz");
    Some(config::cache_dir()?.join(name))
}

/// A cache that is damaged or of another size counts as missing.
fn from_cache(path: &Path, count: usize, width: usize) -> Option<Extracted> {
    let found = given(path).ok()??;
    let fits = found.features.dim() == (count, width) && found.features.iter().all(|x| x.is_finite());
    fits.then_some(found)
}

fn to_cache(path: &Path, extracted: &Extracted) -> anyhow::Result<()> {
    files::make_folder(files::parent(path))?;
    write(path, extracted)
}

/// Writes what [`given`] reads, and the class probabilities if the network has any.
pub(crate) fn write(path: &Path, extracted: &Extracted) -> anyhow::Result<()> {
    let mut arrays = vec![("features", AnyArray::from(extracted.features.clone()))];
    if let Some(answers) = &extracted.answers {
        arrays.push(("answers", AnyArray::from(answers.clone())));
    }
    dataset::write_npz(path, &arrays)?;
    Ok(())
}
