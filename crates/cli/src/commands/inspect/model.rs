//! `ddpm inspect model`: parameters and sizes of a network.

use ::config::{Parameter, UNetConfig};
use clap::{ArgGroup, Args};
use serde_json::json;

use crate::commands::inspect::network;
use crate::commands::inspect::table::{Table, bytes, grouped};
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, Weights};
use crate::model_source::Source;
use crate::output;
use crate::paths::{DataSource, InputPath};

/// Bytes of an f32.
const FLOAT: usize = 4;

/// Show a network: parameters by block, sizes, memory of the weights
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm inspect model --preset ddpm-cifar10
  ddpm inspect model --preset images --data photos/ --set data.size=64")]
#[command(override_usage = "ddpm inspect model [OPTIONS] --preset <NAME>|--config <FILE>
       ddpm inspect model [OPTIONS] --run <DIR>|--model <PATH>")]
#[command(group = ArgGroup::new("which").required(true).args(["preset", "config", "run", "model"]))]
pub(crate) struct InspectModel {
    #[arg(help = format!("By name: {}", crate::config::names(crate::config::PRESETS)), long, value_name = "NAME")]
    preset: Option<String>,
    /// Network of a configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<InputPath>,
    /// Network of a run folder
    #[arg(long, value_name = "DIR")]
    run: Option<InputPath>,
    /// Network of a checkpoint, a `ddpm export` file or a diffusers folder
    #[arg(long, value_name = "PATH")]
    model: Option<InputPath>,
    /// Images that set the size if the configuration leaves it open
    #[arg(long, value_name = "SRC", conflicts_with_all = ["run", "model"])]
    data: Option<DataSource>,
    /// Override a value, such as model.base_channels=64; repeatable
    #[arg(long, value_name = "KEY=VALUE", conflicts_with_all = ["run", "model"])]
    set: Vec<String>,
    /// List every parameter
    #[arg(long)]
    all: bool,
}

impl InspectModel {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let (model, steps) = self.find()?;
        // Not built: the configuration may need more memory than the machine has.
        model.validate().map_err(usage)?;
        let shapes = model.parameters();
        let blocks = by_block(&shapes);
        let count = total(&shapes);
        let mut summary = json!({
            "parameters": count, "tensors": shapes.len(), "weights_bytes": count.saturating_mul(FLOAT),
            "training_bytes": training_bytes(count), "timesteps": steps, "config": model,
            "blocks": blocks.iter().map(|b| json!({
                "name": b.name, "parameters": b.params, "tensors": b.tensors, "shapes": b.shapes,
            })).collect::<Vec<_>>(),
        });
        if self.all {
            let all = shapes.iter().map(|(name, shape)| json!({ "name": name, "shape": shape }));
            summary["list"] = all.collect();
        }
        output::answer(global, &summary, || {
            let parameters = if self.all { every_parameter(&shapes) } else { block_table(&blocks, count) };
            format!("{}\n\n{parameters}", facts(&model, &shapes, steps))
        })
    }

    fn find(&self) -> anyhow::Result<(UNetConfig, usize)> {
        let data = self.data.as_deref();
        let config = match (&self.preset, &self.config, &self.run, &self.model) {
            (Some(name), ..) => return network::named(name, data, &self.set),
            (_, Some(path), ..) => network::file_config(path, data, &self.set)?,
            (_, _, Some(folder), _) => network::folder_config(folder)?,
            (_, _, _, Some(model)) => Source::open(model, "--model", Weights::Ema)?.config,
            _ => bail_usage!("expected one of --preset, --config, --run and --model"),
        };
        Ok((config.model, config.schedule.steps))
    }
}

/// Bytes of weights, gradients, the two moments of Adam, and the average, all in f32.
fn training_bytes(params: usize) -> usize {
    params.saturating_mul(5 * FLOAT)
}

fn facts(config: &UNetConfig, shapes: &[Parameter], steps: usize) -> Table {
    let count = total(shapes);
    let size = config.image_size;
    let levels: Vec<String> = (0..config.levels())
        .map(|level| {
            let attention = if config.has_attention(level) { " with attention" } else { "" };
            format!("{} channels at {}{attention}", config.level_channels(level), square(size >> level))
        })
        .collect();
    let factor = config.downsampling_factor();
    Table::facts([
        ("parameters", format!("{}, in {}", grouped(count), files::counted(shapes.len(), "tensor"))),
        (
            "images",
            format!("{}x{}; height and width multiples of {factor}", square(size), config.in_channels),
        ),
        ("levels", levels.join(", ")),
        ("time", format!("{} channels, T = {steps}", config.time_width())),
        ("weights", format!("{} in f32", bytes(count.saturating_mul(FLOAT) as u64))),
        (
            "training",
            format!(
                "{} for weights, gradients, Adam and average, not counting activations",
                bytes(training_bytes(count) as u64)
            ),
        ),
    ])
}

