//! Non-leaking augmentation (Karras et al. 2020, 2022): images are mirrored, rotated and shifted, and the network gets the
//! transformation as a condition. Sampling sets that condition to none, so samples look like the original data. A small
//! dataset goes further this way.

use config::TrainConfig;
use denoiser::NO_LABEL;
use random::{Purpose, Stream};
use tch::{Kind, Tensor};

use crate::draw::Share;
use crate::error::TrainerError;

/// The longest shift is the image's side divided by this.
const FARTHEST: i64 = 8;

/// The transformation of an image, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    /// Whether left and right are swapped.
    mirror: bool,
    /// Quarter turns.
    turn: i64,
    /// Shift right and down, in pixels; the uncovered area repeats the edge.
    moved: (i64, i64),
}

/// Augments the images `[b, c, h, w]` of a step and their labels, which become `[b, 4]`, see [`denoiser::Conditional`].
/// Each transformation has probability [`TrainConfig::augment`] and depends on the image's place in the whole batch.
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

/// Draws the same number of values for every image.
fn drawn(stream: &mut Stream, probability: f64, (height, width): (i64, i64)) -> Change {
    let mut happens = || stream.uniform() < probability;
    let (mirror, turns, moves) = (happens(), happens(), happens());
    let (turn, right, down) = (stream.uniform(), stream.uniform(), stream.uniform());
    // Only square images can be rotated by a quarter turn.
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
    fn changes_do_what_their_names_say() {
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
    fn the_condition_follows_the_place_in_the_batch() {
        let config = TrainConfig { augment: 0.5, ..example() };
        let all = images(200, 16, 16);
        let labels = Tensor::arange(200, (Kind::Int64, tch::Device::Cpu));
        let (x, told) =
            augmented(&config, &all, Some(labels.shallow_clone()), &Share::whole(200), (1, 2)).unwrap();
        let told = told.unwrap();
        assert_eq!((x.size(), told.size()), (all.size(), vec![200, 4]));
        assert_eq!(told.select(1, 0), labels);
        // The condition is empty for unchanged images and for no others.
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
