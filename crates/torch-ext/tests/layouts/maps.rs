//! Functions with gradients: results and gradients of all inputs, compared with f64.

use tch::{Kind, Tensor};
use torch_ext::{
    Download, GroupNorm, Modulation, TorchExtError, Vectors, WeightGradient, channels_last, checkpoint,
    conv2d_with, dropout_with, group_norm, group_norm_branch, is_channels_last, join_channels, pinned,
};

use crate::arrange::{Layout, Loss, apart, layouts, losses, numbers};

const EPS: f64 = 0.01;

/// Several channels and one; one image, row, column, pixel; enough channels for the widest vectors.
const SIZES: [[i64; 4]; 7] =
    [[2, 4, 3, 5], [1, 4, 3, 5], [2, 1, 3, 5], [2, 4, 1, 5], [2, 34, 2, 1], [2, 4, 1, 1], [1, 1, 1, 1]];

/// Each dimension of size 0.
const EMPTY: [[i64; 4]; 4] = [[0, 4, 3, 5], [2, 0, 3, 5], [2, 4, 0, 5], [2, 4, 3, 0]];

type Ours = fn(&[Tensor]) -> Result<Vec<Tensor>, TorchExtError>;

/// The sizes of a function's inputs, and whether each is a parameter.
type Shapes = Vec<(Vec<i64>, bool)>;

/// A function, and libtorch's result for the same contiguous numbers in f64. The second also gets the results of the first.
struct Function {
    name: &'static str,
    /// The inputs' sizes, and whether they are parameters, which are f32 even if the others are bf16.
    inputs: fn([i64; 4]) -> Shapes,
    ours: Ours,
    theirs: fn(&[Tensor], &[Tensor]) -> Vec<Tensor>,
    kinds: &'static [Kind],
    takes_empty: bool,
}

const BOTH: &[Kind] = &[Kind::Float, Kind::BFloat16];

fn groups(x: &Tensor) -> i64 {
    if x.size()[1] % 2 == 0 { 2 } else { 1 }
}

fn norm_inputs(size: [i64; 4], time: i64) -> Vec<(Vec<i64>, bool)> {
    let mut all = vec![(size.to_vec(), false), (vec![size[1]], true), (vec![size[1]], true)];
    if time > 0 {
        all.push((vec![size[0], time * size[1]], true));
    }
    all
}

fn ours_norm<'a>(inputs: &'a [Tensor]) -> GroupNorm<'a> {
    GroupNorm { weight: &inputs[1], bias: &inputs[2], groups: groups(&inputs[0]), eps: EPS }
}

fn their_norm(x: &Tensor, inputs: &[Tensor]) -> Tensor {
    x.group_norm(groups(x), Some(&inputs[1]), Some(&inputs[2]), EPS, false)
}

fn conv_inputs(size: [i64; 4], kernel: i64) -> Vec<(Vec<i64>, bool)> {
    vec![(size.to_vec(), false), (vec![3, size[1], kernel, kernel], true), (vec![3], true)]
}

fn their_conv(inputs: &[Tensor], _: &[Tensor]) -> Vec<Tensor> {
    let padding = inputs[1].size()[2] / 2;
    vec![inputs[0].conv2d(&inputs[1], Some(&inputs[2]), 1, padding, 1, 1)]
}