fn square(size: usize) -> String {
    format!("{size}x{size}")
}

/// Number of values in all parameters.
fn total(shapes: &[Parameter]) -> usize {
    shapes.iter().map(|(_, shape)| numbers(shape)).fold(0, usize::saturating_add)
}

/// The parameters of one block of the network.
#[derive(Debug, PartialEq)]
struct Block {
    name: String,
    params: usize,
    tensors: usize,
    /// Shapes of the weights with more than one axis, without duplicates, in the order of the network.
    shapes: Vec<String>,
}

/// `down_blocks.0.resnets.1` of `down_blocks.0.resnets.1.conv1.weight`; `conv_in` of `conv_in.weight`.
fn block_name(parameter: &str) -> String {
    let parts: Vec<&str> = parameter.split('.').collect();
    // Level, kind and number within it; the middle block has no levels.
    let take = match parts[0] {
        "down_blocks" | "up_blocks" => 4,
        "mid_block" => 3,
        _ => 1,
    };
    parts[..take.min(parts.len())].join(".")
}

fn by_block(shapes: &[Parameter]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (name, shape) in shapes {
        let block = block_name(name);
        let at = match blocks.iter().position(|known| known.name == block) {
            Some(at) => at,
            None => {
                blocks.push(Block { name: block, params: 0, tensors: 0, shapes: Vec::new() });
                blocks.len() - 1
            }
        };
        let entry = &mut blocks[at];
        entry.params = entry.params.saturating_add(numbers(shape));
        entry.tensors += 1;
        let text = shape_text(shape);
        if shape.len() > 1 && !entry.shapes.contains(&text) {
            entry.shapes.push(text);
        }
    }
    blocks
}

fn numbers(shape: &[usize]) -> usize {
    shape.iter().copied().fold(1, usize::saturating_mul)
}

/// `128x64x3x3`.
fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn block_table(blocks: &[Block], count: usize) -> String {
    let mut table = Table::new(&["block", ">parameters", ">share", "weights"]);
    for block in blocks {
        let share = format!("{:.1}%", 100.0 * block.params as f64 / count.max(1) as f64);
        table.row([block.name.clone(), grouped(block.params), share, block.shapes.join(", ")]);
    }
    table.row(["total".to_owned(), grouped(count), "100.0%".to_owned()]);
    table.to_string()
}

fn every_parameter(shapes: &[Parameter]) -> String {
    let mut table = Table::new(&["parameter", ">shape", ">numbers"]);
    for (name, shape) in shapes {
        table.row([name.clone(), shape_text(shape), grouped(numbers(shape))]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_grouped_by_block() {
        let names = [
            ("down_blocks.0.resnets.1.conv1.weight", "down_blocks.0.resnets.1"),
            ("down_blocks.0.downsamplers.0.conv.bias", "down_blocks.0.downsamplers.0"),
            ("mid_block.attentions.0.to_out.0.weight", "mid_block.attentions.0"),
            ("time_embedding.linear_1.weight", "time_embedding"),
            ("conv_in.weight", "conv_in"),
            ("conv_in", "conv_in"),
        ];
        for (parameter, block) in names {
            assert_eq!(block_name(parameter), block);
        }
        let shapes = [
            ("mid_block.attentions.0.group_norm.weight".to_owned(), vec![8]),
            ("mid_block.attentions.0.to_q.weight".to_owned(), vec![8, 8]),
            ("mid_block.attentions.0.to_k.weight".to_owned(), vec![8, 8]),
        ];
        let want = Block {
            name: "mid_block.attentions.0".into(),
            params: 136,
            tensors: 3,
            shapes: vec!["8x8".into()],
        };
        assert_eq!(by_block(&shapes), [want]);
    }

    #[test]
    fn blocks_hold_every_parameter_once() {
        let config = UNetConfig::preset("tiny-16").unwrap();
        let net = crate::networks::build(&config, 1000, tch::Device::Cpu, 0).unwrap();
        let shapes = config.parameters();
        let blocks = by_block(&shapes);
        assert_eq!(blocks.iter().map(|block| block.params).sum::<usize>(), net.param_count());
        assert_eq!(blocks.iter().map(|block| block.tensors).sum::<usize>(), net.params().len());
        let text = block_table(&blocks, total(&shapes));
        assert!(
            text.contains("up_blocks.1.resnets.1") && text.lines().last().unwrap().starts_with("total"),
            "{text}"
        );
        assert!(
            facts(&config, &shapes, 1000)
                .to_string()
                .contains("16 channels at 16x16, 32 channels at 8x8 with attention")
        );
    }
}
