//! Dropout: known numbers, the same mask on every path, its gradient, and refusals.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};
use torch_ext::{TorchExtError, Vectors, channels_last, dropout, dropout_with};

const ALL: [Vectors; 4] = [Vectors::Best, Vectors::UpTo16, Vectors::UpTo8, Vectors::UpTo4];

/// Both the generator and the number of threads belong to the process.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn normals(size: &[i64]) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(3, random::Purpose::Figure, 0, 0).normals(count);
    Tensor::from_slice(&numbers).view(size)
}

fn ones(count: i64) -> Tensor {
    Tensor::ones([count], (Kind::Float, Device::Cpu))
}

fn kept(mask: &Tensor) -> Vec<bool> {
    Vec::<bool>::try_from(mask.detach().contiguous().ne(0.0).flatten(0, -1)).unwrap()
}

/// The 16-bit numbers behind a mask, recovered from the rate at which each begins to drop.
fn numbers(count: i64, key: u64, vectors: Vectors) -> Vec<u32> {
    let mut found = vec![0; count as usize];
    for bit in (0..16).rev() {
        // The number is at least the candidate if it is still kept when that many drop.
        let steps: Vec<u32> = found.iter().map(|&low| low | 1 << bit).collect();
        for candidate in steps.iter().copied().collect::<std::collections::BTreeSet<u32>>() {
            let rate = f64::from(candidate) / 65536.0;
            let alive = kept(&dropout_with(&ones(count), rate, key, vectors).unwrap());
            for (index, _) in steps.iter().enumerate().filter(|(_, step)| **step == candidate) {
                if alive[index] {
                    found[index] = candidate;
                }
            }
        }
    }
    found
}

/// Philox4x32-10 of counter 0 and key 0 (from Random123's known answers), low halves first.
#[test]
fn the_numbers_are_philox() {
    let words = [0x6627_e8d5_u32, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    let expected: Vec<u32> = words.iter().flat_map(|word| [word & 0xffff, word >> 16]).collect();
    for vectors in ALL {
        let all = numbers(128, 0, vectors);
        let first: Vec<u32> = all.iter().copied().step_by(16).collect();
        assert_eq!(first, expected, "{vectors:?}");
        // Another key, and the counters of the first two chunks.
        let key = 0x0123_4567_89ab_cdef_u64;
        let all = numbers(256, key, vectors);
        for counter in 0..32 {
            let words = random::philox4x32_10([counter, 0, 0, 0], [key as u32, (key >> 32) as u32]);
            let expected: Vec<u32> = words.iter().flat_map(|word| [word & 0xffff, word >> 16]).collect();
            let (chunk, place) = (counter as usize / 16, counter as usize % 16);
            let got: Vec<u32> =
                all[128 * chunk..128 * (chunk + 1)].iter().copied().skip(place).step_by(16).collect();
            assert_eq!(got, expected, "{vectors:?}, counter {counter}");
        }
    }
}

#[test]
fn a_mask_is_the_same_on_every_path() {
    let _turn = alone();
    let before = tch::get_num_threads();
    for count in [1, 15, 127, 128, 129, 1000, 100_003] {
        let x = normals(&[count]);
        let expected = dropout_with(&x, 0.3, 77, Vectors::Best).unwrap();
        for vectors in ALL {
            for threads in [1, 3] {
                tch::set_num_threads(threads);
                let got = dropout_with(&x, 0.3, 77, vectors).unwrap();
                assert_eq!(got, expected, "{count} numbers, {vectors:?}, {threads} threads");
            }
            // In bf16 the same numbers are dropped, and the others rounded once.
            let half = x.to_kind(Kind::BFloat16);
            let got = dropout_with(&half, 0.3, 77, vectors).unwrap();
            let expected = dropout_with(&half.to_kind(Kind::Float), 0.3, 77, vectors).unwrap();
            assert_eq!(got, expected.to_kind(Kind::BFloat16), "{count} numbers in bf16, {vectors:?}");
        }
    }
    tch::set_num_threads(before);
}

#[test]
fn the_share_is_dropped_and_the_rest_compensates() {
    let n = 1 << 20;
    for rate in [0.1, 0.5, 0.9] {
        let y = dropout_with(&ones(n), rate, 5, Vectors::Best).unwrap();
        let dropped = kept(&y).iter().filter(|kept| !**kept).count() as f64;
        let deviation = (n as f64 * rate * (1.0 - rate)).sqrt();
        assert!((dropped - n as f64 * rate).abs() < 5.0 * deviation, "{dropped} of {n} at {rate}");
        let scale = f64::try_from(y.max()).unwrap();
        assert!((scale * (1.0 - rate) - 1.0).abs() < 2e-4, "{scale} at {rate}");
        // Neighbours are dropped independently, also across counters and chunks.
        let mask = y.eq(0.0).to_kind(Kind::Float) - rate;
        for distance in [1, 2, 16, 128] {
            let pairs = mask.narrow(0, 0, n - distance) * mask.narrow(0, distance, n - distance);
            let correlation = f64::try_from(pairs.mean(Kind::Double)).unwrap() / (rate * (1.0 - rate));
            assert!(correlation.abs() < 5e-3, "{correlation} at distance {distance}, rate {rate}");
        }
    }
    let x = normals(&[300]);
    assert_eq!(dropout_with(&x, 0.0, 1, Vectors::Best).unwrap(), x);
    assert_eq!(dropout_with(&x, 1.0, 1, Vectors::Best).unwrap(), x.zeros_like());
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    let x = ones(128) * f64::NAN;
    let y = dropout_with(&x, 0.5, 1, Vectors::Best).unwrap();
    assert!(bool::try_from(y.isnan().all()).unwrap());
    let half = dropout_with(&x.to_kind(Kind::BFloat16), 0.5, 1, Vectors::Best).unwrap();
    assert!(bool::try_from(half.isnan().all()).unwrap());
}

#[test]
fn the_gradient_has_the_mask_of_the_numbers() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let x = channels_last(&normals(&[2, 5, 7, 3]), kind).unwrap().set_requires_grad(true);
        let y = dropout_with(&x, 0.4, 9, Vectors::Best).unwrap();
        assert_eq!(y.stride(), x.stride());
        let factor = y.detach() / x.detach();
        // Gradients in this layout and in another.
        for gradient in
            [channels_last(&normals(&[2, 5, 7, 3]), kind).unwrap(), normals(&[2, 5, 7, 3]).to_kind(kind)]
        {
            x.shallow_clone().zero_grad();
            (dropout_with(&x, 0.4, 9, Vectors::Best).unwrap() * &gradient).sum(Kind::Float).backward();
            let expected = &gradient * &factor;
            let apart = f64::try_from((x.grad() - &expected).to_kind(Kind::Float).norm()).unwrap();
            let size = f64::try_from(expected.to_kind(Kind::Float).norm()).unwrap();
            assert!(apart < if kind == Kind::Float { 1e-6 } else { 1e-2 } * size, "{apart} of {size}");
            assert_eq!(kept(&x.grad()), kept(&y));
        }
    }
    // With gaps, the numbers are processed in memory order.
    let wide = normals(&[4, 6]).set_requires_grad(true);
    let narrow = wide.narrow(1, 1, 3);
    let y = dropout_with(&narrow, 0.4, 9, Vectors::Best).unwrap();
    assert_eq!(y, dropout_with(&narrow.contiguous(), 0.4, 9, Vectors::Best).unwrap());
    y.sum(Kind::Float).backward();
    assert_eq!(kept(&wide.grad().narrow(1, 1, 3).contiguous()), kept(&y));
}

