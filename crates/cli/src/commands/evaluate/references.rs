//! The real images that samples are compared with: training images and held-out images.

use std::path::Path;

use dataset::{Dataset, Split};
use features::{Extracted, Extractor};
use ndarray::Array2;
use sha2::{Digest, Sha256};
use tracing::info;

use crate::commands::evaluate::rows;
use crate::commands::evaluation::ReferenceRecord;
use crate::config::{self, DataConfig};
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::paths;

/// Name of the training images.
pub(crate) const TRAIN: &str = "train";
/// Name of the held-out images.
pub(crate) const TEST: &str = "test";
/// Images that are used of a streamed set: as many as the Frechet distance is usually computed with.
const MOST: usize = 50_000;

/// A set of real images, or of their features.
pub(crate) struct Reference {
    pub(crate) part: &'static str,
    /// The location, for people.
    source: String,
    pub(crate) images: Option<Dataset>,
    /// Set by [`Reference::look`], or given.
    pub(crate) rows: Option<Extracted>,
}

impl Reference {
    fn of_images(part: &'static str, source: String, images: Dataset) -> Self {
        Self { part, source, images: Some(images), rows: None }
    }

    /// Makes a reference of a file of features.
    fn of_rows(part: &'static str, path: &Path, rows: Extracted) -> Self {
        Self { part, source: paths::text(path), images: None, rows: Some(rows) }
    }

    /// Whether `other` has the same images or features.
    pub(crate) fn is_same(&self, other: &Self) -> anyhow::Result<bool> {
        Ok(match (&self.images, &other.images) {
            (Some(own), Some(others)) => own.fingerprint()? == others.fingerprint()?,
            (None, None) => match (&self.rows, &other.rows) {
                (Some(own), Some(others)) => own.features == others.features,
                _ => false,
            },
            _ => false,
        })
    }

    /// Computes the features of all images.
    pub(crate) fn look(&mut self, extractor: &Extractor, global: &Global) -> anyhow::Result<()> {
        if let (Some(images), None) = (&self.images, &self.rows) {
            self.rows = Some(rows::of_dataset(extractor, images, global)?);
        }
        Ok(())
    }

    /// Number of images, or of rows of features.
    pub(crate) fn count(&self) -> usize {
        match (&self.images, &self.rows) {
            (Some(images), _) => images.len(),
            (None, rows) => rows.as_ref().map_or(0, |rows| rows.features.nrows()),
        }
    }

    pub(crate) fn record(&self) -> anyhow::Result<ReferenceRecord> {
        let count = self.count();
        let sha256 = match (&self.images, &self.rows) {
            (Some(images), _) => Some(images.fingerprint()?),
            (None, rows) => rows.as_ref().map(|rows| hash(&rows.features)),
        };
        Ok(ReferenceRecord { part: self.part.to_owned(), data: self.source.clone(), count, sha256 })
    }
}

/// SHA-256 of all numbers, row by row.
fn hash(features: &Array2<f32>) -> String {
    let mut hash = Sha256::new();
    features.iter().for_each(|number| hash.update(number.to_le_bytes()));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens `data` as the training set. The test set is `held_out`, or else the test part of `data`.
pub(crate) fn open(data: &DataConfig, held_out: Option<&str>) -> anyhow::Result<Vec<Reference>> {
    let data = data.unpadded();
    if let Some(rows) = rows::given(Path::new(&data.source))? {
        let mut references = vec![Reference::of_rows(TRAIN, Path::new(&data.source), rows)];
        if let Some(path) = held_out.map(Path::new) {
            let Some(rows) = rows::given(path)? else {
                bail_usage!(
                    "--held-out {}: expected features, as in --data: an .npz with an array `features`, f32 [n, width]",
                    path.display()
                );
            };
            references.push(Reference::of_rows(TEST, path, rows));
        }
        return Ok(references);
    }
    let train = some_of(config::open(&data)?, &data, config::open)?;
    let mut references = vec![Reference::of_images(TRAIN, data.source.clone(), train)];
    // The limit on training images does not apply to the others.
    let others = DataConfig { limit: None, ..data.clone() };
    if let Some(source) = held_out {
        let others = DataConfig { source: source.to_owned(), ..others };
        let open = |data: &DataConfig| config::open_of("--held-out", data);
        let images = some_of(open(&others)?, &others, open)?;
        references.push(Reference::of_images(TEST, source.to_owned(), images));
        return Ok(references);
    }
    let (bare, part) = Split::of_spec(&data.source);
    if part.is_none_or(|part| part == Split::Train) {
        for part in [Split::Test, Split::Validation] {
            let source = format!("{bare}:{part}");
            let others = DataConfig { source: source.clone(), ..others.clone() };
            if let Some(images) = config::open_part(&others)? {
                let images = some_of(images, &others, config::open)?;
                references.push(Reference::of_images(TEST, source, images));
                break;
            }
        }
    }
    Ok(references)
}

/// The images of `data` to compare with: all, or some of a set that does not fit in memory, spread evenly over it.
fn some_of(
    images: Dataset,
    data: &DataConfig,
    open: impl Fn(&DataConfig) -> anyhow::Result<Dataset>,
) -> anyhow::Result<Dataset> {
    if !images.is_streamed() || images.len() <= MOST {
        return Ok(images);
    }
    info!("{}: comparing with {MOST} of {} images, spread evenly over the set", data.source, images.len());
    open(&DataConfig { limit: Some(MOST), ..data.clone() })
}
