//! `ddpm config`: the keys of the configuration, and the presets and objectives.

mod entry;
mod markdown;
mod presets;
mod reference;
mod text;

use clap::Subcommand;

use crate::flags::Global;

#[derive(Debug, Subcommand)]
pub(crate) enum Configuration {
    Reference(reference::Reference),
    Presets(presets::Presets),
}

impl Configuration {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Reference(args) => args.run(global),
            Self::Presets(args) => args.run(global),
        }
    }
}
