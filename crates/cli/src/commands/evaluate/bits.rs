//! The likelihood of real images under the network: the variational bound, and the probability flow.

use std::ops::{ControlFlow, Range};

use anyhow::Context;
use dataset::Dataset;
use likelihood::{Batch, BoundOptions, Levels, OdeOptions, Output, Progress, Summary, Terms};
use tch::Tensor;
use unet::Pass;

use crate::commands::evaluate::rows;
use crate::commands::evaluation::{Bits, Metric};
use crate::flags::Global;
use crate::model::Loaded;
use crate::{output, progress};

/// Terms of the bound computed for each image; they give an unbiased estimate of the others.
const TERMS: usize = 100;
/// Steps of the flow, each with two network calls and their gradients.
const FLOW_STEPS: usize = 50;
/// Steps that a continuous path is cut into.
const CUT: usize = 1000;

/// Images whose likelihood is computed, and how.
pub(crate) struct Likelihood<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) images: &'a Dataset,
    /// `train` or `test`.
    pub(crate) part: &'static str,
    pub(crate) count: usize,
    /// Batch size.
    pub(crate) batch: usize,
    pub(crate) seed: u64,
}

impl Likelihood<'_> {
    /// The variational bound with its terms.
    pub(crate) fn bound(&self, global: &Global) -> anyhow::Result<(Metric, Bits)> {
        let path = &*self.loaded.path;
        // A continuous path has no steps of its own.
        let levels = Levels::chain(path, (!path.is_discrete()).then_some(CUT))?;
        let steps = levels.len();
        let mut options = BoundOptions::new(levels, self.output());
        options.terms = if TERMS < steps { Terms::Sampled(TERMS) } else { Terms::All };
        options.seed = self.seed;
        let bar = progress::bar(global, (self.batches().count() * TERMS.min(steps)) as u64, "bits/dim");
        let found = likelihood::bound(&options, &self.model(), self.tensors(), &mut |_: &Progress| {
            bar.inc(1);
            Ok(ControlFlow::Continue(()))
        });
        bar.finish_and_clear();
        let found = found.context("--metrics bpd")?;
        let title = match path.is_discrete() {
            true => "bits/dim (variational bound)".to_owned(),
            false => format!("bits/dim (bound, cut into {CUT} steps)"),
        };
        let bits = Bits {
            reference: self.part.to_owned(),
            n: found.bits.per_image.len(),
            prior: found.prior,
            decoder: found.decoder,
            total: found.bits.mean,
            by_t: found.by_t.iter().map(|term| (term.t, term.bits)).collect(),
        };
        Ok((self.metric("bpd", title, &found.bits), bits))
    }

    /// The likelihood by the probability flow.
    pub(crate) fn ode(&self, global: &Global) -> anyhow::Result<Metric> {
        let levels = Levels::flow(&*self.loaded.path, FLOW_STEPS)?;
        let mut options = OdeOptions::new(levels, self.output());
        options.seed = self.seed;
        let bar = progress::bar(global, (self.batches().count() * FLOW_STEPS) as u64, "bits/dim by the flow");
        let found = likelihood::ode(&options, &self.model(), self.tensors(), &mut |_: &Progress| {
            bar.inc(1);
            Ok(ControlFlow::Continue(()))
        });
        bar.finish_and_clear();
        Ok(self.metric(
            "ode",
            "bits/dim (probability flow)".to_owned(),
            &found.context("--metrics ode")?.bits,
        ))
    }

    fn output(&self) -> Output {
        let train = &self.loaded.config.train;
        Output { prediction: train.output(), learned_variance: train.outputs_per_channel() == 2 }
    }

    fn model(
        &self,
    ) -> impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, likelihood::BoxError> + '_ {
        let pass = Pass::eval().with_kind(self.loaded.precision.kind());
        move |x_t, t, labels| Ok(self.loaded.net.forward(x_t, t, labels, &pass)?)
    }

    fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, batch) = (self.count.min(self.images.len()), self.batch);
        (0..count).step_by(batch).map(move |first| first..(first + batch).min(count))
    }

    fn tensors(&self) -> impl Iterator<Item = Result<Batch, likelihood::BoxError>> + '_ {
        self.batches().map(|range| Ok(self.tensor(range)?))
    }

    /// Images as the network sees them, with their labels if it was trained on classes.
    fn tensor(&self, range: Range<usize>) -> anyhow::Result<Batch> {
        let (images, labels) = rows::as_seen(self.images, range, &*self.loaded.net)?;
        Ok(Batch { images: images.f_to_device(self.loaded.device)?, labels })
    }

    fn metric(&self, name: &str, title: String, bits: &Summary) -> Metric {
        Metric {
            name: name.to_owned(),
            title: format!("{title}, {}{}", output::images(bits.per_image.len()), self.border()),
            reference: Some(self.part.to_owned()),
            value: bits.mean,
            // Discrete grey levels take at least 0 bits.
            low: bits.interval.map(|interval| interval.0.max(0.0)),
            high: bits.interval.map(|interval| interval.1),
            better: "lower".to_owned(),
        }
    }

    /// Names the border, which counts towards the likelihood.
    fn border(&self) -> String {
        let (height, width, _) = self.images.shape();
        if self.images.padding().is_none() {
            String::new()
        } else {
            format!(" with border, {width}x{height}")
        }
    }
}
