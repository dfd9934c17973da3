//! Assigns noises to images (Algorithm 1 pairs them at random). A path from a noise to a distant image crosses many others,
//! and where paths cross, the network learns their mean. Pairing nearby noises and images makes the paths straighter.

use config::{Pairing, TrainConfig};
use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;
use random::{Purpose, Stream};
use tch::{Kind, Tensor};

use crate::draw::{Share, normals_of};
use crate::error::TrainerError;

/// Number of draws that an image chooses its noise from.
const CHOICES: usize = 4;

/// The noise `[b, c, h, w]` of a batch, assigned as configured; of the same kind and in host memory.
pub(crate) fn paired(
    config: &TrainConfig,
    (images, labels): (&Tensor, Option<&Tensor>),
    noise: Tensor,
    share: &Share,
    coordinates: (u64, u64),
) -> Result<Tensor, TrainerError> {
    match config.pairing {
        Pairing::Independent => Ok(noise),
        Pairing::Optimal => assigned(images, labels, &noise),
        Pairing::Nearest => nearest(images, noise, share, coordinates),
    }
}

/// Minibatch optimal transport: the assignment with the least sum of squared distances, among images of the same label. Every
/// noise is used once, so together they stay normal; with labels, so do the noises of each class.
fn assigned(images: &Tensor, labels: Option<&Tensor>, noise: &Tensor) -> Result<Tensor, TrainerError> {
    let count = images.size()[0] as usize;
    // |x - z|^2 without the terms that are the same for every pairing.
    let inner = flat(images)?.f_matmul(&flat(noise)?.f_transpose(0, 1)?)?; // [b, b]
    let inner = tensor_io::to_vec(&inner)?;
    let labels: Vec<i64> = match labels {
        Some(labels) => Vec::try_from(labels)?,
        None => vec![0; count],
    };
    let mut order: Vec<i64> = (0..count as i64).collect();
    let mut classes = labels.clone();
    classes.sort_unstable();
    classes.dedup();
    for class in classes {
        let members: Vec<usize> = (0..count).filter(|&image| labels[image] == class).collect();
        // The algorithm needs totally ordered numbers, so costs are rounded to a millionth, far below the difference of
        // two noises.
        let cost = Matrix::from_fn(members.len(), members.len(), |(row, column)| {
            (-1e6 * f64::from(inner[members[row] * count + members[column]])) as i64
        });
        for (row, column) in kuhn_munkres_min(&cost).1.into_iter().enumerate() {
            order[members[row]] = members[column] as i64;
        }
    }
    Ok(noise.f_index_select(0, &Tensor::f_from_slice(&order)?)?)
}

/// Gives each image the nearest of [`CHOICES`] noises: its own, and further draws.
fn nearest(
    images: &Tensor,
    noise: Tensor,
    share: &Share,
    (seed, step): (u64, u64),
) -> Result<Tensor, TrainerError> {
    let size = noise.size();
    let of_each = (CHOICES - 1) * size[1..].iter().product::<i64>() as usize;
    let further = normals_of(share, of_each, Stream::new(seed, Purpose::TrainChoice, step, 0));
    let mut of_image = vec![size[0], CHOICES as i64 - 1];
    of_image.extend(&size[1..]);
    let further = tensor_io::from_slice(&further, &of_image)?.f_transpose(0, 1)?;
    let choices = Tensor::f_cat(&[noise.f_unsqueeze(0)?, further], 0)?; // [k, b, c, h, w]
    let distances = choices.f_sub(&images.f_unsqueeze(0)?)?.f_square()?.f_flatten(2, -1)?;
    let best = distances.f_sum_dim_intlist(2_i64, false, Kind::Float)?.f_argmin(0, false)?; // [b]
    let every = Tensor::f_arange(size[0], (Kind::Int64, tch::Device::Cpu))?;
    Ok(choices.f_index(&[Some(best), Some(every)])?)
}

fn flat(x: &Tensor) -> Result<Tensor, TrainerError> {
    Ok(x.f_flatten(1, -1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;
    use crate::step::Batch;
    use tch::Device;

    fn batch(count: i64, labels: Option<&[i64]>) -> (Batch, Tensor) {
        let normal = |step| {
            let values = Stream::new(1, Purpose::TrainNoise, step, 0).normals(count as usize * 6);
            tensor_io::from_slice(&values, &[count, 1, 2, 3]).unwrap()
        };
        (Batch { images: normal(0), labels: labels.map(Tensor::from_slice) }, normal(1))
    }

    fn distance(images: &Tensor, noise: &Tensor) -> f64 {
        (images - noise).square().sum(Kind::Double).double_value(&[])
    }

    fn pair(pairing: Pairing, batch: &Batch, noise: &Tensor) -> Tensor {
        let images = (&batch.images, batch.labels.as_ref());
        let share = Share::whole(batch.images.size()[0] as usize);
        paired(&TrainConfig { pairing, ..example() }, images, noise.copy(), &share, (5, 9)).unwrap()
    }

    fn permutations(n: usize) -> Vec<Vec<i64>> {
        if n == 0 {
            return vec![vec![]];
        }
        let shorter = permutations(n - 1);
        let with = |p: &Vec<i64>, at: usize| [&p[..at], &[n as i64 - 1], &p[at..]].concat();
        shorter.iter().flat_map(|p| (0..n).map(move |at| with(p, at))).collect()
    }

    #[test]
    fn no_assignment_is_nearer() {
        let (batch, noise) = batch(6, None);
        let got = distance(&batch.images, &pair(Pairing::Optimal, &batch, &noise));
        let all = permutations(6);
        assert_eq!(all.len(), 720);
        let least = all
            .iter()
            .map(|order| distance(&batch.images, &noise.index_select(0, &Tensor::from_slice(order))))
            .fold(f64::INFINITY, f64::min);
        assert!((got - least).abs() < 1e-4, "{got} is not {least}");
    }

    #[test]
    fn noises_stay_with_their_class() {
        let labels = [2_i64, 0, 2, 1, 0, 2, 2, 0];
        let (batch, noise) = batch(8, Some(&labels));
        let paired = pair(Pairing::Optimal, &batch, &noise);
        assert!(distance(&batch.images, &paired) < distance(&batch.images, &noise));
        for class in 0..3 {
            let members: Vec<i64> = (0..8).filter(|&i| labels[i as usize] == class).collect();
            let of_class =
                |x: &Tensor| x.index_select(0, &Tensor::from_slice(&members)).flatten(0, -1).sort(0, false).0;
            assert_eq!(of_class(&paired), of_class(&noise));
        }
    }

    #[test]
    fn the_nearest_depends_on_the_image_alone() {
        let (whole, noise) = batch(5, None);
        let paired = pair(Pairing::Nearest, &whole, &noise);
        for image in 0..5 {
            let at = |x: &Tensor| x.narrow(0, image, 1);
            assert!(distance(&at(&whole.images), &at(&paired)) <= distance(&at(&whole.images), &at(&noise)));
        }
        assert_ne!(paired, noise);
        // Nor on the other images: part of a batch gets its part of the noise.
        let (images, own) = (whole.images.narrow(0, 1, 3), noise.narrow(0, 1, 3));
        let share = Share { of: 5, images: 1..4 };
        let part = nearest(&images, own, &share, (5, 9)).unwrap();
        assert_eq!(part, paired.narrow(0, 1, 3));
        assert_eq!(pair(Pairing::Independent, &whole, &noise), noise);
        assert_eq!(paired.device(), Device::Cpu);
    }
}
