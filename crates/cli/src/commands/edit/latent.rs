//! Encodes images to noise and decodes them back, for `encode`, `decode` and `interpolate`.

use std::ops::Range;

use indicatif::ProgressBar;
use sampler::{BoxError, Encoder, End, Noise, Sampler, SamplerConfig, Step};
use tch::Tensor;

use crate::commands::edit::setup::{Setup, in_flags};
use crate::commands::sampling::tick;
use crate::failure::bail_usage;

/// The deterministic flow in both directions.
pub(crate) struct Codec {
    encoder: Encoder,
    decoder: Sampler,
}

impl Codec {
    /// Takes the solver of the flags for both directions.
    pub(crate) fn new(setup: &Setup<'_>, end: End) -> anyhow::Result<Self> {
        let encoder = Encoder::new(&*setup.loaded.path, &setup.config).map_err(in_flags)?;
        Ok(Self { encoder, decoder: decoder(setup, end)? })
    }

    /// Network calls for encoding and for decoding.
    pub(crate) fn calls(&self) -> usize {
        self.encoder.calls() + self.decoder.calls()
    }

    /// Steps of encoding.
    pub(crate) fn encoding_steps(&self) -> usize {
        self.encoder.steps()
    }

    /// Steps of decoding.
    pub(crate) fn decoding_steps(&self) -> usize {
        self.decoder.steps()
    }

    /// Adds the noise of t = 0 to `x_0` `[1, c, h, w]`: that of image `index` of the seed.
    pub(crate) fn diffuse(&self, setup: &Setup<'_>, x_0: &Tensor, index: u64) -> anyhow::Result<Tensor> {
        let noise = Noise { seed: setup.noise.seed(), first_index: index };
        Ok(self.encoder.diffuse(x_0, &noise)?)
    }

    /// Encodes `x_0` to `x_T`, both `[b, c, h, w]`.
    pub(crate) fn encode(
        &self,
        setup: &Setup<'_>,
        x_0: &Tensor,
        bar: &ProgressBar,
    ) -> anyhow::Result<Tensor> {
        let model = setup.model(0..x_0.size()[0] as usize)?;
        let mut on_step = |step: &Step<'_>| {
            tick(bar, step);
            Ok(())
        };
        Ok(self.encoder.encode(&*model, x_0, &mut on_step)?)
    }

    /// Decodes `x_T` to images.
    pub(crate) fn decode(
        &self,
        setup: &Setup<'_>,
        x_t: &Tensor,
        bar: &ProgressBar,
    ) -> anyhow::Result<Tensor> {
        let mut on_step = |step: &Step<'_>| {
            tick(bar, step);
            Ok(())
        };
        decode(setup, &self.decoder, x_t, 0..x_t.size()[0] as usize, &mut on_step)
    }
}

/// The deterministic solver of the flags.
pub(crate) fn decoder(setup: &Setup<'_>, end: End) -> anyhow::Result<Sampler> {
    let config = SamplerConfig { end, ..setup.config.clone() };
    let sampler = Sampler::new(&*setup.loaded.path, &config).map_err(in_flags)?;
    if sampler.is_stochastic() {
        bail_usage!(
            "--sampler {0}: {0} adds noise, so it does not lead back to an image; use a deterministic solver, such as \
             heun, or draw another image with `ddpm sample --init-noise`",
            config.method
        );
    }
    Ok(sampler)
}

/// Decodes `x_T` to images; `images` is their range among all images drawn.
pub(crate) fn decode(
    setup: &Setup<'_>,
    decoder: &Sampler,
    x_t: &Tensor,
    images: Range<usize>,
    on_step: &mut dyn FnMut(&Step<'_>) -> Result<(), BoxError>,
) -> anyhow::Result<Tensor> {
    let model = setup.model(images)?;
    // Unused: a deterministic solver draws no noise.
    let noise = Noise { seed: 0, first_index: 0 };
    Ok(decoder.sample(&*model, x_t, &noise, on_step)?)
}
