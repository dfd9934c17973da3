//! Trains a network on a folder of images and draws eight new ones:
//! `cargo run --release -p examples -- photos/ out/ [STEPS]`.
#![allow(clippy::print_stdout, reason = "a program prints its progress")]

use std::path::Path;

use dataset::{BatchPlan, Dataset, OpenOptions, Source, save_png};
use sampler::{Noise, Sampler, SamplerConfig, to_pixels};
use tch::Device;
use trainer::{Batch, BoxError, Schedule, TrainConfig, Trainer};
use unet::{Backbone, Pass, Predictor, UNet, UNetConfig};

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photos, out, steps @ ..] = &arguments[..] else { return Err("expected FOLDER OUT [STEPS]".into()) };
    let steps: u64 = steps.first().map_or(Ok(20_000), |steps| steps.parse())?;

    // The images in colour, cropped to squares of 32 pixels, in an order that depends on the seed (0) alone.
    let options = OpenOptions { size: Some(32.into()), channels: Some(3), ..Default::default() };
    let set = Dataset::open(&Source::detect(photos)?, &options)?;
    let plan = BatchPlan::new(set.len(), 16, 0)?.with_flip(true);

    // A U-Net for images of this size, which learns to predict the noise in them at 1000 levels.
    let schedule = Schedule::ddpm();
    let network = UNetConfig::for_images("images", set.shape())?;
    let device = Device::cuda_if_available();
    let net = UNet::new(&network, schedule.steps(), device, 0)?;
    let config = TrainConfig { steps, batch: 16, warmup_steps: 500, ema_warmup: true, ..Default::default() };
    let mut training = Trainer::new(net.params(), &schedule, &config, 0, device)?;
    let pass = Pass::train();
    for step in 0..steps {
        let batch = Batch::from_array(plan.batch(&set, step)?.images.view(), None)?;
        let report = training.train_step(&batch, &|x_t, t, _| Ok(net.forward(x_t, t, None, &pass)?))?;
        let done = step + 1;
        if done.is_multiple_of(100) || done == steps {
            println!("step {done}: loss {:.4}", report.loss);
        }
    }

    // Sample with the average of the weights over the training, in 15 steps.
    net.copy_weights(training.ema_weights())?;
    let net = Predictor::new(&net, &Pass::eval())?;
    let config = SamplerConfig { steps: Some(15), ..SamplerConfig::new("dpmpp-2m".parse()?) };
    let sampler = Sampler::new(&schedule, &config)?;
    let noise = Noise { seed: 1, first_index: 0 };
    let x_t = noise.start([8, 3, 32, 32], device)?;
    let images = sampler.sample(&|x_t, t| Ok(net.predict(x_t, t, None)?), &x_t, &noise, &mut |_| Ok(()))?;
    for (index, image) in to_pixels(&images)?.outer_iter().enumerate() {
        save_png(&Path::new(out).join(format!("{index}.png")), image)?;
    }
    Ok(())
}
