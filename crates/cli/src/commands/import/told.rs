//! Settings of a checkpoint that its file does not record, as flags.

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use interchange::guided::{AttentionOrder, Heads, NoiseSchedule, Options};
use serde_json::{Value, json};

use crate::failure::{bail_usage, usage};

/// Flags of the formats `original` and `guided`.
#[derive(Debug, Args)]
pub(super) struct Told {
    /// original, guided: height and width of the images, in pixels; required
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    image_size: Option<u32>,
    /// guided: attention heads [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "head_channels")]
    heads: Option<u32>,
    /// guided: channels per head, instead of --heads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    head_channels: Option<u32>,
    /// guided: layout of queries, keys and values; new for use_new_attention_order [default: legacy]
    #[arg(long, value_enum, value_name = "NAME")]
    attention_order: Option<Order>,
    /// guided: noise schedule [default: linear]
    #[arg(long, value_enum, value_name = "NAME")]
    schedule: Option<Schedule>,
    /// guided: T [default: 1000]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    diffusion_steps: Option<u32>,
    /// guided: rescale_timesteps was True, the default of improved-diffusion; matters if T is not 1000
    #[arg(long)]
    rescale_timesteps: bool,
}

/// Orders of queries, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    // Plain comments, as in `Weights`: one list on one line.
    Legacy,
    New,
}

/// Noise schedules of these codebases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Schedule {
    Linear,
    Cosine,
}

impl Told {
    /// Refuses these flags for a diffusers folder, which records everything.
    pub(super) fn check_none(&self) -> anyhow::Result<()> {
        self.check_guided(self.image_size.map(|_| "--image-size"), "guided or original")
    }

    /// For the format `original`: height and width of the images.
    pub(super) fn original(&self) -> anyhow::Result<usize> {
        self.check_guided(None, "guided")?;
        self.side()
    }

    /// The options for the format `guided`.
    pub(super) fn guided(&self) -> anyhow::Result<Options> {
        let mut options = Options::new(self.side()?);
        if let Some(heads) = self.heads {
            options.heads = Heads::Number(heads as usize);
        }
        if let Some(channels) = self.head_channels {
            options.heads = Heads::Channels(channels as usize);
        }
        if self.attention_order == Some(Order::New) {
            options.order = AttentionOrder::New;
        }
        if self.schedule == Some(Schedule::Cosine) {
            options.schedule = NoiseSchedule::Cosine;
        }
        options.steps = self.diffusion_steps.map_or(options.steps, |steps| steps as usize);
        options.rescales_timesteps = self.rescale_timesteps;
        Ok(options)
    }

    fn side(&self) -> anyhow::Result<usize> {
        let told = self.image_size.map(|side| side as usize);
        told.ok_or_else(|| {
            usage(anyhow!(
                "--image-size: expected height and width of the images, which the file does not record; pass --image-size 32, for example"
            ))
        })
    }

    fn check_guided(&self, more: Option<&'static str>, format: &str) -> anyhow::Result<()> {
        let given = [
            (self.heads.is_some(), "--heads"),
            (self.head_channels.is_some(), "--head-channels"),
            (self.attention_order.is_some(), "--attention-order"),
            (self.schedule.is_some(), "--schedule"),
            (self.diffusion_steps.is_some(), "--diffusion-steps"),
            (self.rescale_timesteps, "--rescale-timesteps"),
        ];
        let given = given.into_iter().find(|(is_given, _)| *is_given).map(|(_, flag)| flag);
        match more.or(given) {
            Some(flag) => bail_usage!("{flag}: only with --format {format}; leave it out"),
            None => Ok(()),
        }
    }
}

/// The fixed settings of the original DDPM codebase, as in [`taken`].
pub(super) fn taken_of_original() -> (Value, String) {
    let value = json!({ "heads": 1, "schedule": "linear", "timesteps": 1000, "prediction": "eps" });
    (value, "\nassumed: 1 head, linear schedule of 1000 steps, prediction of eps".to_owned())
}

/// The settings used, given or assumed: as JSON and as a line after the summary.
pub(super) fn taken(options: &Options) -> (Value, String) {
    let (heads, each) = match options.heads {
        Heads::Number(heads) => (Some(heads), None),
        Heads::Channels(channels) => (None, Some(channels)),
    };
    let order = match options.order {
        AttentionOrder::Legacy => "legacy",
        AttentionOrder::New => "new",
    };
    let schedule = match options.schedule {
        NoiseSchedule::Linear => "linear",
        NoiseSchedule::Cosine => "cosine",
    };
    let heads_text = match options.heads {
        Heads::Number(heads) => files::counted(heads, "head"),
        Heads::Channels(channels) => format!("heads of {channels} channels"),
    };
    let value = json!({
        "heads": heads, "head_channels": each, "attention_order": order, "schedule": schedule,
        "timesteps": options.steps, "rescaled_timesteps": options.rescales_timesteps, "prediction": "eps",
    });
    let rescaled = if options.rescales_timesteps { ", rescaled timesteps" } else { "" };
    let text = format!(
        "\nassumed: {heads_text}, {order} attention order, {schedule} schedule of {}{rescaled}, prediction of eps",
        files::counted(options.steps, "step")
    );
    (value, text)
}
