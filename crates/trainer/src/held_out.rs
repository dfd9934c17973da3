//! The loss on held-out images, by noise level.

use config::{Loss, TrainConfig};
use random::{Purpose, Stream};
use schedule::NoisePath;
use tch::{Device, Tensor};

use crate::algorithm::{Asked, Drawn, perturbed, predict};
use crate::draw::Draw;
use crate::error::TrainerError;
use crate::loss::{self, scales_input};
use crate::metrics::LOSS_BUCKETS;
use crate::numbers::{Numbers, in_eps, times};
use crate::parts::parts;
use crate::step::{Batch, Model};

/// The mean squared error of eps in the middle of each tenth of the path, least noise first. It is like `loss_by_t` in the log
/// of a run, but for given images, with noise that depends on the seed alone, so that two moments of a run can be compared.
///
/// At most `most` images are in the network at a time; 0 means all of them.
///
/// # Errors
/// [`TrainerError::Caller`] when the network fails, [`TrainerError::Schedule`] when the path has no such level.
pub fn held_out_losses(
    path: &dyn NoisePath,
    config: &TrainConfig,
    images: &Batch,
    model: &Model<'_>,
    (seed, device, most): (u64, Device, usize),
) -> Result<[f64; LOSS_BUCKETS], TrainerError> {
    let _no_grad = tch::no_grad_guard();
    // A network tuned for consistency is asked for the noise like any other, so that it compares with the one it was.
    let loss = if config.loss == Loss::Consistency { Loss::Squared } else { config.loss };
    let config = &TrainConfig { loss, ..config.clone() };
    let (size, kind) = (images.images.size(), images.images.f_kind()?);
    let values = size[1..].iter().product::<i64>() as usize;
    let scales_input = scales_input(path, config.output())?;
    let mut losses = [0.0; LOSS_BUCKETS];
    for (bucket, loss) in losses.iter_mut().enumerate() {
        let mut level = path.level_of_share((bucket as f64 + 0.5) / LOSS_BUCKETS as f64)?;
        if path.is_discrete() {
            level = path.level_at(level.t.round())?;
        }
        let mut stream = Stream::new(seed, Purpose::Evaluate, bucket as u64, 1);
        let mut sum = 0.0;
        for (first, count) in parts(size[0] as usize, most) {
            let part = |whole: &Tensor| whole.f_narrow(0, first as i64, count as i64)?.f_to_device(device);
            let x_0 = part(&images.images)?;
            let draw = Draw {
                levels: vec![level; count],
                below: Vec::new(),
                oversampled: vec![1.0; count],
                noise: stream.normals(count * values),
            };
            let eps =
                tensor_io::from_slice(&draw.noise, &x_0.size())?.f_to_kind(kind)?.f_to_device(device)?;
            let numbers = Numbers::on_host(path, config, &draw, kind)?.f_to_device(device)?;
            let t = times(path, &draw.levels)?.f_to_device(device)?;
            let labels = images.labels.as_ref().map(part).transpose()?;
            let drawn = Drawn {
                x_0: &x_0,
                t: &t,
                numbers: Numbers::new(&numbers),
                eps: &eps,
                labels: labels.as_ref(),
            };
            let noised = perturbed(config, &drawn)?;
            let output = predict(config, scales_input, &noised, &Asked::of(&noised), model)?;
            let each = loss::of_part(config, &noised, &output)?.each;
            let in_eps = in_eps(config, &draw.levels);
            sum += tensor_io::to_vec(&each)?
                .iter()
                .zip(in_eps)
                .map(|(loss, f)| f64::from(*loss) * f)
                .sum::<f64>();
        }
        *loss = sum / size[0].max(1) as f64;
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use denoiser::BoxError;
    use schedule::LossWeight;
    use schedule::{Prediction, Schedule};
    use tch::Kind;

    fn images(count: i64) -> Batch {
        let images =
            Tensor::linspace(-1.0, 1.0, count * 16, (Kind::Float, Device::Cpu)).view([count, 1, 4, 4]);
        Batch { images, labels: None }
    }

    /// A network that outputs 0 has an error of eps, of variance 1, for every level and weight; splitting the batch
    /// changes nothing.
    #[test]
    fn an_output_of_zero_costs_the_variance_of_eps() {
        let path = Schedule::ddpm();
        let model =
            |x: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> { Ok(x.zeros_like()) };
        let config =
            TrainConfig { prediction: Prediction::Eps, loss_weight: LossWeight::Simple, ..example() };
        let of =
            |most| held_out_losses(&path, &config, &images(200), &model, (3, Device::Cpu, most)).unwrap();
        let losses = of(0);
        // 3200 squares, each with a standard deviation of sqrt(2).
        assert!(losses.iter().all(|loss| (loss - 1.0).abs() < 0.1), "{losses:?}");
        for (whole, parts) in losses.iter().zip(of(64)) {
            assert!((whole - parts).abs() < 1e-6);
        }
    }

    /// With the true x_0 as output, the error is 0 at each level, also in eps.
    #[test]
    fn a_perfect_output_costs_nothing() {
        let path = Schedule::ddpm();
        let config = TrainConfig { prediction: Prediction::X0, ..example() };
        let images = images(8);
        let x_0 = images.images.shallow_clone();
        let model = move |_: &Tensor, _: &Tensor, _: Option<&Tensor>| -> Result<Tensor, BoxError> {
            Ok(x_0.shallow_clone())
        };
        let losses = held_out_losses(&path, &config, &images, &model, (3, Device::Cpu, 0)).unwrap();
        assert_eq!(losses, [0.0; LOSS_BUCKETS]);
    }
}
