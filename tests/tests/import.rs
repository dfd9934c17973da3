//! `ddpm import` of weights of guided-diffusion and of the original DDPM: predictions do not depend on the layout of
//! the file, and unreadable files are refused in one line. `crates/unet/tests/state_dicts` shows that the predictions
//! are right.

use std::collections::BTreeMap;

use anyhow::ensure;
use ndarray::{Array1, Array4};
use serde_json::{Value, json};
use tests::{Place, arrays};

/// Names with shapes and values.
type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

const C: usize = 32;
const HEADS: usize = 4;

/// Two levels of one block with 32 channels, attention at the second.
fn guided() -> StateDict {
    let mut dict = StateDict::new();
    linear(&mut dict, "time_embed.0", &[4 * C, C]);
    linear(&mut dict, "time_embed.2", &[4 * C, 4 * C]);
    linear(&mut dict, "input_blocks.0.0", &[C, 1, 3, 3]);
    for (entry, c_in) in [
        ("input_blocks.1.0", C),
        ("input_blocks.3.0", C),
        ("middle_block.0", C),
        ("middle_block.2", C),
        ("output_blocks.0.0", 2 * C),
        ("output_blocks.1.0", 2 * C),
        ("output_blocks.2.0", 2 * C),
        ("output_blocks.3.0", 2 * C),
    ] {
        linear(&mut dict, &format!("{entry}.in_layers.0"), &[c_in]);
        linear(&mut dict, &format!("{entry}.in_layers.2"), &[C, c_in, 3, 3]);
        linear(&mut dict, &format!("{entry}.emb_layers.1"), &[2 * C, 4 * C]);
        linear(&mut dict, &format!("{entry}.out_layers.0"), &[C]);
        linear(&mut dict, &format!("{entry}.out_layers.3"), &[C, C, 3, 3]);
        if c_in != C {
            linear(&mut dict, &format!("{entry}.skip_connection"), &[C, c_in, 1, 1]);
        }
    }
    linear(&mut dict, "input_blocks.2.0.op", &[C, C, 3, 3]);
    linear(&mut dict, "output_blocks.1.2.conv", &[C, C, 3, 3]);
    for entry in ["input_blocks.3.1", "middle_block.1", "output_blocks.0.1", "output_blocks.1.1"] {
        linear(&mut dict, &format!("{entry}.norm"), &[C]);
        linear(&mut dict, &format!("{entry}.qkv"), &[3 * C, C, 1]);
        linear(&mut dict, &format!("{entry}.proj_out"), &[C, C, 1]);
    }
    linear(&mut dict, "out.0", &[C]);
    linear(&mut dict, "out.2", &[1, C, 3, 3]);
    dict
}

/// One level of one block, with attention only in the middle.
fn original() -> StateDict {
    let mut dict = StateDict::new();
    linear(&mut dict, "temb.dense.0", &[4 * C, C]);
    linear(&mut dict, "temb.dense.1", &[4 * C, 4 * C]);
    linear(&mut dict, "conv_in", &[C, 1, 3, 3]);
    for (block, c_in) in [
        ("down.0.block.0", C),
        ("mid.block_1", C),
        ("mid.block_2", C),
        ("up.0.block.0", 2 * C),
        ("up.0.block.1", 2 * C),
    ] {
        linear(&mut dict, &format!("{block}.norm1"), &[c_in]);
        linear(&mut dict, &format!("{block}.conv1"), &[C, c_in, 3, 3]);
        linear(&mut dict, &format!("{block}.temb_proj"), &[C, 4 * C]);
        linear(&mut dict, &format!("{block}.norm2"), &[C]);
        linear(&mut dict, &format!("{block}.conv2"), &[C, C, 3, 3]);
        if c_in != C {
            linear(&mut dict, &format!("{block}.nin_shortcut"), &[C, c_in, 1, 1]);
        }
    }
    linear(&mut dict, "mid.attn_1.norm", &[C]);
    for part in ["q", "k", "v", "proj_out"] {
        linear(&mut dict, &format!("mid.attn_1.{part}"), &[C, C, 1, 1]);
    }
    linear(&mut dict, "norm_out", &[C]);
    linear(&mut dict, "conv_out", &[1, C, 3, 3]);
    dict
}

