//! The layers of InceptionV3 (Szegedy et al. 2016) in the network of 2015-12-05, which Heusel et al. 2017 use to compute FID.
//! Names are those in PyTorch's files of its weights.
//!
//! It differs from the network of later papers and libraries: averages at the border of a map exclude the padding, the last
//! block has max pooling in its pooling branch, and there are 1008 classes.

/// A convolution without bias, with batch normalisation and ReLU after it.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) name: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Rows and columns.
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) padding: [usize; 2],
}

/// The first operation of a branch. All have a 3x3 kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    None,
    /// Mean at every pixel, without the padding.
    Mean,
    /// Maximum at every pixel.
    Maximum,
    /// Maximum at every other pixel, without padding.
    Halving,
}

/// One of the paths through a block, generic in the type of a convolution: [`Convolution`] before weights are loaded.
#[derive(Debug, Clone)]
pub(crate) struct Branch<C> {
    pub(crate) pool: Pool,
    pub(crate) chain: Vec<C>,
    /// All of these get the output of the chain, and their results are joined.
    pub(crate) fork: Vec<C>,
}

/// Branches whose results are joined.
pub(crate) type Block<C> = Vec<Branch<C>>;

/// Features per image.
pub(crate) const FEATURES: usize = 2048;
/// Classes of the network, some of which are unused.
pub(crate) const CLASSES: usize = 1008;
/// Rows and columns of the input images.
pub(crate) const SIDE: usize = 299;

impl<C> Branch<C> {
    /// The same with other convolutions.
    pub(crate) fn map<D, E>(self, mut of: impl FnMut(C) -> Result<D, E>) -> Result<Branch<D>, E> {
        let chain = self.chain.into_iter().map(&mut of).collect::<Result<_, E>>()?;
        let fork = self.fork.into_iter().map(&mut of).collect::<Result<_, E>>()?;
        Ok(Branch { pool: self.pool, chain, fork })
    }
}

/// All blocks in order. Those before the mixed ones have one branch.
pub(crate) fn blocks() -> Vec<Block<Convolution>> {
    let stem = |pool, layers: Vec<(&str, usize, usize, Shape)>| {
        let chain = layers.into_iter().map(|(name, from, to, shape)| convolution(name, from, to, shape));
        vec![Branch { pool, chain: chain.collect(), fork: Vec::new() }]
    };
    let halving = || stem(Pool::Halving, Vec::new());
    vec![
        stem(
            Pool::None,
            vec![
                ("Conv2d_1a_3x3", 3, 32, Shape::Halving),
                ("Conv2d_2a_3x3", 32, 32, Shape::Inside),
                ("Conv2d_2b_3x3", 32, 64, Shape::Same(3, 3)),
            ],
        ),
        halving(),
        stem(
            Pool::None,
            vec![("Conv2d_3b_1x1", 64, 80, Shape::Same(1, 1)), ("Conv2d_4a_3x3", 80, 192, Shape::Inside)],
        ),
        halving(),
        narrow("Mixed_5b", 192, 32),
        narrow("Mixed_5c", 256, 64),
        narrow("Mixed_5d", 288, 64),
        to_17("Mixed_6a", 288),
        lines("Mixed_6b", 768, 128),
        lines("Mixed_6c", 768, 160),
        lines("Mixed_6d", 768, 160),
        lines("Mixed_6e", 768, 192),
        to_8("Mixed_7a", 768),
        wide("Mixed_7b", 1280, Pool::Mean),
        wide("Mixed_7c", 2048, Pool::Maximum),
    ]
}

/// Every convolution, in the order in which the file is checked.
pub(crate) fn convolutions() -> Vec<Convolution> {
    let branches = blocks().into_iter().flatten();
    branches.flat_map(|branch| branch.chain.into_iter().chain(branch.fork)).collect()
}

/// Name and shape of each tensor in the file.
pub(crate) fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    for Convolution { name, from, to, kernel: [rows, columns], .. } in convolutions() {
        tensors.push((format!("{name}.conv.weight"), vec![to, from, rows, columns]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{name}.bn.{part}"), vec![to]));
        }
    }
    tensors.push(("fc.weight".to_owned(), vec![CLASSES, FEATURES]));
    tensors.push(("fc.bias".to_owned(), vec![CLASSES]));
    tensors
}

/// The effect of a convolution on the size of a map.
#[derive(Clone, Copy)]
enum Shape {
    /// A kernel with these rows and columns, padded with zeros.
    Same(usize, usize),
    /// 3x3 without padding.
    Inside,
    /// 3x3 without padding, stride 2.
    Halving,
}

fn convolution(name: &str, from: usize, to: usize, shape: Shape) -> Convolution {
    let (kernel, stride, padding) = match shape {
        Shape::Same(rows, columns) => ([rows, columns], 1, [rows / 2, columns / 2]),
        Shape::Inside => ([3, 3], 1, [0, 0]),
        Shape::Halving => ([3, 3], 2, [0, 0]),
    };
    Convolution { name: name.to_owned(), from, to, kernel, stride, padding }
}

