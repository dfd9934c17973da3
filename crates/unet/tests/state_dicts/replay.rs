//! A network of the goldens against ours with the same tensors.

use std::collections::BTreeMap;
use std::path::Path;

use interchange::guided::{AttentionOrder, Heads, NoiseSchedule, Options};
use interchange::state_dict::{Model, Origin, Tensors, Weight};
use interchange::{guided, original};
use tch::{Device, Kind, Tensor};
use unet::{Backbone, Pass, UNet};

use crate::rule::{hashed, weight};

const STRIDE: usize = 5;

#[derive(Clone, serde::Deserialize)]
pub(crate) struct Case {
    #[serde(default)]
    number: usize,
    kind: String,
    options: Told,
    tensors: BTreeMap<String, Vec<usize>>,
    shape: [usize; 4],
    t: Vec<i64>,
    labels: Option<Vec<i64>>,
    /// Every [`STRIDE`]th number.
    prediction: Vec<f64>,
}

#[derive(Clone, serde::Deserialize)]
struct Told {
    image_size: usize,
    steps: usize,
    order: String,
    heads: usize,
    head_channels: Option<usize>,
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = serde_json::from_str(include_str!("goldens.json")).unwrap();
    cases.iter_mut().enumerate().for_each(|(number, case)| case.number = number);
    cases
}

impl Case {
    pub(crate) fn is_guided(&self) -> bool {
        self.kind == "guided"
    }

    pub(crate) fn heads(&self) -> usize {
        self.options.head_channels.map_or(self.options.heads, |_| 2)
    }

    /// The same with another attention order, and with another number of heads.
    pub(crate) fn others(&self) -> [Self; 2] {
        let (mut order, mut heads) = (self.clone(), self.clone());
        order.options.order = if self.options.order == "new" { "legacy" } else { "new" }.to_owned();
        (heads.options.heads, heads.options.head_channels) = (1, None);
        [order, heads]
    }

    fn model(&self) -> Model {
        let tensors = Tensors::new(Path::new("golden"), self.tensors.clone());
        let told = &self.options;
        if !self.is_guided() {
            return original::read(&tensors, told.image_size).unwrap();
        }
        let options = Options {
            image_size: told.image_size,
            heads: told.head_channels.map_or(Heads::Number(told.heads), Heads::Channels),
            order: if told.order == "new" { AttentionOrder::New } else { AttentionOrder::Legacy },
            schedule: NoiseSchedule::Cosine,
            steps: told.steps,
            rescales_timesteps: told.steps != 1000,
        };
        guided::read(&tensors, &options).unwrap()
    }
}

/// Largest error of our prediction, relative to the largest value.
pub(crate) fn error(case: &Case) -> f64 {
    let model = case.model();
    let net = UNet::new(&model.config.model, case.options.steps, Device::Cpu, 0).unwrap();
    let weights = model.weights.iter().map(|weight| {
        let size: Vec<i64> = weight.shape.iter().map(|&n| n as i64).collect();
        (weight.name.clone(), tensor_io::from_slice(&numbers(weight, &case.tensors), &size).unwrap())
    });
    net.copy_weights(&weights.collect::<Vec<_>>()).unwrap();
    let x = hashed(&format!("x {}", case.number), case.shape.iter().product());
    let x: Vec<f32> = x.map(|u| (4.0 * u - 2.0) as f32).collect();
    let x = tensor_io::from_slice(&x, &case.shape.map(|n| n as i64)).unwrap();
    let labels = case.labels.as_ref().map(|labels| net.labels(labels).unwrap());
    let _no_grad = tch::no_grad_guard();
    let t = Tensor::f_from_slice(&case.t).unwrap();
    let y = net.forward(&x, &t, labels.as_ref(), &Pass::eval()).unwrap();
    let y = tensor_io::to_vec(&y.f_to_kind(Kind::Float).unwrap()).unwrap();
    let ours: Vec<f64> = y.into_iter().step_by(STRIDE).map(f64::from).collect();
    assert_eq!(ours.len(), case.prediction.len(), "network {}", case.number);
    let largest = case.prediction.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let gap = ours.iter().zip(&case.prediction).map(|(a, b)| (a - b).abs());
    // `max` would ignore a NaN.
    gap.fold(0.0, |most: f64, gap| if gap <= most { most } else { gap }) / largest
}

/// The values of a weight, selected row by row.
fn numbers(of: &Weight, tensors: &BTreeMap<String, Vec<usize>>) -> Vec<f32> {
    let (tensor, third, groups) = match &of.origin {
        Origin::Given { values } => return values.clone(),
        Origin::Whole { tensor } => return weight(tensor, &tensors[tensor]),
        Origin::Third { tensor, third, groups } => (tensor, *third, *groups),
    };
    let whole = weight(tensor, &tensors[tensor]);
    let (rows, each) = (of.shape[0], of.shape[0] / groups);
    let columns = whole.len() / (3 * rows);
    let row = |row: usize| (row / each) * 3 * each + third * each + row % each;
    (0..rows).flat_map(|r| whole[row(r) * columns..][..columns].to_vec()).collect()
}