/// Dropout is linear, so the gradient of its gradient is available.
#[test]
fn gradients_of_gradients_are_supported() {
    let x = normals(&[50]).set_requires_grad(true);
    let y = dropout_with(&x.square(), 0.4, 9, Vectors::Best).unwrap().sum(Kind::Float);
    let first = Tensor::run_backward(&[y], &[&x], true, true);
    first[0].sum(Kind::Float).backward();
    let factor = dropout_with(&ones(50), 0.4, 9, Vectors::Best).unwrap();
    assert!(f64::try_from((x.grad() - factor * 2.0).abs().max()).unwrap() < 1e-6);
}

#[test]
fn the_seed_decides() {
    let _turn = alone();
    let x = ones(1000);
    let draw = |seed| {
        tch::manual_seed(seed);
        (dropout(&x, 0.3).unwrap(), dropout(&x, 0.3).unwrap())
    };
    assert_eq!(draw(1), draw(1));
    let ((a, b), (c, _)) = (draw(1), draw(2));
    assert!(a != b && a != c);
}

#[test]
fn unsuitable_tensors_are_refused() {
    let x = ones(4);
    for rate in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(dropout(&x, rate), Err(TorchExtError::Rate { .. })), "{rate}");
    }
    assert!(matches!(dropout(&Tensor::new(), 0.1), Err(TorchExtError::Undefined { .. })));
    for kind in [Kind::Double, Kind::Int64, Kind::Half] {
        assert!(matches!(dropout(&x.to_kind(kind), 0.1), Err(TorchExtError::Kind { .. })), "{kind:?}");
    }
    assert_eq!(dropout(&ones(0), 0.1).unwrap().size(), [0]);
}
