//! The images of `ddpm train-features`, and those that measure the accuracy.

use anyhow::anyhow;
use dataset::{Dataset, DatasetError, Split};
use features::Selection;
use run_images::DataError;
use tracing::{info, warn};

use crate::config::{self, DataConfig, Layers, parse_set};
use crate::failure::usage;

/// Share of the images that is held out if there is no test part.
const HELD_OUT: f64 = 0.1;

/// Keys that `--set` may change; the other keys concern other networks.
const KEYS: [&str; 7] = ["size", "channels", "fit", "limit", "on_bad", "unpacked_limit", "memory"];

/// Images to train on, and the test part if there is one.
pub(super) struct Images {
    source: String,
    set: Dataset,
    test: Option<Dataset>,
}

impl Images {
    pub(super) fn open(source: &str, set: &[String]) -> anyhow::Result<Self> {
        let changes = set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
        for key in changes.iter().map(config::Override::key) {
            if !key.strip_prefix("data.").is_some_and(|key| KEYS.contains(&key)) {
                let known = KEYS.map(|key| format!("data.{key}")).join(", ");
                return Err(usage(anyhow!("--set {key}: expected one of {known}")));
            }
        }
        let group =
            Layers { data: Some(source), set: &changes, ..Layers::default() }.data_group()?.unpadded();
        let set = config::open(&group)?;
        set.notes().iter().for_each(|note| info!("--data: {note}"));
        let test = test_part(&group)?.filter(|test| fits(&set, test));
        Ok(Self { source: source.to_owned(), set, test })
    }

    pub(super) fn set(&self) -> &Dataset {
        &self.set
    }

    /// The images to train on, and the held-out images.
    pub(super) fn parts(&self, seed: u64) -> (Selection<'_>, Selection<'_>) {
        match &self.test {
            Some(test) => (Selection::all(&self.set), Selection::all(test)),
            None => Selection::split(&self.set, seed, HELD_OUT),
        }
    }

    /// A description of the training images: a name without its folder, which may be private.
    pub(super) fn described(&self) -> String {
        let (bare, part) = Split::of_spec(&self.source);
        let name = std::path::Path::new(bare).file_name();
        let name = name.map_or_else(|| bare.to_owned(), |name| name.to_string_lossy().into_owned());
        part.map_or_else(|| name.clone(), |part| format!("{name}:{part}"))
    }

    /// A description of the held-out images.
    pub(super) fn held_out_described(&self) -> String {
        if self.test.is_some() { "the test part".to_owned() } else { "a tenth of the images".to_owned() }
    }
}

/// The test part of a source, if the source is not one itself and has one.
fn test_part(group: &DataConfig) -> anyhow::Result<Option<Dataset>> {
    let (bare, part) = Split::of_spec(&group.source);
    if part.is_some_and(|part| part != Split::Train) {
        return Ok(None);
    }
    let test = DataConfig { source: format!("{bare}:{}", Split::Test), ..group.clone() };
    match config::open(&test) {
        Ok(test) => Ok(Some(test)),
        Err(error) if error.chain().any(is_no_part) => Ok(None),
        Err(error) => Err(error.context("the test part of --data")),
    }
}

fn is_no_part(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(DataError::Source { error: DatasetError::NoPart { .. }, .. }))
}

/// Whether the accuracy on the test part is meaningful.
fn fits(set: &Dataset, test: &Dataset) -> bool {
    let why = if test.shape() != set.shape() {
        "its images have another size"
    } else if !set.class_names().starts_with(test.class_names()) {
        // The last classes may have no images in it.
        "it has other classes"
    } else if test.label(0).is_none() {
        "it has no labels"
    } else {
        return true;
    };
    warn!("--data: the test part is not used, because {why}: a tenth of the images is held out instead");
    false
}
