//! `ddpm predict`: runs the network on arrays, so that any result can be checked from outside.

use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use tch::Tensor;
use unet::BackboneError;

use crate::array_file;
use crate::commands::noise_file;
use crate::failure::usage;
use crate::flags::{Global, ModelArgs};
use crate::model::Loaded;
use crate::output;
use crate::paths::{InputPath, OutputFile};

/// Runs the network on the user's arrays.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ddpm predict --run runs/mine --x x_t.npy --t t.npy --out eps.npy

Any of the files may be a .npz instead, with arrays x_t, t, class and eps.")]
pub(crate) struct Predict {
    #[command(flatten)]
    model: ModelArgs,
    /// x_t = alpha x_0 + sigma eps, .npy f32 of shape n, c, h, w; with edm alpha is 1, with straight alpha + sigma
    #[arg(long, value_name = "FILE")]
    x: InputPath,
    /// t of each image, .npy of shape n, 0 to T - 1; fractions allowed
    #[arg(long, value_name = "FILE")]
    t: InputPath,
    /// Class of each image, .npy of integers of shape n, -1 for none [default: none]
    #[arg(long, value_name = "FILE")]
    class: Option<InputPath>,
    /// File for eps, .npy f32 of shape n, c, h, w
    #[arg(long, value_name = "FILE")]
    out: OutputFile,
}

impl Predict {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        output::try_file("--out", &self.out)?;
        let x = array_file::read("--x", &self.x, &["x_t", "x"])?;
        let x = noise_file::floats(&format!("--x {}", self.x.display()), x)?;
        let t = array_file::read("--t", &self.t, &["t"])?.into_f64();
        let loaded = Loaded::open(&self.model, global)?;
        let steps = loaded.path.steps();
        if let Some(wrong) = t.iter().find(|&&t| !(t >= 0.0 && t <= (steps - 1) as f64)) {
            return Err(usage(anyhow!(
                "--t {}: holds {wrong}, expected 0 to {}",
                self.t.display(),
                steps - 1
            )));
        }
        let weights = weights(&loaded, t.iter().copied())?;
        let t = tensor_io::from_array(&t.view())?;
        let labels = self.class.as_ref().map(|path| read_labels(path, &loaded, &t)).transpose()?;
        let _no_grad = tch::no_grad_guard();
        let pass = unet::Pass::eval().with_kind(loaded.precision.kind());
        let [c_in, of_x, of_output] = weights.map(|weights| weights.to_device(loaded.device));
        let x = x.f_to_device(loaded.device)?;
        loaded.net.check(&x, &t, labels.as_ref()).map_err(|e| usage(anyhow!("--x and --t: {e}")))?;
        let shown = x.f_mul(&c_in)?;
        let output = loaded.net.forward(&shown, &t, labels.as_ref(), &pass);
        let output = output.map_err(|e| usage(anyhow!("--x and --t: {e}")))?;
        // A second half of the channels predicts the variance.
        let eps = of_x * &x + of_output * output.f_narrow(1, 0, x.size()[1])?;
        array_file::write(&self.out, "eps", tensor_io::to_array(&eps)?.into())?;
        output::finish(global, &json!({ "out": self.out, "shape": eps.size() }), || {
            format!("{:?} written to {}", eps.size(), self.out.display())
        })
    }
}

/// For the time of each image: the scale of the network's input, and the weights of `x_t` and of the network's output in eps.
/// Each is `[n, 1, 1, 1]`, f32.
fn weights(loaded: &Loaded, times: impl Iterator<Item = f64>) -> anyhow::Result<[Tensor; 3]> {
    let prediction = loaded.config.train.output();
    let mut weights = [Vec::new(), Vec::new(), Vec::new()];
    for t in times {
        let level = loaded.path.level_at(t).map_err(|e| usage(anyhow!("--t: {e}")))?;
        let (of_x, of_output) = prediction.eps_weights(&level);
        for (list, value) in weights.iter_mut().zip([prediction.c_in(&level), of_x, of_output]) {
            list.push(value as f32);
        }
    }
    let tensor = |values: &Vec<f32>| tensor_io::from_slice(values, &[values.len() as i64, 1, 1, 1]);
    Ok([tensor(&weights[0])?, tensor(&weights[1])?, tensor(&weights[2])?])
}

/// Reads the label of each image, one for each t.
fn read_labels(path: &Path, loaded: &Loaded, t: &Tensor) -> anyhow::Result<Tensor> {
    let name = path.display().to_string();
    let labels =
        array_file::read("--class", path, &["class", "labels"])?.into_i64(&name).context("--class")?;
    let (shape, want) = (labels.shape().to_vec(), t.size());
    if !shape.iter().map(|&n| n as i64).eq(want.iter().copied()) {
        return Err(usage(anyhow!("--class {name}: has shape {shape:?}, expected {want:?}, one for each t")));
    }
    let labels: Vec<i64> = labels.into_iter().collect();
    loaded.net.labels(&labels).map_err(|error| match error {
        BackboneError::Unconditional => {
            usage(anyhow!("--class {name}: this network has no classes; leave it out"))
        }
        error => usage(anyhow!("--class {name}: {error}")),
    })
}
