//! `ddpm inspect work`: the operations of a network, counted from its configuration alone, however large it is.

use clap::Args;
use serde_json::{Value, json};
use unet::UNetConfig;

use crate::commands::inspect::network;
use crate::commands::inspect::table::Table;
use crate::flags::Global;
use crate::output;
use crate::paths::DataSource;

/// Show the operations that a network takes per image, without building it
#[derive(Debug, Args)]
#[command(
    after_help = "2 operations per multiply-add. layers are convolutions and linear layers, attention its products. \
A training step is the forward and the backward pass of one image, whatever the batch is.

Examples:
  ddpm inspect work --preset ddpm-cifar10
  ddpm inspect work --preset fashion-28 --set model.base_channels=128 --json"
)]
pub(crate) struct InspectWork {
    #[arg(help = format!("By name: {}", crate::config::names(crate::config::PRESETS)), long, value_name = "NAME", default_value = "fashion-28")]
    preset: String,
    /// Images that set the size if the preset leaves it open
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// Override a value, such as model.image_size=64; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl InspectWork {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let (model, _) = network::named(&self.preset, self.data.as_deref(), &self.set)?;
        model.validate()?;
        output::answer(global, &counted(&model), || facts(&model).to_string())
    }
}

/// GFLOP per image.
fn counted(model: &UNetConfig) -> Value {
    let work = model.work(model.image_size, model.image_size);
    let (call, training) = (work.call(1), work.training(1));
    json!({
        "height": model.image_size, "width": model.image_size, "channels": model.in_channels,
        "call_gflop": call.layers / 1e9, "call_attention_gflop": call.attention / 1e9,
        "training_gflop": training.layers / 1e9, "training_attention_gflop": training.attention / 1e9,
    })
}

fn facts(model: &UNetConfig) -> Table {
    let work = model.work(model.image_size, model.image_size);
    let gflop = |flop: config::Flop| {
        format!("{:.3} GFLOP in layers, {:.3} in attention", flop.layers / 1e9, flop.attention / 1e9)
    };
    Table::facts([
        ("image", format!("{0}x{0}x{1}", model.image_size, model.in_channels)),
        ("network call", gflop(work.call(1))),
        ("training step", gflop(work.training(1))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's network for CIFAR-10. A test of `config` checks its count against PyTorch's.
    #[test]
    fn counts_are_of_one_image() {
        let paper = UNetConfig::preset("ddpm-cifar10").unwrap();
        let said = counted(&paper);
        assert_eq!((&said["call_gflop"], &said["height"]), (&json!(12.107_907_072), &json!(32)));
        assert_eq!(said["training_gflop"], json!(36.316_512_256));
        let sum = said["call_gflop"].as_f64().unwrap() + said["call_attention_gflop"].as_f64().unwrap();
        assert!((sum - 12.443_713_536).abs() < 1e-9, "{said}");
        assert!(facts(&paper).to_string().contains("36.317 GFLOP in layers"));
    }
}
