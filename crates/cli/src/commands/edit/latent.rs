//! From images to the noise they stem from, and back: what encoding, decoding and interpolating share.

use std::ops::Range;

use indicatif::ProgressBar;
use sampler::{BoxError, Encoder, End, Noise, Sampler, SamplerConfig, Step};
use tch::Tensor;

use crate::commands::edit::setup::{Setup, in_flags};
use crate::commands::sampling::tick;
use crate::failure::bail_usage;

/// Both directions along the flow.
pub(crate) struct Codec {
    encoder: Encoder,
    decoder: Sampler,
}

impl Codec {
    /// The solver of the flags, both ways.
    pub(crate) fn new(setup: &Setup<'_>, end: End) -> anyhow::Result<Self> {
        let encoder = Encoder::new(&*setup.loaded.path, &setup.config).map_err(in_flags)?;
        Ok(Self { encoder, decoder: decoder(setup, end)? })
    }

    /// Network calls up and down.
    pub(crate) fn calls(&self) -> usize {
        self.encoder.calls() + self.decoder.calls()
    }

    /// Steps up.
    pub(crate) fn encoding_steps(&self) -> usize {
        self.encoder.steps()
    }

    /// Steps down.
    pub(crate) fn decoding_steps(&self) -> usize {
        self.decoder.steps()
    }

    /// `x_0` `[1, c, h, w]` with the noise of t = 0 in, that of some image of the seed.
    pub(crate) fn diffuse(&self, setup: &Setup<'_>, x_0: &Tensor, index: u64) -> anyhow::Result<Tensor> {
        let noise = Noise { seed: setup.noise.seed(), first_index: index };
        Ok(self.encoder.diffuse(x_0, &noise)?)
    }

    /// `x_T` of `x_0`, both `[b, c, h, w]`.
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

    /// And back.
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

/// Images of `x_T`; `images` is which ones they are of all that are drawn.
pub(crate) fn decode(
    setup: &Setup<'_>,
    decoder: &Sampler,
    x_t: &Tensor,
    images: Range<usize>,
    on_step: &mut dyn FnMut(&Step<'_>) -> Result<(), BoxError>,
) -> anyhow::Result<Tensor> {
    let model = setup.model(images)?;
    // A deterministic solver draws none.
    let noise = Noise { seed: 0, first_index: 0 };
    Ok(decoder.sample(&*model, x_t, &noise, on_step)?)
}