/// A weight and a bias with distinct values.
fn linear(dict: &mut StateDict, name: &str, shape: &[usize]) {
    let seed = dict.len();
    let inputs = shape[1..].iter().product::<usize>();
    let mut add = |part: &str, shape: &[usize], middle: f32, size: f32| {
        let number = |i: usize| middle + size * (((i + 1) * (seed + 7) * 2_654_435_761) as f32 * 0.37).sin();
        let numbers = (0..shape.iter().product::<usize>()).map(number).collect();
        dict.insert(format!("{name}.{part}"), (shape.to_vec(), numbers));
    };
    let middle = if shape.len() == 1 { 1.0 } else { 0.0 };
    add("weight", shape, middle, 1.0 / (inputs as f32).sqrt().max(5.0));
    add("bias", &shape[..1], 0.0, 0.1);
}

/// Reorders the rows of queries, keys and values: not head by head.
fn in_new_order(mut dict: StateDict) -> StateDict {
    for (_, (shape, numbers)) in dict.iter_mut().filter(|(name, _)| name.contains(".qkv.")) {
        let (columns, each) = (numbers.len() / shape[0], C / HEADS);
        let from = |row: usize| (row % C / each) * 3 * each + row / C * each + row % each;
        *numbers = (0..shape[0]).flat_map(|row| numbers[from(row) * columns..][..columns].to_vec()).collect();
    }
    dict
}

fn renamed(dict: StateDict, prefix: &str) -> StateDict {
    dict.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

fn safetensors(dict: &StateDict) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, (shape, numbers)) in dict {
        let start = data.len();
        data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        header.insert(
            name.clone(),
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }),
        );
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// The prediction of an imported model.
fn predicted(place: &Place, model: &str) -> anyhow::Result<Vec<u8>> {
    let x = Array4::from_shape_fn((2, 1, 8, 8), |(n, _, i, j)| ((n * 64 + i * 8 + j) as f32 * 0.7).sin());
    place.write("x.npy", arrays::npy(&x)?)?;
    place.write("t.npy", arrays::npy(&Array1::from_vec(vec![3.0_f32, 700.0]))?)?;
    let line = format!("predict --model {model} --x x.npy --t t.npy --out eps.npy --precision f32");
    let _ = place.ddpm(&line)?.ok();
    place.read("eps.npy")
}

#[test]
fn the_layout_of_a_file_does_not_change_what_it_predicts() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("legacy.safetensors", safetensors(&guided()))?;
    place.write("new.safetensors", safetensors(&in_new_order(guided())))?;
    place.write("wrapped.safetensors", safetensors(&renamed(guided(), "module.")))?;
    for (name, flags) in
        [("legacy", ""), ("new", " --attention-order new"), ("wrapped", " --heads 4"), ("new", " --heads 1")]
    {
        let out = format!("{name}{}.out", flags.replace(' ', ""));
        let line =
            format!("import {name}.safetensors --format guided --image-size 8{flags} --out {out} --json");
        let said = place.ddpm(&line)?.json();
        ensure!(said["height"] == 8 && said["assumed"]["timesteps"] == 1000, "{said}");
    }
    let first = predicted(&place, "legacy.out")?;
    ensure!(first == predicted(&place, "new--attention-ordernew.out")?, "the order changes the prediction");
    ensure!(first == predicted(&place, "wrapped--heads4.out")?, "the prefix changes the prediction");
    ensure!(first != predicted(&place, "new--heads1.out")?, "the number of heads has no effect");
    Ok(())
}

