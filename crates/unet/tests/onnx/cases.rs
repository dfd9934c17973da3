//! Networks of all kinds as ONNX files, with libtorch's predictions: those of the test `unet2d`, which agree with diffusers,
//! and others that diffusers does not have.

use std::collections::BTreeMap;
use std::error::Error;

use interchange::onnx::{Model, Weight, write};
use tch::Tensor;
use unet::{
    Activation, Backbone, EmbeddingConfig, NO_LABEL, Pass, Resampling, SinusoidOrder, TimeForm,
    TimeInjection, UNetConfig,
};

use crate::replay;

/// T in all cases.
const TIMESTEPS: usize = 1000;

/// A network, its inputs and its output.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
    /// The shape of `x`.
    pub(crate) shape: [usize; 4],
    pub(crate) x: Vec<f32>,
    pub(crate) t: Vec<f32>,
    /// Labels, if there are classes.
    pub(crate) labels: Option<Vec<i64>>,
    /// libtorch's prediction, in f32 with its own operations.
    pub(crate) prediction: Vec<f32>,
}

/// Calls `each` for one case after the other.
pub(crate) fn each(
    mut each: impl FnMut(&Case) -> Result<(), Box<dyn Error>>,
) -> Result<usize, Box<dyn Error>> {
    let mut count = 0;
    for (number, (golden, config)) in replay::cases()?.iter().enumerate() {
        let t = golden.t.iter().map(|&t| t as f32).collect();
        let name = format!("diffusers-{number:02}");
        each(&case(name, number, config, golden.shape, (t, golden.labels.clone()))?)?;
        count += 1;
    }
    for (name, change) in OTHERS {
        let mut config = UNetConfig::preset("tiny-16")?;
        change(&mut config);
        let size = if *name == "rectangular" { [10, 6] } else { [16, 16] };
        let shape = [3, config.in_channels, size[0], size[1]];
        // The last time is fractional.
        let labels = config.classes.map(|classes| vec![0, NO_LABEL, classes as i64 - 1]);
        each(&case((*name).to_owned(), count, &config, shape, (vec![0.0, 999.0, 731.625], labels))?)?;
        count += 1;
    }
    Ok(count)
}

type Change = fn(&mut UNetConfig);

/// Changes to the preset tiny-16.
const OTHERS: &[(&str, Change)] = &[
    ("normalized", |_| {}),
    ("fourier", |c| c.embedding = EmbeddingConfig::Fourier { frequencies: 12, scale: 16.0, seed: 3 }),
    ("sines first", |c| c.embedding = transformer(SinusoidOrder::SinFirst, 1)),
    ("cosines first", |c| c.embedding = transformer(SinusoidOrder::CosFirst, 0)),
    ("table", |c| c.embedding = EmbeddingConfig::Table { rows: 1000, dim: 16 }),
    ("time in the input", |c| c.time_injection = TimeInjection::Input),
    ("scale and shift", |c| (c.time_form, c.time_channels) = (TimeForm::ScaleShift, 24)),
    ("classes", |c| c.classes = Some(4)),
    ("augmented", |c| (c.augmented, c.classes) = (true, Some(3))),
    ("augmented without classes", |c| c.augmented = true),
    ("learned variance", |c| c.out_channels = 2 * c.in_channels),
    ("heads", |c| c.heads = 4),
    ("rectangular", |_| {}),
    ("one level", |c| (c.channel_mults, c.attention_resolutions) = (vec![1], vec![16])),
    ("plain resampling", |c| {
        (c.layout.downsampling, c.layout.upsampling) =
            (Some(vec![Resampling::Plain; 2]), Some(vec![Resampling::Plain; 2]));
    }),
    ("head channels", |c| {
        (c.layout.head_channels, c.layout.up_attention) = (Some(8), Some(vec![true, false]));
    }),
    ("middle", |c| {
        (c.layout.middle.scale, c.layout.middle.attention_groups) = (Some(1.5), Some(0));
        c.layout.center_input = true;
    }),
    ("no middle", |c| (c.layout.middle.absent, c.layout.activation) = (true, Activation::Mish)),
];

fn transformer(order: SinusoidOrder, freq_shift: usize) -> EmbeddingConfig {
    EmbeddingConfig::Transformer { dim: 16, order, freq_shift }
}

fn case(
    name: String,
    number: usize,
    config: &UNetConfig,
    shape: [usize; 4],
    (t, labels): (Vec<f32>, Option<Vec<i64>>),
) -> Result<Case, Box<dyn Error>> {
    let net = replay::network(config, TIMESTEPS)?;
    let images = replay::images(number, &shape)?;
    let no_grad = tch::no_grad_guard();
    let told = labels.as_ref().map(|labels| net.labels(labels)).transpose()?;
    let prediction = net.forward(&images, &Tensor::f_from_slice(&t)?, told.as_ref(), &Pass::eval())?;
    drop(no_grad);
    let labels = config.classes.map(|_| labels.unwrap_or_else(|| vec![NO_LABEL; shape[0]]));

    let numbers = |(name, tensor): &(String, Tensor)| -> Result<_, Box<dyn Error>> {
        let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
        Ok((name.clone(), shape, tensor_io::to_vec(tensor)?))
    };
    let weights = net.params().iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
    let weights: Vec<Weight<'_>> =
        weights.iter().map(|(name, shape, values)| Weight { name, shape, values }).collect();
    let model = Model {
        network: config,
        timesteps: TIMESTEPS,
        size: (shape[2], shape[3]),
        output: "eps",
        batch: None,
        doc: String::new(),
        metadata: BTreeMap::new(),
    };
    let file = write(&model, &weights)?;
    let (x, prediction) = (tensor_io::to_vec(&images)?, tensor_io::to_vec(&prediction)?);
    Ok(Case { name, file, shape, x, t, labels, prediction })
}
