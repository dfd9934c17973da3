//! Maps this project's weights to `input_blocks`, `middle_block` and `output_blocks`.
//!
//! `input_blocks.0` is the first convolution. Each level follows with its blocks, then one entry that halves the
//! resolution. An entry is a list: a residual block, its attention if any, and in the last entry of a decoder level the
//! upsampling layer.

use config::UNetConfig;

use crate::state_dict::{Naming, Part, Place, Side};

pub(super) const NAMING: Naming = Naming {
    once: &[
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("class_embedding", "label_emb"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
    ],
    block: &[
        ("norm1", "in_layers.0"),
        ("conv1", "in_layers.2"),
        ("time_emb_proj", "emb_layers.1"),
        ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"),
        ("conv_shortcut", "skip_connection"),
    ],
    attention: &[
        ("group_norm", Part::Whole("norm")),
        ("to_q", Part::Third("qkv", 0)),
        ("to_k", Part::Third("qkv", 1)),
        ("to_v", Part::Third("qkv", 2)),
        ("to_out.0", Part::Whole("proj_out")),
    ],
    resampling: ["op", "conv"],
    module,
};

fn module(config: &UNetConfig, place: Place) -> String {
    let (levels, blocks) = (config.levels(), config.blocks_per_level);
    match place {
        Place::Block(Side::Down(level), number) => format!("{}.0", input(level, number, blocks)),
        Place::Attention(Side::Down(level), number) => format!("{}.1", input(level, number, blocks)),
        Place::Resampler(Side::Down(level)) => format!("{}.0", input(level, blocks, blocks)),
        // Block, attention, block.
        Place::Block(Side::Middle, number) => format!("middle_block.{}", 2 * number),
        Place::Attention(Side::Middle, _) | Place::Resampler(Side::Middle) => "middle_block.1".to_owned(),
        Place::Block(Side::Up(level), number) => format!("{}.0", output(levels, level, number, blocks)),
        Place::Attention(Side::Up(level), number) => format!("{}.1", output(levels, level, number, blocks)),
        Place::Resampler(Side::Up(level)) => {
            let place = 1 + usize::from(config.attends_up(level));
            format!("{}.{place}", output(levels, level, blocks, blocks))
        }
    }
}

/// Entry of block `number` of a level; number `blocks` halves the resolution.
pub(super) fn input(level: usize, number: usize, blocks: usize) -> String {
    format!("input_blocks.{}", 1 + level * (blocks + 1) + number)
}

/// Entry of block `number` of a level. Levels count from the lowest up, with `blocks + 1` entries each.
pub(super) fn output(levels: usize, level: usize, number: usize, blocks: usize) -> String {
    format!("output_blocks.{}", (levels - 1 - level) * (blocks + 1) + number)
}
