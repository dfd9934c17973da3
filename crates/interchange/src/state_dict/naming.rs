//! Maps names of this project's weights to those of another codebase.

use config::UNetConfig;

/// How a codebase names its modules.
pub(crate) struct Naming {
    /// Modules that occur once: this project's name and theirs.
    pub(crate) once: &'static [(&'static str, &'static str)],
    /// Layers of a residual block.
    pub(crate) block: &'static [(&'static str, &'static str)],
    /// Layers of an attention module.
    pub(crate) attention: &'static [(&'static str, Part)],
    /// The convolutions for downsampling and upsampling.
    pub(crate) resampling: [&'static str; 2],
    /// Their name for the module at a place of the network.
    pub(crate) module: fn(&UNetConfig, Place) -> String,
}

/// A layer of an attention module.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// A separate layer.
    Whole(&'static str),
    /// One third of a combined layer for queries (0), keys (1) and values (2).
    Third(&'static str, usize),
}

/// A module of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The residual block of this number.
    Block(Side, usize),
    /// The attention after the block of this number.
    Attention(Side, usize),
    /// The layer that halves or doubles the resolution.
    Resampler(Side),
}

/// The encoder or decoder at a level, counted from the full resolution (0) down, or the part between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Down(usize),
    Middle,
    Up(usize),
}

impl Naming {
    /// Their name for one of this project's weights, and which third of the tensor it is, unless it is the whole
    /// tensor.
    pub(crate) fn of(&self, config: &UNetConfig, own: &str) -> Option<(String, Option<usize>)> {
        let (module, kind) = own.rsplit_once('.')?;
        let parts: Vec<&str> = module.split('.').collect();
        let (side, rest) = match parts.as_slice() {
            ["down_blocks", level, rest @ ..] => (Side::Down(level.parse().ok()?), rest),
            ["mid_block", rest @ ..] => (Side::Middle, rest),
            ["up_blocks", from_below, rest @ ..] => {
                (Side::Up((config.levels() - 1).checked_sub(from_below.parse().ok()?)?), rest)
            }
            _ => return Some((format!("{}.{kind}", find(self.once, module)?), None)),
        };
        let module = |place| (self.module)(config, place);
        let (module, layer, third) = match rest {
            ["resnets", number, layer] => {
                (module(Place::Block(side, number.parse().ok()?)), find(self.block, layer)?, None)
            }
            ["attentions", number, layer @ ..] => {
                let module = module(Place::Attention(side, number.parse().ok()?));
                match find(self.attention, &layer.join("."))? {
                    Part::Whole(layer) => (module, layer, None),
                    Part::Third(layer, third) => (module, layer, Some(third)),
                }
            }
            ["downsamplers" | "upsamplers", "0", "conv"] => {
                let layer = self.resampling[usize::from(matches!(side, Side::Up(_)))];
                (module(Place::Resampler(side)), layer, None)
            }
            ["downsamplers" | "upsamplers", "0", layer] => {
                (module(Place::Resampler(side)), find(self.block, layer)?, None)
            }
            _ => return None,
        };
        Some((format!("{module}.{layer}.{kind}"), third))
    }
}

/// The tensors of a network in a codebase's naming.
#[cfg(test)]
pub(crate) fn tensors_of(naming: &Naming, config: &UNetConfig) -> super::Tensors {
    let theirs = |(name, mut shape): (String, Vec<usize>)| {
        let (name, third) = naming.of(config, &name).unwrap();
        shape[0] *= if third.is_some() { 3 } else { 1 };
        (name, shape)
    };
    super::Tensors::new("made".as_ref(), config.parameters().into_iter().map(theirs).collect())
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(own, _)| *own == name).map(|(_, theirs)| *theirs)
}
