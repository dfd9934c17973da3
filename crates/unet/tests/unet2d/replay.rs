//! Every network of the goldens against ours with the same configuration and weights.

use std::error::Error;
use std::fmt::Write;

use interchange::diffusers::read_network;
use tch::{Device, Kind, Tensor};
use unet::{Backbone, Pass, UNet, UNetConfig};

use crate::rule::{hashed, weight};

/// A network, written by `scripts/make_unet2d_goldens.py`.
#[derive(serde::Deserialize)]
pub(crate) struct Case {
    config: serde_json::Value,
    pub(crate) shape: [usize; 4],
    pub(crate) t: Vec<i64>,
    pub(crate) labels: Option<Vec<i64>>,
    /// Every [`STRIDE`]th number.
    prediction: Vec<f64>,
}

const STRIDE: usize = 3;
/// Largest allowed error, relative to the largest value of a prediction.
const LIMIT: f64 = 2e-5;

/// The error of our network against the peer's.
pub(crate) struct Row {
    what: String,
    parameters: usize,
    error: f64,
}

impl Row {
    pub(crate) fn passes(&self) -> bool {
        self.error <= LIMIT
    }
}

pub(crate) fn all() -> Result<Vec<Row>, Box<dyn Error>> {
    cases()?.iter().enumerate().map(|(number, (case, config))| row(number, case, config)).collect()
}

/// Each network with its configuration in this project's terms.
pub(crate) fn cases() -> Result<Vec<(Case, UNetConfig)>, Box<dyn Error>> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("goldens.json"))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("config.json");
    let mut read = Vec::new();
    for case in cases {
        std::fs::write(&path, case.config.to_string())?;
        read.push((case, read_network(&path)?.config));
    }
    Ok(read)
}

/// A network with the weights from [`weight`].
pub(crate) fn network(config: &UNetConfig, timesteps: usize) -> Result<UNet, Box<dyn Error>> {
    let net = UNet::new(config, timesteps, Device::Cpu, 0)?;
    let weights: Result<Vec<_>, tensor_io::TensorIoError> = config
        .parameters()
        .into_iter()
        .map(|(name, shape)| {
            let size: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            let tensor = tensor_io::from_slice(&weight(&name, &shape), &size)?;
            Ok((name, tensor))
        })
        .collect();
    net.copy_weights(&weights?)?;
    Ok(net)
}

/// The input images of a network, in [-2, 2).
pub(crate) fn images(number: usize, shape: &[usize; 4]) -> Result<Tensor, Box<dyn Error>> {
    let x: Vec<f32> =
        hashed(&format!("x {number}"), shape.iter().product()).map(|u| (4.0 * u - 2.0) as f32).collect();
    Ok(tensor_io::from_slice(&x, &shape.map(|n| n as i64))?)
}

fn row(number: usize, case: &Case, config: &UNetConfig) -> Result<Row, Box<dyn Error>> {
    let net = network(config, 1000)?;
    let x = images(number, &case.shape)?;
    let labels = case.labels.as_ref().map(|labels| net.labels(labels)).transpose()?;
    let _no_grad = tch::no_grad_guard();
    let y = net.forward(&x, &Tensor::f_from_slice(&case.t)?, labels.as_ref(), &Pass::eval())?;
    let y = tensor_io::to_vec(&y.f_to_kind(Kind::Float)?)?;
    let ours: Vec<f64> = y.into_iter().step_by(STRIDE).map(f64::from).collect();
    if ours.len() != case.prediction.len() {
        return Err(format!("network {number}: {} numbers, not {}", ours.len(), case.prediction.len()).into());
    }
    let largest = case.prediction.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let gap = ours.iter().zip(&case.prediction).map(|(a, b)| (a - b).abs());
    // `max` would ignore a NaN.
    let error = gap.fold(0.0, |most: f64, gap| if gap <= most { most } else { gap }) / largest;
    let what = format!("{:?} {}x{}", channels(config), case.shape[2], case.shape[3]);
    Ok(Row { what, parameters: net.param_count(), error })
}

fn channels(config: &UNetConfig) -> Vec<usize> {
    (0..config.levels()).map(|level| config.level_channels(level)).collect()
}

pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<44} {:>10} {:>9} {:>7}\n", "UNet2DModel", "parameters", "error", "limit");
    for row in rows {
        let Row { what, parameters, error } = row;
        let failed = if row.passes() { "" } else { "  FAILED" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{what:<44} {parameters:>10} {error:>9.1e} {LIMIT:>7.0e}{failed}");
    }
    let passed = rows.iter().filter(|row| row.passes()).count();
    let _ = writeln!(text, "{passed} of {} networks agree", rows.len());
    text
}
