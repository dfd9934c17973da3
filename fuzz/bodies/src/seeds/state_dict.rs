//! State dicts of other codebases: names and sizes.

use super::{Seeds, named};

/// Two levels of one block each, with attention in the second.
fn guided() -> String {
    let mut text = String::new();
    let mut add = |name: &str, shape: &str| {
        text += &format!("{name}.weight {shape}\n{name}.bias {}\n", shape.split(' ').next().unwrap_or("1"));
    };
    add("time_embed.0", "128 32");
    add("time_embed.2", "128 128");
    add("input_blocks.0.0", "32 1 3 3");
    for (entry, c_in) in [
        ("input_blocks.1.0", 32),
        ("input_blocks.3.0", 32),
        ("middle_block.0", 32),
        ("middle_block.2", 32),
        ("output_blocks.0.0", 64),
        ("output_blocks.1.0", 64),
        ("output_blocks.2.0", 64),
        ("output_blocks.3.0", 64),
    ] {
        add(&format!("{entry}.in_layers.0"), &c_in.to_string());
        add(&format!("{entry}.in_layers.2"), &format!("32 {c_in} 3 3"));
        add(&format!("{entry}.emb_layers.1"), "64 128");
        add(&format!("{entry}.out_layers.0"), "32");
        add(&format!("{entry}.out_layers.3"), "32 32 3 3");
        if c_in != 32 {
            add(&format!("{entry}.skip_connection"), &format!("32 {c_in} 1 1"));
        }
    }
    add("input_blocks.2.0.op", "32 32 3 3");
    add("output_blocks.1.2.conv", "32 32 3 3");
    for entry in ["input_blocks.3.1", "middle_block.1", "output_blocks.0.1", "output_blocks.1.1"] {
        add(&format!("{entry}.norm"), "32");
        add(&format!("{entry}.qkv"), "96 32 1");
        add(&format!("{entry}.proj_out"), "32 32 1");
    }
    add("out.0", "32");
    add("out.2", "1 32 3 3");
    text
}

fn original() -> String {
    let mut text = String::new();
    let mut add = |name: &str, shape: &str| {
        text += &format!("{name}.weight {shape}\n{name}.bias {}\n", shape.split(' ').next().unwrap_or("1"));
    };
    add("temb.dense.0", "128 32");
    add("temb.dense.1", "128 128");
    add("conv_in", "32 3 3 3");
    for (block, c_in) in [
        ("down.0.block.0", 32),
        ("mid.block_1", 32),
        ("mid.block_2", 32),
        ("up.0.block.0", 64),
        ("up.0.block.1", 64),
    ] {
        add(&format!("{block}.norm1"), &c_in.to_string());
        add(&format!("{block}.conv1"), &format!("32 {c_in} 3 3"));
        add(&format!("{block}.temb_proj"), "32 128");
        add(&format!("{block}.norm2"), "32");
        add(&format!("{block}.conv2"), "32 32 3 3");
        if c_in != 32 {
            add(&format!("{block}.nin_shortcut"), &format!("32 {c_in} 1 1"));
        }
    }
    add("mid.attn_1.norm", "32");
    for part in ["q", "k", "v", "proj_out"] {
        add(&format!("mid.attn_1.{part}"), "32 32 1 1");
    }
    add("norm_out", "32");
    add("conv_out", "3 32 3 3");
    text
}

pub(crate) fn state_dict() -> Seeds {
    // An odd byte means guided; the bits above it choose heads, their unit, the order and the schedule.
    let of = |told: u8, text: String| [&[told], text.as_bytes()].concat();
    let wrapped = guided().lines().map(|line| format!("module.{line}\n")).collect();
    let (huge, many) = ("18446744073709551615", "input_blocks.999.0.in_layers.0.weight 32\n");
    named([
        ("guided", of(1 + 2 * 4, guided())),
        ("guided-new-order", of(1 + 2 * 2 + 32, guided())),
        ("guided-rescaled", of(1 + 2 * 4 + 16 + 64 + 128, guided())),
        ("guided-no-heads", of(1, guided())),
        ("guided-wrapped", of(1 + 2 * 4, wrapped)),
        (
            "guided-no-convolution",
            of(1 + 2, guided().replace("input_blocks.2.0.op", "input_blocks.2.0.other")),
        ),
        ("guided-huge", of(1 + 2, guided().replace("128 32", &format!("{huge} {huge}")))),
        ("guided-many", of(1 + 2, guided() + many)),
        ("guided-enlarges", of(1 + 2, guided().replace("32 1 3 3", "32 6 3 3"))),
        ("original", of(0, original())),
        ("original-huge", of(0, original().replace("32 3 3 3", &format!("{huge} 3 3 3")))),
        ("original-levels", of(0, original() + "down.999.block.0.conv2.weight 1 1 1 1\n")),
        ("nothing", of(1, String::new())),
    ])
}