#[test]
fn imported_weights_are_sampled() -> anyhow::Result<()> {
    let place = Place::new()?;
    place.write("guided.safetensors", safetensors(&guided()))?;
    place.write("original.safetensors", safetensors(&original()))?;
    for (format, flags) in [
        ("guided", "--schedule cosine --diffusion-steps 40 --rescale-timesteps --head-channels 8"),
        ("original", ""),
    ] {
        let line = format!(
            "import {format}.safetensors --format {format} --image-size 8 {flags} --out {format}.out"
        );
        let said = place.ddpm(&line)?.ok().stdout;
        let assumed = said.contains("cosine schedule of 40 steps, rescaled timesteps");
        ensure!(assumed == (format == "guided"), "{said}");
        let _ = place
            .ddpm(&format!("sample --model {format}.out --count 2 --steps 3 --save npz --out {format}"))?
            .ok();
        let drawn = arrays::read_npz(&place.read(&format!("{format}/samples.npz"))?)?;
        ensure!(drawn.values().all(|array| array.iter().all(|number| number.is_finite())), "{format}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_in_one_line() -> anyhow::Result<()> {
    let place = Place::new()?;
    let changed = |name: &str, change: &dyn Fn(&mut StateDict)| {
        let mut dict = guided();
        change(&mut dict);
        place.write(name, safetensors(&dict))
    };
    changed("whole", &|_| {})?;
    changed("short", &|dict| drop(dict.remove("middle_block.1.qkv.bias")))?;
    changed("more", &|dict| linear(dict, "input_blocks.1.1.transformer_blocks.0.attn2.to_k", &[C, C]))?;
    changed("shape", &|dict| linear(dict, "out.2", &[1, C, 1, 1]))?;
    changed("wide", &|dict| linear(dict, "input_blocks.0.0", &[C, 6, 3, 3]))?;
    place.write("original", safetensors(&original()))?;
    place.write("model.pt", b"PK\x03\x04archive")?;
    for (line, code, words) in [
        ("whole --format guided", 2, ["--image-size", "pass --image-size 32"]),
        ("original --format original", 2, ["--image-size", "pass --image-size 32"]),
        ("original --format original --image-size 8 --heads 2", 2, ["--heads", "--format guided"]),
        ("whole --heads 2", 2, ["--heads", "--format guided"]),
        ("whole --image-size 8", 2, ["--image-size", "guided or original"]),
        ("whole", 2, ["SRC", "--format original or guided"]),
        ("whole --format guided --image-size 8 --heads 5", 5, ["model.heads = 5", "32"]),
        ("whole --format guided --image-size 9", 5, ["model.image_size = 9", "multiple of 2"]),
        ("whole --format guided --image-size 8 --diffusion-steps 5", 5, ["schedule", "beta"]),
        ("whole --format original --image-size 8", 5, ["temb.dense.0.weight", "missing"]),
        ("original --format guided --image-size 8", 5, ["time_embed.0.weight", "missing"]),
        ("short --format guided --image-size 8", 5, ["middle_block.1.qkv.bias", "missing"]),
        ("more --format guided --image-size 8", 5, ["transformer_blocks", "no such tensor"]),
        ("shape --format guided --image-size 8", 5, ["out.2.weight", "[1, 32, 3, 3]"]),
        ("wide --format guided --image-size 8", 5, ["6 image channels", "1 or 3"]),
        ("model.pt --format guided --image-size 8", 5, ["pickle", "torch.load('model.pt'"]),
        ("nowhere --format guided --image-size 8", 2, ["SRC nowhere", "expected a safetensors file"]),
    ] {
        let output = place.ddpm(&format!("import {line} --out x.safetensors"))?.expect_code(code);
        let errors = output.errors();
        let told = errors.len() == 1 && words.iter().all(|word| errors[0].contains(word));
        ensure!(told, "{line}: {}", output.stderr);
    }
    // Errors of the command-line parser are longer.
    for flags in
        ["--image-size 0", "--image-size 8 --heads 1.5", "--image-size 8 --heads 2 --head-channels 8"]
    {
        let line = format!("import whole --format guided {flags} --out x.safetensors");
        let output = place.ddpm(&line)?.expect_code(2);
        let flag = if flags.contains("heads") { "--heads" } else { "--image-size" };
        ensure!(output.errors()[0].contains(flag), "{flags}: {}", output.stderr);
    }
    ensure!(!place.at("x.safetensors").exists());
    Ok(())
}
