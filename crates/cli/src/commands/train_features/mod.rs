//! `ddpm train-features`: trains a classifier on the user's images; `ddpm evaluate` compares images by its features.

mod data;

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use dataset::Split;
use features::{About, ClassifierTraining, FeaturesError, Selection, TrainOptions};
use serde_json::json;
use tracing::{info, warn};

use crate::exit::ExitCode;
use crate::failure::{bail_usage, wrong_data};
use crate::flags::Global;
use crate::paths::{DataSource, OutputFile};
use crate::signals::Signals;
use crate::{device, memory, output, progress};
use data::Images;

/// Longest name of the features, in characters.
const NAME: usize = 40;

/// Train a classifier whose features are used to compare images
#[derive(Debug, Args)]
#[command(
    after_help = "The file holds a small convolutional classifier. The features are the 128 activations before its \
last layer. Images need labels: a sub-folder for each class, an IDX or CIFAR set, or labels in a \
.npz file. They are 16x16 to 128x128.

The accuracy is measured on the test part of the data or, if there is none, on a tenth of the \
images that is held out. The same seed gives the same file, on the same machine with the same \
number of threads.

Examples:
  ddpm train-features --data cifar-10-batches-bin --flip --out cifar.safetensors
  ddpm train-features --data photos/ --set data.size=64 --name photos"
)]
pub(crate) struct TrainFeatures {
    /// Images with labels: a folder or zip archive, an IDX, CIFAR or npz file, or fashion-mnist
    #[arg(long, value_name = "SRC", default_value = "fashion-mnist")]
    data: DataSource,
    /// File for the classifier
    #[arg(long, value_name = "FILE", default_value = "out/features.safetensors")]
    out: OutputFile,
    /// Name of the features: distances are titled FD (NAME features) [default: from the data]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Passes over the images, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 20)]
    epochs: usize,
    /// Seed; the same seed gives the same classifier
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Mirror half of the images left to right; not for letters and digits
    #[arg(long)]
    flip: bool,
    /// Override one value of [data], such as data.size=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl TrainFeatures {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        if !(1..=1000).contains(&self.epochs) {
            bail_usage!("--epochs {}: expected 1 to 1000", self.epochs);
        }
        let name = self.name()?;
        output::try_file("--out", &self.out)?;
        let signals = Signals::install()?;
        let device = device::select(global)?;
        let images = Images::open(&self.data, &self.set)?;
        let _limit = memory::limit(device);
        let (train, held_out) = images.parts(self.seed);
        let options = TrainOptions { epochs: self.epochs, seed: self.seed, flip: self.flip };
        let mut training = ClassifierTraining::new(train.clone(), options, device)
            .map_err(|error| self.refused(error, &images))?;
        let (height, width, channels) = images.set().shape();
        info!(
            "{} of {width}x{height}x{channels} in {} to train on, {} held out, {} on {}",
            output::images(train.len()),
            files::counted(images.set().classes(), "class"),
            held_out.len(),
            files::counted(training.steps(), "step"),
            device::name(device)
        );

        // From here on a signal stops the training after the current step, since the bar must be removed.
        signals.hold();
        let begun = Instant::now();
        if !self.train(&mut training, &signals, global)? {
            warn!(
                "stopped after step {} of {}: nothing was written",
                training.steps_done(),
                training.steps()
            );
            return Ok(ExitCode::from(signals.exit_code()));
        }
        let (seconds, steps) = (begun.elapsed().as_secs_f64(), training.steps_done());
        let trained = training.finish()?;
        let accuracy = trained.accuracy(&held_out)?;
        let about = About {
            name,
            trained_on: images.described(),
            images: train.len(),
            held_out: images.held_out_described(),
            accuracy,
        };
        let file = trained.file(&about)?;
        files::write_output(&self.out, &file).with_context(|| format!("--out {}", self.out.display()))?;
        let summary = json!({
            "out": self.out, "name": about.name, "accuracy": accuracy, "images": train.len(), "held_out": held_out.len(),
            "held_out_of": about.held_out, "height": height, "width": width, "channels": channels,
            "class_count": images.set().classes(), "epochs": self.epochs, "steps": steps, "seconds": seconds,
            "bytes": file.len(), "sha256": features::sha256(&file),
        });
        output::finish(global, &summary, || {
            format!(
                "{} features: {:.2}% of {} classified correctly, {} of training: {}",
                about.name,
                accuracy * 100.0,
                files::counted(held_out.len(), "held-out image"),
                progress::duration(seconds),
                self.out.display()
            )
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// The name of the features.
    fn name(&self) -> anyhow::Result<String> {
        let by_data = || {
            let (bare, _) = Split::of_spec(&self.data);
            let stem = std::path::Path::new(bare).file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let printable = files::printable_line(&stem.unwrap_or_default()).into_owned();
            Some(printable.chars().take(NAME).collect()).filter(|name: &String| !name.trim().is_empty())
        };
        let name = match &self.name {
            Some(name) => name.clone(),
            None => by_data().unwrap_or_else(|| "own".to_owned()),
        };
        if name.trim() != name
            || name.is_empty()
            || name.chars().count() > NAME
            || files::printable_line(&name) != name
        {
            bail_usage!(
                "--name {name:?}: expected 1 to {NAME} printable characters, without spaces around them"
            );
        }
        Ok(name)
    }

    /// Runs all steps; `false` if a signal asked to stop.
    fn train(
        &self,
        training: &mut ClassifierTraining<'_>,
        signals: &Signals,
        global: &Global,
    ) -> anyhow::Result<bool> {
        let steps = training.steps();
        let bar = progress::bar(global, steps, "training");
        let (mut sum, mut first, mut epoch) = (0.0, 0, 1);
        while training.steps_done() < steps {
            if signals.stop.load(Ordering::Relaxed) {
                bar.finish_and_clear();
                return Ok(false);
            }
            let loss = training.step()?;
            let done = training.steps_done();
            sum += loss;
            bar.set_position(done);
            if done * self.epochs as u64 >= epoch * steps {
                let mean = sum / (done - first) as f64;
                bar.set_message(format!("loss {mean:.3}"));
                if !progress::shows_bars(global) {
                    info!("epoch {epoch} of {}: loss {mean:.4}", self.epochs);
                }
                (sum, first, epoch) = (0.0, done, done * self.epochs as u64 / steps + 1);
            }
        }
        bar.finish_and_clear();
        Ok(true)
    }

    /// Adds the flag and a hint to an error.
    fn refused(&self, error: FeaturesError, images: &Images) -> anyhow::Error {
        let FeaturesError::Training { .. } = &error else { return error.into() };
        let set = images.set();
        let advice = if Selection::all(set).label(0).is_none() || set.classes() < 2 {
            let notes: String = set.notes().iter().map(|note| format!(" ({note})")).collect();
            format!("{notes}; give a folder with a sub-folder for each class, or a set with labels")
        } else {
            "; --set data.size=32 brings all images to 32x32".to_owned()
        };
        wrong_data(format!("--data {}: {error}{advice}", &*self.data))
    }
}