/// A branch of the block `block`: name, outputs and shape of each layer of the chain, then of the fork.
fn branch(
    (block, from): (&str, usize),
    pool: Pool,
    chain: &[(&str, usize, Shape)],
    fork: &[(&str, usize, Shape)],
) -> Branch<Convolution> {
    let mut from = from;
    let full = |name: &str| format!("{block}.branch{name}");
    let mut layers = Vec::new();
    for &(name, to, shape) in chain {
        layers.push(convolution(&full(name), from, to, shape));
        from = to;
    }
    let fork = fork.iter().map(|&(name, to, shape)| convolution(&full(name), from, to, shape)).collect();
    Branch { pool, chain: layers, fork }
}

const POINT: Shape = Shape::Same(1, 1);
const SQUARE: Shape = Shape::Same(3, 3);

/// Maps of 35x35.
fn narrow(block: &str, from: usize, pooled: usize) -> Block<Convolution> {
    let at = (block, from);
    vec![
        branch(at, Pool::None, &[("1x1", 64, POINT)], &[]),
        branch(at, Pool::None, &[("5x5_1", 48, POINT), ("5x5_2", 64, Shape::Same(5, 5))], &[]),
        branch(
            at,
            Pool::None,
            &[("3x3dbl_1", 64, POINT), ("3x3dbl_2", 96, SQUARE), ("3x3dbl_3", 96, SQUARE)],
            &[],
        ),
        branch(at, Pool::Mean, &[("_pool", pooled, POINT)], &[]),
    ]
}

/// From 35x35 to 17x17.
fn to_17(block: &str, from: usize) -> Block<Convolution> {
    let at = (block, from);
    vec![
        branch(at, Pool::None, &[("3x3", 384, Shape::Halving)], &[]),
        branch(
            at,
            Pool::None,
            &[("3x3dbl_1", 64, POINT), ("3x3dbl_2", 96, SQUARE), ("3x3dbl_3", 96, Shape::Halving)],
            &[],
        ),
        branch(at, Pool::Halving, &[], &[]),
    ]
}

/// Maps of 17x17, with kernels of one row or column.
fn lines(block: &str, from: usize, between: usize) -> Block<Convolution> {
    let at = (block, from);
    let (row, column) = (Shape::Same(1, 7), Shape::Same(7, 1));
    vec![
        branch(at, Pool::None, &[("1x1", 192, POINT)], &[]),
        branch(
            at,
            Pool::None,
            &[("7x7_1", between, POINT), ("7x7_2", between, row), ("7x7_3", 192, column)],
            &[],
        ),
        branch(
            at,
            Pool::None,
            &[
                ("7x7dbl_1", between, POINT),
                ("7x7dbl_2", between, column),
                ("7x7dbl_3", between, row),
                ("7x7dbl_4", between, column),
                ("7x7dbl_5", 192, row),
            ],
            &[],
        ),
        branch(at, Pool::Mean, &[("_pool", 192, POINT)], &[]),
    ]
}

/// From 17x17 to 8x8.
fn to_8(block: &str, from: usize) -> Block<Convolution> {
    let at = (block, from);
    vec![
        branch(at, Pool::None, &[("3x3_1", 192, POINT), ("3x3_2", 320, Shape::Halving)], &[]),
        branch(
            at,
            Pool::None,
            &[
                ("7x7x3_1", 192, POINT),
                ("7x7x3_2", 192, Shape::Same(1, 7)),
                ("7x7x3_3", 192, Shape::Same(7, 1)),
                ("7x7x3_4", 192, Shape::Halving),
            ],
            &[],
        ),
        branch(at, Pool::Halving, &[], &[]),
    ]
}

/// Maps of 8x8, with branches that fork at the end.
fn wide(block: &str, from: usize, pool: Pool) -> Block<Convolution> {
    let at = (block, from);
    let (row, column) = (Shape::Same(1, 3), Shape::Same(3, 1));
    vec![
        branch(at, Pool::None, &[("1x1", 320, POINT)], &[]),
        branch(at, Pool::None, &[("3x3_1", 384, POINT)], &[("3x3_2a", 384, row), ("3x3_2b", 384, column)]),
        branch(
            at,
            Pool::None,
            &[("3x3dbl_1", 448, POINT), ("3x3dbl_2", 384, SQUARE)],
            &[("3x3dbl_3a", 384, row), ("3x3dbl_3b", 384, column)],
        ),
        branch(at, pool, &[("_pool", 192, POINT)], &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each block's input matches the previous block's output; the numbers are from Table 1 of the paper.
    #[test]
    fn blocks_fit_together() {
        let mut channels = 3;
        let mut after = Vec::new();
        for block in blocks() {
            let mut joined = 0;
            for branch in block {
                let mut inside = channels;
                for layer in &branch.chain {
                    assert_eq!(layer.from, inside, "{}", layer.name);
                    inside = layer.to;
                }
                assert!(branch.fork.iter().all(|layer| layer.from == inside));
                let forked: usize = branch.fork.iter().map(|layer| layer.to).sum();
                joined += if branch.fork.is_empty() { inside } else { forked };
            }
            channels = joined;
            after.push(joined);
        }
        assert_eq!(after, [64, 64, 192, 192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, FEATURES]);
    }

    /// InceptionV3 without classes and auxiliary classifier: weights, scales and shifts of 94 convolutions.
    #[test]
    fn the_number_of_weights_is_known() {
        assert_eq!(convolutions().len(), 94);
        let trained =
            tensors().into_iter().filter(|(name, _)| !name.contains("running") && !name.starts_with("fc"));
        assert_eq!(trained.map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>(), 21_785_568);
    }
}