const FUNCTIONS: [Function; 10] = [
    Function {
        name: "group_norm",
        inputs: |size| norm_inputs(size, 0),
        ours: |i| Ok(vec![group_norm(&i[0], &ours_norm(i), Modulation::None, false)?]),
        theirs: |i, _| vec![their_norm(&i[0], i)],
        kinds: BOTH,
        takes_empty: false,
    },
    Function {
        name: "group_norm with a shift",
        inputs: |size| norm_inputs(size, 1),
        ours: |i| Ok(vec![group_norm(&i[0], &ours_norm(i), Modulation::Shift(&i[3]), true)?]),
        theirs: |i, _| vec![their_norm(&(&i[0] + i[3].unsqueeze(-1).unsqueeze(-1)), i).silu()],
        kinds: BOTH,
        takes_empty: false,
    },
    Function {
        name: "group_norm with a scale and a shift, four floats at a time",
        inputs: |size| norm_inputs(size, 2),
        ours: |i| {
            let modulation = Modulation::ScaleShift(&i[3]);
            Ok(vec![torch_ext::group_norm_with(&i[0], &ours_norm(i), modulation, true, Vectors::UpTo4)?])
        },
        theirs: |i, _| {
            let time = i[3].unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
            let z: Tensor = their_norm(&i[0], i) * (1.0 + &time[0]) + &time[1];
            vec![z.silu()]
        },
        kinds: BOTH,
        takes_empty: false,
    },
    Function {
        name: "group_norm_branch",
        inputs: |size| norm_inputs(size, 0),
        ours: |i| {
            let (z, beside) = group_norm_branch(&i[0], &ours_norm(i), Modulation::None, true)?;
            Ok(vec![z, beside])
        },
        theirs: |i, _| vec![their_norm(&i[0], i).silu(), i[0].shallow_clone()],
        kinds: BOTH,
        takes_empty: false,
    },
    Function {
        name: "conv2d of 3 by 3",
        inputs: |size| conv_inputs(size, 3),
        ours: |i| Ok(vec![conv2d_with(&i[0], &i[1], &i[2], WeightGradient::Best)?]),
        theirs: their_conv,
        kinds: &[Kind::BFloat16],
        takes_empty: false,
    },
    Function {
        name: "conv2d of 1 by 1, by libtorch",
        inputs: |size| conv_inputs(size, 1),
        ours: |i| Ok(vec![conv2d_with(&i[0], &i[1], &i[2], WeightGradient::Libtorch)?]),
        theirs: their_conv,
        kinds: &[Kind::BFloat16],
        takes_empty: false,
    },
    Function {
        name: "dropout",
        inputs: |size| vec![(size.to_vec(), false)],
        ours: |i| Ok(vec![dropout_with(&i[0], 0.5, 77, Vectors::Best)?]),
        // Which numbers are dropped depends on the layout. How many, and that the rest is doubled, does not.
        theirs: |i, ours| {
            let mask = ours[0].ne(0.0).to_kind(Kind::Double) * 2.0;
            let flat = numbers(&[i[0].numel() as i64], 5, Kind::Float);
            let flat = dropout_with(&flat, 0.5, 77, Vectors::Best).unwrap();
            let count = |x: &Tensor| i64::try_from(x.ne(0.0).sum(Kind::Int64)).unwrap();
            assert_eq!(count(&ours[0]), count(&flat), "how many numbers are left");
            vec![&i[0] * mask]
        },
        kinds: BOTH,
        takes_empty: true,
    },
    Function {
        name: "join_channels",
        inputs: |size| vec![(size.to_vec(), false), (vec![size[0], 3, size[2], size[3]], false)],
        ours: |i| Ok(vec![join_channels(&i[0], &i[1])?]),
        theirs: |i, _| vec![Tensor::cat(&[&i[0], &i[1]], 1)],
        kinds: BOTH,
        takes_empty: true,
    },
    Function {
        name: "channels_last",
        inputs: |size| vec![(size.to_vec(), false)],
        ours: |i| {
            let y = channels_last(&i[0], i[0].kind())?;
            assert!(is_channels_last(&y)?);
            Ok(vec![y])
        },
        theirs: |i, _| vec![i[0].shallow_clone()],
        kinds: BOTH,
        takes_empty: true,
    },
    Function {
        name: "checkpoint",
        inputs: |size| vec![(size.to_vec(), false), (vec![size[1]], false)],
        ours: |i| checkpoint(&[&i[0], &i[1]], |i| Ok::<_, TorchExtError>(scaled(i[0], i[1]))),
        theirs: |i, _| scaled(&i[0], &i[1]),
        kinds: BOTH,
        takes_empty: true,
    },
];

fn scaled(x: &Tensor, scale: &Tensor) -> Vec<Tensor> {
    vec![x * scale.view([1, -1, 1, 1].as_slice()), x.square()]
}

/// The results of a function have different sizes, and so different numbers of losses.
fn of_number(size: &[i64], loss: usize) -> Loss {
    let mut all = losses(size);
    all.swap_remove(loss % all.len())
}

/// Results and gradients of the leaves.
struct Run {
    outputs: Vec<Tensor>,
    gradients: Vec<Tensor>,
}

impl Function {
    fn leaves(&self, size: [i64; 4], kind: Kind) -> Vec<Tensor> {
        let inputs = (self.inputs)(size).into_iter().zip(0..);
        inputs
            .map(|((size, parameter), stream)| {
                let kind = if parameter && kind == Kind::BFloat16 { Kind::Float } else { kind };
                numbers(&size, stream, kind).set_requires_grad(true)
            })
            .collect()
    }

