//! What is evaluated: a network that is sampled, existing images, or features.

use std::path::Path;

use features::Extracted;
use ndarray::{Array2, Array4, Axis};
use sampler::{Sampler, Step};

use crate::commands::evaluate::rows;
use crate::commands::evaluate::usual_sampler;
use crate::commands::evaluation::Evaluation;
use crate::commands::sampling::{self, NoiseArgs};
use crate::conditioning::Conditioning;
use crate::config::{self, DataConfig};
use crate::device::Precision;
use crate::flags::{Global, Weights};
use crate::guidance_flags::GuidanceArgs;
use crate::mixture_flags::{self, MixtureFlags, Start};
use crate::model::Loaded;
use crate::paths;
use crate::sampler_flags::SamplerArgs;

/// What is evaluated.
pub(crate) enum Subject {
    /// A network and how it is sampled.
    Network(Box<Drawing>),
    /// Existing images.
    Images { source: String, images: Array4<u8> },
    /// Features of images.
    Rows { source: String, rows: Extracted },
}

/// A network and how it is sampled.
pub(crate) struct Drawing {
    pub(crate) loaded: Loaded,
    weights: Weights,
    /// The solver's name.
    name: String,
    sampler: Sampler,
    start: Option<Start>,
    conditioning: Conditioning,
    /// Other settings that affect the samples, for people.
    settings: Vec<String>,
}

impl Drawing {
    /// Checks the flags against the network.
    pub(crate) fn new(
        loaded: Loaded,
        weights: Weights,
        (sampler, guidance, mixture): (&SamplerArgs, &GuidanceArgs, &MixtureFlags),
    ) -> anyhow::Result<Self> {
        let (name, steps) = usual_sampler(&loaded.config.sample);
        let flags = sampler.or(name, steps.min(loaded.path.steps()));
        let start = mixture.open(&loaded)?;
        let sampler = mixture_flags::sampler(start.as_ref(), &flags, sampler.steps, &loaded)?;
        let conditioning = guidance.conditioning_or_all(&loaded)?;
        let mut settings = flags.settings();
        settings.extend(guidance.settings());
        settings.extend(mixture.settings());
        if loaded.precision != Precision::F32 {
            settings.push(loaded.precision.name().to_owned());
        }
        let name = flags.name().to_owned();
        Ok(Self { loaded, weights, name, sampler, start, conditioning, settings })
    }

    fn weights(&self) -> &'static str {
        match self.weights {
            Weights::Ema => "ema",
            Weights::Raw => "raw",
        }
    }

    /// What is evaluated, for people.
    fn text(&self) -> String {
        let place = self.loaded.run.as_deref().unwrap_or(&self.loaded.checkpoint);
        format!("{}, step {}, {} weights", place.display(), self.loaded.step, self.weights())
    }

    /// Height, width and channels of the images it draws.
    pub(crate) fn shape(&self) -> (usize, usize, usize) {
        self.loaded.images.inner_shape()
    }

    /// Records what was drawn, and how.
    pub(crate) fn describe(&self, record: &mut Evaluation) -> anyhow::Result<()> {
        record.what = self.text();
        record.run = self.loaded.run.as_deref().map(paths::text);
        record.step = Some(self.loaded.step);
        record.weights = Some(self.weights().to_owned());
        record.sampler = Some(self.name.clone());
        record.steps = Some(self.sampler.steps());
        record.guidance = self.conditioning.guidance().map(|guidance| guidance.scale);
        record.settings = (!self.settings.is_empty()).then(|| self.settings.join(", "));
        let classes = self.conditioning.classes();
        record.classes = (!classes.is_empty()).then(|| classes.to_vec());
        Ok(())
    }

    /// Draws `count` images, u8 `[count, h, w, c]`; image i is that of `ddpm sample` with the same flags.
    pub(crate) fn draw(
        &self,
        noise: &NoiseArgs,
        count: usize,
        global: &Global,
    ) -> anyhow::Result<Array4<u8>> {
        let (loaded, sampler) = (&self.loaded, &self.sampler);
        sampling::in_batches(loaded, noise, count, sampler.steps(), global, |range, noise, bar| {
            let known = (loaded, &self.conditioning);
            let x_start = mixture_flags::x_start(self.start.as_ref(), sampler, known, noise, range.clone())?;
            let network = (&*loaded.net, loaded.precision.kind());
            let model = self.conditioning.model(network, loaded.path.steps(), range)?;
            let mut on_step = |step: &Step<'_>| {
                sampling::tick(bar, step);
                Ok(())
            };
            Ok(sampler.sample(&*model, &x_start, noise, &mut on_step)?)
        })
    }
}

/// Reads the images of a folder, an archive or an array, or the features in a `.npz`; the first `most` of them.
pub(crate) fn open(source: &str, data: &DataConfig, most: Option<usize>) -> anyhow::Result<Subject> {
    let text = source.to_owned();
    if let Some(mut rows) = rows::given(Path::new(source))? {
        let kept = most.unwrap_or(usize::MAX).min(rows.features.nrows());
        let cut = |rows: &Array2<f32>| rows.slice_axis(Axis(0), (..kept.min(rows.nrows())).into()).to_owned();
        rows = Extracted { features: cut(&rows.features), answers: rows.answers.as_ref().map(cut) };
        return Ok(Subject::Rows { source: text, rows });
    }
    let data = DataConfig { source: text.clone(), limit: most, ..data.unpadded() };
    let set = config::open_of("--images", &data)?;
    Ok(Subject::Images { source: text, images: set.images(0..set.len())? })
}
