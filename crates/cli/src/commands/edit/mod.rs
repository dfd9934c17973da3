//! `ddpm edit`: from an image instead of from noise, one verb a file.

mod decode;
mod encode;
mod fill;
mod frame;
mod inpaint;
mod interpolate;
mod latent;
mod mask;
mod outpaint;
mod region;
mod session;
mod source;
mod upscale;
mod vary;

use clap::{Arg, Subcommand};

use crate::flags::Global;

// The solvers that do best at each task; what the flags of a solver are is the same everywhere.
#[derive(Debug, Subcommand)]
pub(crate) enum Edit {
    /// Diffuse an image to some t, then denoise it: images that look like it, the less the larger t
    #[command(mut_arg("sampler", by_default("ddim")))]
    Vary(vary::Vary),
    /// Go from one image to another: images between the two
    #[command(mut_arg("sampler", by_default("ddim")))]
    Interpolate(interpolate::Interpolate),
    /// Draw a part of an image anew, so that it fits the rest (RePaint)
    #[command(mut_arg("steps", by_default("100")), mut_arg("spacing", by_default("log-snr")))]
    Inpaint(inpaint::Inpaint),
    /// Place an image within a larger one and draw what lies around it
    #[command(mut_arg("steps", by_default("100")), mut_arg("spacing", by_default("log-snr")))]
    Outpaint(outpaint::Outpaint),
    /// Draw an image of which only a smaller version is known
    #[command(mut_arg("steps", by_default("100")), mut_arg("spacing", by_default("log-snr")))]
    Upscale(upscale::Upscale),
    /// Find the noise x_T from which a deterministic solver makes an image
    #[command(mut_arg("sampler", by_default("heun")))]
    Encode(encode::Encode),
    /// Make images of such noise
    #[command(mut_arg("sampler", by_default("heun")))]
    Decode(decode::Decode),
}

/// Another default for a flag that commands share.
fn by_default(value: &'static str) -> impl Fn(Arg) -> Arg {
    move |arg| arg.default_value(value)
}

impl Edit {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Vary(args) => args.run(global),
            Self::Interpolate(args) => args.run(global),
            Self::Inpaint(args) => args.run(global),
            Self::Outpaint(args) => args.run(global),
            Self::Upscale(args) => args.run(global),
            Self::Encode(args) => args.run(global),
            Self::Decode(args) => args.run(global),
        }
    }
}
