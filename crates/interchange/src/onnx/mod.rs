//! Writes a network as an ONNX (Open Neural Network Exchange) file, which many runtimes load (opset 17, f32).
//!
//! ```text
//! x_t    f32 [batch, c, h, w]     noisy images
//! t      f32 [batch]              times in 0..T, fractions allowed
//! class  i64 [batch]              labels, -1 for none; only for networks with classes
//! ```
//!
//! The only output is f32 `[batch, c', h, w]`, named after what it predicts.

mod graph;
mod layers;
mod time;
mod unet;
mod wire;

use std::collections::BTreeMap;

use config::{NetworkKind, UNetConfig};

use crate::error::InterchangeError;
use graph::{About, Port, Size};
use layers::{Builder, Map};

/// A network to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Model<'a> {
    /// The network's configuration.
    pub network: &'a UNetConfig,
    /// T of the path on which its times lie.
    pub timesteps: usize,
    /// Height and width of its images in pixels, each a multiple of [`UNetConfig::downsampling_factor`].
    pub size: (usize, usize),
    /// What the output predicts, for example `eps`; also the output's name.
    pub output: &'a str,
    /// Images per call; `None` for any number.
    pub batch: Option<usize>,
    /// A description for people.
    pub doc: String,
    /// Key-value texts for programs.
    pub metadata: BTreeMap<String, String>,
}

/// A parameter of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight<'a> {
    /// Its name, `conv_in.weight` for example.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its numbers, row by row.
    pub values: &'a [f32],
}

/// Returns the bytes of the file. The weights for augmented images are left out: they add nothing for other images.
///
/// # Errors
/// [`InterchangeError::Network`] for a configuration that is not a valid network; [`InterchangeError::NotInOnnx`] with
/// the key of a setting that cannot be written; [`InterchangeError::MissingWeight`] and
/// [`InterchangeError::WrongWeight`]; [`InterchangeError::TooLarge`] for a file of 2 GiB or more.
pub fn write(model: &Model<'_>, weights: &[Weight<'_>]) -> Result<Vec<u8>, InterchangeError> {
    let Model { network, size: (height, width), .. } = *model;
    network.validate().map_err(|error| InterchangeError::Network { path: "config.toml".into(), error })?;
    check_size(model)?;
    // Check this before copying anything.
    graph::check_bytes(network.parameter_count().saturating_mul(size_of::<f32>() as u64))?;
    check_weights(network, weights)?;
    let mut builder = Builder::new(network, weights);
    let time = time::vector(&mut builder, model.timesteps)?;
    let x_t = Map { name: "x_t".to_owned(), channels: network.in_channels, height, width };
    match network.kind {
        NetworkKind::Unet => unet::network(&mut builder, x_t, &time)?,
    }
    let about = About { doc: &model.doc, metadata: &model.metadata };
    builder.graph.file(&inputs(model), &output(model), &about)
}

/// The inputs, in order.
fn inputs(model: &Model<'_>) -> Vec<Port> {
    let port = |name: &str, is_whole, shape: &[usize], doc: String| Port {
        name: name.to_owned(),
        is_whole,
        shape: of_images(model, shape),
        doc,
    };
    let (height, width) = model.size;
    let last = model.timesteps.saturating_sub(1);
    let mut inputs = vec![
        port("x_t", false, &[model.network.in_channels, height, width], "Noisy images".to_owned()),
        port("t", false, &[], format!("Times of the images, 0 to {last}, fractions allowed")),
    ];
    if let Some(classes) = model.network.classes {
        let doc = format!("Classes of the images, 0 to {}, -1 for none", classes - 1);
        inputs.push(port("class", true, &[], doc));
    }
    inputs
}

fn output(model: &Model<'_>) -> Port {
    let channels = model.network.out_channels;
    let (height, width) = model.size;
    let doc = if channels == model.network.in_channels {
        format!("The prediction: {}", model.output)
    } else {
        format!("The prediction, {}, then as many channels for the variance", model.output)
    };
    let shape = of_images(model, &[channels, height, width]);
    Port { name: model.output.to_owned(), is_whole: false, shape, doc }
}

/// The given shape with the batch dimension in front.
fn of_images(model: &Model<'_>, shape: &[usize]) -> Vec<Size> {
    let batch = model.batch.map_or(Size::Free("batch"), Size::Fixed);
    std::iter::once(batch).chain(shape.iter().map(|&size| Size::Fixed(size))).collect()
}

fn check_size(model: &Model<'_>) -> Result<(), InterchangeError> {
    let (height, width) = model.size;
    let factor = model.network.downsampling_factor();
    let refuse = |key: &str, got: String, reason: String| {
        Err(InterchangeError::NotInOnnx { key: key.to_owned(), got, reason })
    };
    if height == 0 || width == 0 || height % factor != 0 || width % factor != 0 {
        return refuse("images", format!("{width}x{height}"), format!("expected multiples of {factor}"));
    }
    if model.batch == Some(0) {
        return refuse("batch", "0".to_owned(), "expected 1 or more".to_owned());
    }
    // Above this, an f32 cannot represent every step.
    if model.timesteps > 1 << f32::MANTISSA_DIGITS {
        let most = format!("expected at most {} steps: t is an f32", 1 << f32::MANTISSA_DIGITS);
        return refuse("schedule.steps", model.timesteps.to_string(), most);
    }
    Ok(())
}

fn check_weights(network: &UNetConfig, weights: &[Weight<'_>]) -> Result<(), InterchangeError> {
    let by_name: BTreeMap<&str, &Weight<'_>> = weights.iter().map(|weight| (weight.name, weight)).collect();
    for (name, shape) in network.parameters() {
        let Some(weight) = by_name.get(name.as_str()) else {
            return Err(InterchangeError::MissingWeight { name });
        };
        if weight.shape != shape || weight.values.len() != shape.iter().product::<usize>() {
            return Err(InterchangeError::WrongWeight {
                name,
                expected: shape,
                got: weight.shape.to_vec(),
                numbers: weight.values.len(),
            });
        }
    }
    Ok(())
}
