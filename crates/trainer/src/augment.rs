//! Augmentation that the network is told of (Karras et al. 2020, 2022): images are mirrored, turned and moved, the network
//! learns which of them were, and in sampling, where it is told of none, draws images as the data are. A small set of images
//! goes further so.

use config::TrainConfig;
use denoiser::NO_LABEL;
use random::{Purpose, Stream};
use tch::{Kind, Tensor};

use crate::draw::Share;
use crate::error::TrainerError;

/// The longest way an image is moved, as a part of its side.
const FARTHEST: i64 = 8;

/// What is done to an image, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    /// Left and right are exchanged.
    mirror: bool,
    /// Quarter turns.
    turn: i64,
    /// Pixels to the right and down; what comes in is the edge again.
    moved: (i64, i64),
}

/// The images `[b, c, h, w]` of a step and their labels, augmented: labels `[b, 4]` then, see [`denoiser::Conditional`].
/// Each change comes with probability [`TrainConfig::augment`], by the image's place in the whole batch.
pub(crate) fn augmented(
    config: &TrainConfig,
    images: &Tensor,
    labels: Option<Tensor>,
    share: &Share,
    (seed, step): (u64, u64),
) -> Result<(Tensor, Option<Tensor>), TrainerError> {
    if config.augment == 0.0 {
        return Ok((images.shallow_clone(), labels));
    }
    let size = images.size();
    let (height, width) = (size[2], size[3]);
    let mut stream = Stream::new(seed, Purpose::TrainAugment, step, 0);
    let changes: Vec<Change> =
        (0..share.images.end).map(|_| drawn(&mut stream, config.augment, (height, width))).collect();
    let (mut parts, mut codes) = (Vec::new(), Vec::new());
    for (index, change) in changes[share.images.clone()].iter().enumerate() {
        parts.push(changed(&images.f_narrow(0, index as i64, 1)?, *change)?);
        codes.extend([change.turn + 4 * i64::from(change.mirror), change.moved.0, change.moved.1]);
    }
    let codes = Tensor::f_from_slice(&codes)?.f_view([size[0], 3])?;
    let labels = match labels {
        Some(labels) => labels.f_to_device(tch::Device::Cpu)?,
        None => Tensor::f_full([size[0]], NO_LABEL, (Kind::Int64, tch::Device::Cpu))?,
    };
    let told = Tensor::f_cat(&[labels.f_unsqueeze(1)?, codes], 1)?; // [b, 4]
    Ok((Tensor::f_cat(&parts, 0)?, Some(told)))
}

/// As many numbers are drawn for every image.
fn drawn(stream: &mut Stream, probability: f64, (height, width): (i64, i64)) -> Change {
    let mut happens = || stream.uniform() < probability;
    let (mirror, turns, moves) = (happens(), happens(), happens());
    let (turn, right, down) = (stream.uniform(), stream.uniform(), stream.uniform());
    // Only squares can be turned by a quarter.
    let turn = if height == width { 1 + (turn * 3.0) as i64 } else { 2 };
    let way = |share: f64, side: i64| {
        let farthest = side / FARTHEST;
        (share * (2 * farthest + 1) as f64) as i64 - farthest
    };
    Change {
        mirror,
        turn: if turns { turn } else { 0 },
        moved: if moves { (way(right, width), way(down, height)) } else { (0, 0) },
    }
}

/// One image `[1, c, h, w]`.
fn changed(
    image: &Tensor,
    Change { mirror, turn, moved: (right, down) }: Change,
) -> Result<Tensor, TrainerError> {
    let mut x = image.shallow_clone();
    if mirror {
        x = x.f_flip([3])?;
    }
    if turn != 0 {
        x = x.f_rot90(turn, [2, 3])?;
    }
    if (right, down) != (0, 0) {
        let (height, width) = (x.size()[2], x.size()[3]);
        let border = [right.max(0), (-right).max(0), down.max(0), (-down).max(0)];
        let wide = x.f_replication_pad2d(border)?;
        x = wide.f_narrow(2, (-down).max(0), height)?.f_narrow(3, (-right).max(0), width)?;
    }
    Ok(x.f_contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::example;

    fn images(count: i64, height: i64, width: i64) -> Tensor {
        Tensor::arange(count * height * width, (Kind::Float, tch::Device::Cpu))
            .view([count, 1, height, width])
    }

    #[test]
    fn changes_do_what_they_are_called() {
        let one = images(1, 2, 2); // 0 1 / 2 3
        let at = |change| tensor_io::to_vec(&changed(&one, change).unwrap()).unwrap();
        let none = Change::default();
        assert_eq!(at(none), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(at(Change { mirror: true, ..none }), [1.0, 0.0, 3.0, 2.0]);
        assert_eq!(at(Change { turn: 2, ..none }), [3.0, 2.0, 1.0, 0.0]);
        assert_eq!(at(Change { moved: (1, 0), ..none }), [0.0, 0.0, 2.0, 2.0]);
        assert_eq!(at(Change { moved: (0, -1), ..none }), [2.0, 3.0, 2.0, 3.0]);
    }

    #[test]
    fn the_network_is_told_what_was_done_by_place() {
        let config = TrainConfig { augment: 0.5, ..example() };
        let all = images(200, 16, 16);
        let labels = Tensor::arange(200, (Kind::Int64, tch::Device::Cpu));
        let (x, told) =
            augmented(&config, &all, Some(labels.shallow_clone()), &Share::whole(200), (1, 2)).unwrap();
        let told = told.unwrap();
        assert_eq!((x.size(), told.size()), (all.size(), vec![200, 4]));
        assert_eq!(told.select(1, 0), labels);
        // Nothing was told of an image that is as it was, and of no other.
        let same = x.eq_tensor(&all).flatten(1, -1).all_dim(1, false);
        let untold = told.narrow(1, 1, 3).eq(0).all_dim(1, false);
        assert_eq!(same, untold);
        let share = f64::try_from(untold.to_kind(Kind::Double).mean(Kind::Double)).unwrap();
        assert!((share - 0.125).abs() < 0.08, "{share}");
        let part = Share { of: 200, images: 50..60 };
        let (of_part, _) = augmented(&config, &all.narrow(0, 50, 10), None, &part, (1, 2)).unwrap();
        assert_eq!(of_part, x.narrow(0, 50, 10));
        let (wide, _) = augmented(&config, &images(50, 4, 6), None, &Share::whole(50), (1, 2)).unwrap();
        assert_eq!(wide.size(), [50, 1, 4, 6]);
    }
}
