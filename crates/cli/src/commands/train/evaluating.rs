//! Regular evaluations during training: samples of the averaged weights against real images, the loss on held-out images by
//! noise level, and whether the samples repeat training images. The best checkpoint is kept.

use dataset::Dataset;
use features::Extractor;
use metrics::{Moments, frechet_distance};
use ndarray::{Array4, Axis};
use schedule::NoisePath;
use tch::{Kind, Tensor};
use tracing::{info, warn};
use trainer::{Batch, BoxError, Checkpoint, Claim, EvaluationRecord, held_out_losses, read_evaluations};
use unet::{Backbone, Pass};

use crate::commands::evaluate::{self, Reference, TEST, TRAIN, copies, rows};
use crate::config::Config;
use crate::flags::Global;
use crate::run_data;

/// Held-out images for the loss.
const HELD_OUT: usize = 256;

/// What the evaluations of a run compare with; opened once.
pub(crate) struct Evaluating {
    extractor: Option<Extractor>,
    references: Vec<Reference>,
    /// Moments of the references' features, which do not change.
    moments: Vec<(&'static str, Moments)>,
    /// The first held-out images, as the network sees them.
    held_out: Option<Batch>,
    mirrored: bool,
    seed: u64,
}

impl Evaluating {
    /// Opens the images that `config` names and computes their features; `None` if no evaluation is due.
    pub(crate) fn open(config: &Config, net: &dyn Backbone, global: &Global) -> anyhow::Result<Option<Self>> {
        if config.train.evaluate_every == 0 {
            return Ok(None);
        }
        let data = run_data::locate(config, Some(&config.data.source))?;
        let mut references = evaluate::open_references(&data, None)?;
        let fits = |reference: &Reference| {
            reference.images.as_ref().is_some_and(|images| images.shape() == evaluate::SHIPPED)
        };
        let extractor = match references.iter().all(fits) {
            true => Some(Extractor::fashion(net.device())?),
            false => {
                info!(
                    "no distances in this run's evaluations: the shipped features are for 28x28 grey images"
                );
                None
            }
        };
        if let Some(extractor) = &extractor {
            references.iter_mut().try_for_each(|reference| reference.look(extractor, global))?;
        }
        let of = |reference: &Reference| {
            let rows = reference.rows.as_ref();
            rows.map(|rows| Ok((reference.part, Moments::of(&rows.features)?)))
        };
        let moments = references.iter().filter_map(of).collect::<anyhow::Result<_>>()?;
        let test = references.iter().find(|reference| reference.part == TEST);
        let held_out = test.and_then(|test| test.images.as_ref());
        let held_out = held_out.map(|images| first(images, config, net)).transpose()?;
        if held_out.is_none() {
            info!("no held-out images in {}: their loss, and copying, are not evaluated", data.source);
        }
        if extractor.is_none() && held_out.is_none() {
            warn!(
                "train.evaluate_every: nothing can be evaluated: there are no features for such images, and no held-out \
                 images"
            );
            return Ok(None);
        }
        let (mirrored, seed) = (config.train.flip, config.seed);
        Ok(Some(Self { extractor, references, moments, held_out, mirrored, seed }))
    }

    /// Evaluates samples `[n, h, w, c]` and the network that drew them.
    pub(crate) fn measure(
        &self,
        done: u64,
        samples: &Array4<u8>,
        config: &Config,
        path: &dyn NoisePath,
        (net, kind): (&dyn Backbone, Kind),
    ) -> anyhow::Result<EvaluationRecord> {
        let mut record =
            EvaluationRecord { step: done, n: samples.len_of(Axis(0)), ..EvaluationRecord::default() };
        let looked = self.extractor.as_ref().map(|extractor| extractor.extract(samples.view()));
        let looked = looked.transpose()?;
        if let (Some(extractor), Some(looked)) = (&self.extractor, &looked) {
            record.distance = Some(extractor.distance_title());
            let of_samples = Moments::of(&looked.features)?;
            for (part, moments) in &self.moments {
                let distance = frechet_distance(&of_samples, moments)?;
                match *part {
                    TRAIN => record.fd_train = Some(distance),
                    _ => record.fd_test = Some(distance),
                }
            }
        }
        if let [train, test] = &self.references[..]
            && let Some(found) =
                copies::test(Some(samples.view()), looked.as_ref(), train, test, self.mirrored)?
        {
            record.copying_share = Some(found.share);
            record.copies = found.flagged;
            if found.flagged {
                warn!("step {done}: {}", found.text());
            }
        }
        if let Some(held_out) = &self.held_out {
            let pass = Pass::eval().with_kind(kind);
            let model = |x_t: &Tensor, t: &Tensor, labels: Option<&Tensor>| -> Result<Tensor, BoxError> {
                Ok(net.forward(x_t, t, labels, &pass)?)
            };
            let most = config.train.micro_batch;
            let losses =
                held_out_losses(path, &config.train, held_out, &model, (self.seed, net.device(), most))?;
            record.held_out_loss = Some(losses.iter().sum::<f64>() / losses.len() as f64);
            record.held_out_by_t = losses.to_vec();
        }
        Ok(record)
    }
}

/// Keeps a copy of a checkpoint that is better than all earlier ones, in place of the previous best.
pub(crate) fn keep_if_best(
    claim: &Claim,
    record: &EvaluationRecord,
    checkpoint: &Checkpoint,
) -> anyhow::Result<bool> {
    let Some(score) = record.score() else { return Ok(false) };
    let before = read_evaluations(claim.path())?;
    let best = before.iter().filter(|other| other.step < record.step).filter_map(EvaluationRecord::score);
    if best.fold(f64::INFINITY, f64::min) <= score {
        return Ok(false);
    }
    claim.check()?;
    checkpoint.keep_alone_in(&claim.path().join("best"))?;
    Ok(true)
}

/// The first images of a set as the network sees them.
fn first(images: &Dataset, config: &Config, net: &dyn Backbone) -> anyhow::Result<Batch> {
    let bordered = rows::bordered(images, config)?;
    let (images, labels) = rows::as_seen(&bordered, 0..bordered.len().min(HELD_OUT), net)?;
    Ok(Batch { images, labels })
}
