//! A piece of a network with its parameters, run in both ways.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};
use torch_ext::{
    GroupNorm, Modulation, TorchExtError, channels_last, checkpoint, generator_state, group_norm,
};

pub(crate) fn normals(size: &[i64], stream: u64) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let numbers = random::Stream::new(3, random::Purpose::Figure, stream, 0).normals(count);
    Tensor::from_slice(&numbers).view(size)
}

/// The generator is shared by the process, and the backward pass of a checkpointed piece sets and restores it even if
/// nothing is drawn, so the tests here take turns.
pub(crate) fn alone_with_the_generator() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `(conv(dropout(silu(norm(x + shift)))) + x, its mean)`, which is most of a residual block.
pub(crate) struct Block {
    weight: Tensor,
    bias: Tensor,
    kernel: Tensor,
    kind: Kind,
    dropout: f64,
}

impl Block {
    pub(crate) fn new(channels: i64, kind: Kind, dropout: f64) -> Self {
        let parameter = |size: &[i64], stream| (normals(size, stream) * 0.3).set_requires_grad(true);
        Self {
            weight: parameter(&[channels], 1),
            bias: parameter(&[channels], 2),
            kernel: parameter(&[channels, channels, 3, 3], 3),
            kind,
            dropout,
        }
    }

    /// A handle to the same parameters.
    pub(crate) fn shallow_clone(&self) -> Self {
        let [weight, bias, kernel] = self.parameters().map(Tensor::shallow_clone);
        Self { weight, bias, kernel, ..*self }
    }

    pub(crate) fn parameters(&self) -> [&Tensor; 3] {
        [&self.weight, &self.bias, &self.kernel]
    }

    /// `x` `[b, c, h, w]` and `shift` `[b, c]` to `[b, c, h, w]` and `[b, c]`.
    pub(crate) fn forward(&self, x: &Tensor, shift: &Tensor) -> Result<Vec<Tensor>, TorchExtError> {
        let norm = GroupNorm { weight: &self.weight, bias: &self.bias, groups: 4, eps: 1e-5 };
        let h = group_norm(x, &norm, Modulation::Shift(shift), true)?.dropout(self.dropout, true);
        let kernel = channels_last(&self.kernel, self.kind)?;
        let y = h.conv2d(&kernel, None::<&Tensor>, 1, 1, 1, 1) + x;
        let mean = y.to_kind(Kind::Float).mean_dim([2, 3].as_slice(), false, Kind::Float);
        Ok(vec![y, mean])
    }
}

/// How to run a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Checkpointed,
    /// A piece within a piece.
    Nested,
}

pub(crate) fn run(way: Way, block: &Block, x: &Tensor, shift: &Tensor) -> Vec<Tensor> {
    let block = block.shallow_clone();
    match way {
        // The gradients of both uses of x are summed before others, as in a piece.
        Way::Plain => block.forward(&x.alias(), shift),
        Way::Checkpointed => checkpoint(&[x, shift], move |inputs| block.forward(inputs[0], inputs[1])),
        Way::Nested => checkpoint(&[x, shift], move |inputs| {
            let block = block.shallow_clone();
            checkpoint(inputs, move |inputs| block.forward(inputs[0], inputs[1]))
        }),
    }
    .unwrap()
}

/// Results, gradients and generator state after two consecutive blocks whose input is used once more afterwards.
pub(crate) fn everything(way: Way, kind: Kind, dropout: f64) -> Vec<Tensor> {
    let (b, c) = (2, 8);
    tch::manual_seed(11);
    let x = channels_last(&normals(&[b, c, 9, 7], 0), kind).unwrap().set_requires_grad(true);
    let shift = normals(&[b, c], 4).set_requires_grad(true);
    let blocks = [Block::new(c, kind, dropout), Block::new(c, kind, dropout)];
    let first = run(way, &blocks[0], &x, &shift);
    let second = run(way, &blocks[1], &first[0], &shift);
    // Draws between the two runs.
    let noise = Tensor::randn([b, c], (Kind::Float, Device::Cpu));
    let loss = (&second[0] * normals(&[b, c, 9, 7], 5)).sum(Kind::Float)
        + (&second[1] * noise).sum(Kind::Float)
        + first[1].square().sum(Kind::Float)
        + (&first[0] * 0.3 + &x * 0.7).square().sum(Kind::Float);
    loss.backward();
    let parameters = blocks.iter().flat_map(|block| block.parameters().map(Tensor::grad));
    let results = [first, second].into_iter().flatten().chain([loss]).map(|tensor| tensor.detach());
    let last = [x.grad(), shift.grad(), generator_state(Device::Cpu).unwrap()];
    results.chain(parameters).chain(last).collect()
}
