//! Checks of an evaluation, before anything is opened and after.

use std::collections::BTreeSet;

use anyhow::{Context, anyhow};
use features::Extractor;
use ndarray::Axis;
use tracing::info;

use super::folder::Folder;
use super::references::Reference;
use super::subject::Subject;
use super::wanted::{self, Wanted};
use super::{BITS_IMAGES, Evaluate, N, SHIPPED};
use crate::failure::{bail_usage, usage};
use crate::flags::Weights;
use crate::output;

impl Evaluate {
    /// Refuses what can be known to be wrong before anything is opened.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        wanted::parse(&self.metrics, &[])?;
        if let Some(n) = self.n.filter(|n| !(2..=1_000_000).contains(n)) {
            bail_usage!("--n {n}: expected 2 to 1000000");
        }
        if !(2..=1_000_000).contains(&self.bits_images) {
            bail_usage!("--bits-images {}: expected 2 to 1000000", self.bits_images);
        }
        if self.images.is_some() && self.data.is_none() {
            bail_usage!("--images: pass the real images to compare with, such as --data fashion-mnist");
        }
        if self.images.is_none() && !self.set.is_empty() {
            bail_usage!(
                "--set applies to --images only; a network's own configuration says how its images are read"
            );
        }
        if self.images.is_some() {
            self.refuse_flags_of_networks()?;
        }
        self.noise.validate()?;
        self.sampler.check()?;
        self.guidance.check()?;
        self.mixture.check()?;
        self.out
            .as_deref()
            .map_or(Ok(()), |folder| output::try_folder("--out", folder, &Folder::of_out(folder).names()))
    }

    /// Refuses sampling flags, since --images draws no samples.
    pub(super) fn refuse_flags_of_networks(&self) -> anyhow::Result<()> {
        let sampler = !self.sampler.leave_it_to_the_network() || self.sampler.steps.is_some();
        let weights = self.model.weights != Weights::Ema;
        let given = [
            ("sampler flags", sampler),
            ("class and guidance flags", !self.guidance.is_empty()),
            ("--mixture", self.mixture.mixture.is_some()),
            ("--weights", weights),
            ("--best", self.model.best),
            ("--bits-images", self.bits_images != BITS_IMAGES),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((what, _)) => bail_usage!("--images: no samples are drawn; leave out {what}"),
            None => Ok(()),
        }
    }

    /// Refuses metrics that need more images than there are, or skips them if nobody asked for them.
    pub(super) fn check_counts(
        &self,
        subject: &Subject,
        references: &[Reference],
        wanted: &mut BTreeSet<Wanted>,
    ) -> anyhow::Result<()> {
        let samples = match subject {
            Subject::Network(_) => self.n.unwrap_or(N),
            Subject::Images { images, .. } => images.len_of(Axis(0)),
            Subject::Rows { rows, .. } => rows.features.nrows(),
        };
        let counts = references.iter().map(Reference::count);
        let all = counts.chain([samples]).min().unwrap_or(0);
        for (metric, least, found) in [(Wanted::Prdc, 6, all), (Wanted::Is, 100, samples)] {
            if !wanted.contains(&metric) || found >= least {
                continue;
            }
            if self.metrics.is_empty() {
                info!("{} is skipped: it needs at least {least} images of each set", metric.name());
                wanted.remove(&metric);
            } else {
                bail_usage!("--metrics {}: needs at least {least} images, found {found}", metric.name());
            }
        }
        Ok(())
    }

    /// The network for features, if features are wanted and none are given.
    pub(super) fn extractor(
        &self,
        subject: &Subject,
        references: &[Reference],
        wanted: &BTreeSet<Wanted>,
        device: tch::Device,
    ) -> anyhow::Result<Option<Extractor>> {
        let given = references.iter().any(|reference| reference.images.is_none());
        let is_rows = matches!(subject, Subject::Rows { .. });
        if given != is_rows {
            bail_usage!(
                "features and images cannot be compared: {} holds features, the other one images",
                if is_rows { "--images" } else { "--data" }
            );
        }
        if let Some(features) = self.features.as_ref().filter(|_| is_rows) {
            bail_usage!("--features {}: --images holds features already; leave it out", features.display());
        }
        if is_rows || !wanted.iter().any(|wanted| wanted.needs_features() || *wanted == Wanted::Copying) {
            return Ok(None);
        }
        let shapes =
            references.iter().filter_map(|reference| reference.images.as_ref().map(|images| images.shape()));
        let sampled = match subject {
            Subject::Network(drawing) => drawing.shape(),
            Subject::Images { images, .. } => {
                let (_, height, width, channels) = images.dim();
                (height, width, channels)
            }
            Subject::Rows { .. } => return Ok(None),
        };
        let shapes: Vec<_> = shapes.chain([sampled]).collect();
        let needed = wanted.iter().any(|wanted| wanted.needs_features());
        let extractor = match &self.features {
            Some(path) => Extractor::open(path, device).context("--features")?,
            None if shapes.iter().all(|shape| *shape == SHIPPED) => Extractor::fashion(device)?,
            // Copying can be tested on pixels.
            None if !needed => return Ok(None),
            None => {
                let (height, width, channels) =
                    shapes.iter().find(|shape| **shape != SHIPPED).copied().unwrap_or(SHIPPED);
                bail_usage!(
                    "the shipped features are for 28x28 grey images, these have {width}x{height} pixels and {channels} channels: \
                     pass a network with --features (`ddpm train-features` trains one on labelled images, \
                     scripts/convert_inception.py converts InceptionV3's weights), or use --metrics copying, which works on pixels"
                )
            }
        };
        for (height, width, channels) in shapes {
            extractor
                .check(height, width, channels)
                .map_err(|error| usage(anyhow!("--features: {error}")))?;
        }
        Ok(Some(extractor))
    }
}
