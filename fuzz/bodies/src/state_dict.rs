//! Names and shapes of other codebases' state dicts.

use std::collections::BTreeMap;
use std::path::Path;

use interchange::guided::{self, AttentionOrder, Heads, NoiseSchedule, Options};
use interchange::state_dict::{Model, Origin, Tensors};
use interchange::{InterchangeError, original};

/// Longer texts only repeat shorter ones.
const LENGTH: usize = 16_384;

/// The first byte chooses codebase, heads and schedule; each line after it has a name and its sizes.
pub(crate) fn body(data: &[u8]) {
    let Some((told, bytes)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LENGTH)]);
    let mut shapes = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        shapes.insert(name, words.filter_map(|word| word.parse().ok()).collect::<Vec<usize>>());
    }
    let tensors = Tensors::new(Path::new("fuzz"), shapes.clone());
    let found = if told % 2 == 0 {
        original::read(&tensors, 32)
    } else {
        let heads = usize::from(told / 2 % 8);
        guided::read(
            &tensors,
            &Options {
                image_size: 32,
                heads: if told & 16 == 0 { Heads::Number(heads) } else { Heads::Channels(heads) },
                order: if told & 32 == 0 { AttentionOrder::Legacy } else { AttentionOrder::New },
                schedule: if told & 64 == 0 { NoiseSchedule::Linear } else { NoiseSchedule::Cosine },
                steps: 100,
                rescales_timesteps: told & 128 != 0,
            },
        )
    };
    match found {
        Ok(model) => check(&model, &shapes),
        Err(error) => refused(&error),
    }
}

/// The weights are those of the network, and hold as many numbers as the file.
fn check(model: &Model, shapes: &BTreeMap<String, Vec<usize>>) {
    model.config.validate().expect("accepted input should be valid");
    let found = model.weights.iter().map(|weight| (weight.name.clone(), weight.shape.clone()));
    assert!(found.eq(model.config.model.parameters()));
    let (mut taken, mut given) = (0, 0);
    for weight in &model.weights {
        let count: usize = weight.shape.iter().product();
        match &weight.origin {
            Origin::Whole { tensor } => assert_eq!(shapes[tensor].iter().product::<usize>(), count),
            Origin::Third { tensor, third, groups } => {
                assert_eq!(shapes[tensor].iter().product::<usize>(), 3 * count);
                assert!(*third < 3 && weight.shape[0].is_multiple_of(*groups));
            }
            Origin::Given { values } => {
                assert_eq!(values.len(), count);
                given += count;
            }
        }
        taken += count;
    }
    assert_eq!(taken - given, shapes.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>());
}

/// A refusal is one short line that starts with the file name.
fn refused(error: &InterchangeError) {
    let text = error.to_string();
    assert!(text.starts_with("fuzz: "), "{text}");
}