    /// `layout` applies to the input with that index.
    fn both(&self, size: [i64; 4], kind: Kind, (index, layout): (usize, &Layout), loss: usize) -> (Run, Run) {
        let run = |kind: Kind, ours: Option<&[Tensor]>| {
            let leaves = self.leaves(size, kind);
            let mut inputs: Vec<Tensor> = leaves.iter().map(Tensor::shallow_clone).collect();
            inputs[index] = (layout.of)(&inputs[index]);
            // The negated flag requires f32.
            if inputs[index].kind() != leaves[index].kind() {
                inputs[index] = leaves[index].shallow_clone();
            }
            let outputs = match ours {
                None => (self.ours)(&inputs).unwrap(),
                Some(ours) => (self.theirs)(&inputs.iter().map(Tensor::contiguous).collect::<Vec<_>>(), ours),
            };
            let parts = outputs.iter().map(|output| (of_number(&output.size(), loss).of)(output));
            parts.reduce(|sum, part| sum + part).unwrap().backward();
            let gradients = leaves.iter().map(|leaf| leaf.grad().copy()).collect();
            Run { outputs: outputs.iter().map(|output| output.detach().copy()).collect(), gradients }
        };
        let ours = run(kind, None);
        let theirs = run(Kind::Double, Some(&ours.outputs));
        (ours, theirs)
    }

    fn agrees(&self, size: [i64; 4], kind: Kind, arranged: (usize, &Layout), loss: usize) {
        let (ours, theirs) = self.both(size, kind, arranged, loss);
        // A bf16 number has 8 bits. If the input is one expanded number, its gradient is a sum of that many rounded
        // numbers, which would otherwise add up to 0. A number read from the wrong place is off by about 1.
        let bound = if kind == Kind::BFloat16 { 5e-2 } else { 1e-5 };
        let name = of_number(&ours.outputs[0].size(), loss).name;
        for (what, ours, theirs) in
            [("result", ours.outputs, theirs.outputs), ("gradient", ours.gradients, theirs.gradients)]
        {
            for (place, (got, want)) in ours.iter().zip(&theirs).enumerate() {
                let off = apart(got, want);
                assert!(
                    off <= bound,
                    "{}, {size:?}, {kind:?}, input {} {}, {name}: {what} {place} is off by {off:e}",
                    self.name,
                    arranged.0,
                    arranged.1.name,
                );
            }
        }
    }
}

#[test]
fn inputs_of_any_layout() {
    tch::set_num_threads(1); // There is too little work for several.
    for function in &FUNCTIONS {
        let empty = EMPTY.iter().filter(|_| function.takes_empty);
        for &size in SIZES.iter().chain(empty) {
            for (index, (of_input, _)) in (function.inputs)(size).into_iter().enumerate() {
                for layout in layouts(&of_input) {
                    for &kind in function.kinds {
                        function.agrees(size, kind, (index, &layout), 0);
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_of_any_layout() {
    tch::set_num_threads(1); // There is too little work for several.
    for function in &FUNCTIONS {
        let empty = EMPTY.iter().filter(|_| function.takes_empty);
        for &size in SIZES.iter().chain(empty) {
            for layout in layouts(&size) {
                // Contiguous and channels innermost: results may or may not have the layout of the inputs.
                if layout.name != "contiguous" && layout.name != "in memory as [0, 2, 3, 1]" {
                    continue;
                }
                let channels = if function.name.starts_with("conv2d") { 3 } else { size[1] };
                let of_result = [size[0], channels, size[2], size[3]];
                for loss in 0..losses(&of_result).len() {
                    for &kind in function.kinds {
                        function.agrees(size, kind, (0, &layout), loss);
                    }
                }
            }
        }
    }
}

#[test]
fn no_numbers_are_refused_or_give_none() {
    for function in &FUNCTIONS {
        for size in EMPTY {
            for &kind in function.kinds {
                let result = (function.ours)(&function.leaves(size, kind));
                match result {
                    Ok(_) => assert!(function.takes_empty, "{}, {size:?}", function.name),
                    Err(error) => {
                        let typed = matches!(error, TorchExtError::Shape { .. });
                        assert!(typed && !function.takes_empty, "{}, {size:?}: {error}", function.name);
                    }
                }
            }
        }
    }
}

#[test]
fn channels_are_innermost_if_the_relevant_strides_say_so() {
    for size in SIZES {
        for layout in layouts(&size) {
            let x = (layout.of)(&numbers(&size, 0, Kind::Float));
            let [_, c, h, w] = size;
            let expected = [(0, h * w * c), (3, c), (2, w * c), (1, 1)];
            let innermost = expected.iter().all(|&(dim, stride)| size[dim] == 1 || x.stride()[dim] == stride);
            let got = is_channels_last(&x).unwrap();
            assert_eq!(got, innermost, "{size:?}, {}", layout.name);
        }
    }
}

#[test]
fn transfers_keep_the_numbers() {
    for size in SIZES.into_iter().chain(EMPTY) {
        for layout in layouts(&size) {
            let x = (layout.of)(&numbers(&size, 0, Kind::Float));
            for got in [pinned(&x, tch::Device::Cpu).unwrap(), Download::new(&x).unwrap().wait().unwrap()] {
                assert_eq!(got.size(), size);
                assert_eq!(apart(&got, &x.contiguous()), 0.0, "{size:?}, {}", layout.name);
            }
        }
    }
}
