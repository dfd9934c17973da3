//! Convolutions, linear layers, normalisation and resampling as ONNX nodes. Feature maps are f32 `[b, c, h, w]`.

use std::collections::BTreeMap;
use std::f32::consts::FRAC_1_SQRT_2;

use config::{Activation, UNetConfig};

use super::Weight;
use super::graph::Attribute::{Float, Int, Ints, Text};
use super::graph::{Graph, Name};
use crate::error::InterchangeError;

/// A feature map: a tensor `[b, channels, height, width]`.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) name: Name,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Map {
    /// Another tensor of the same shape.
    pub(super) fn same(&self, name: Name) -> Self {
        Self { name, ..*self }
    }

    fn shape(&self) -> [i64; 4] {
        // 0 means the size of the input.
        [0, self.channels as i64, self.height as i64, self.width as i64]
    }
}

/// Padding of a convolution: top, left, bottom, right.
pub(super) type Pads = [i64; 4];

/// A graph under construction, with the weights of its layers.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph<'a>,
    pub(super) config: &'a UNetConfig,
    weights: BTreeMap<&'a str, &'a Weight<'a>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(config: &'a UNetConfig, weights: &'a [Weight<'a>]) -> Self {
        let weights = weights.iter().map(|weight| (weight.name, weight)).collect();
        Self { graph: Graph::default(), config, weights }
    }

    /// A weight by its name.
    pub(super) fn weight(&self, name: &str) -> Result<&'a Weight<'a>, InterchangeError> {
        let missing = || InterchangeError::MissingWeight { name: name.to_owned() };
        self.weights.get(name).copied().ok_or_else(missing)
    }

    /// A weight as a graph tensor, in a shape with the same number of elements.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Name, InterchangeError> {
        let values = self.weight(name)?.values;
        Ok(self.graph.floats(name, shape, values))
    }

    /// A node with two inputs.
    pub(super) fn two(&mut self, op: &'static str, scope: &str, a: &str, b: &str) -> Name {
        self.graph.node(op, scope, [a, b], [])
    }

    /// A node with one input.
    pub(super) fn one(&mut self, op: &'static str, scope: &str, x: &str) -> Name {
        self.graph.node(op, scope, [x], [])
    }

    pub(super) fn reshaped(&mut self, scope: &str, x: &str, shape: &[i64]) -> Name {
        let shape = self.graph.ints(shape);
        self.graph.node("Reshape", scope, [x, &shape], [])
    }

    pub(super) fn conv(
        &mut self,
        scope: &str,
        x: &Map,
        c_out: usize,
        (size, stride, pads): (usize, usize, Pads),
    ) -> Result<Map, InterchangeError> {
        let weight = self.tensor(&format!("{scope}.weight"), &[c_out, x.channels, size, size])?;
        let bias = self.tensor(&format!("{scope}.bias"), &[c_out])?;
        let attributes = [
            ("kernel_shape", Ints(vec![size as i64; 2])),
            ("pads", Ints(pads.to_vec())),
            ("strides", Ints(vec![stride as i64; 2])),
        ];
        let name = self.graph.node("Conv", scope, [&x.name, &weight, &bias], attributes);
        Ok(Map { name, channels: c_out, height: x.height / stride, width: x.width / stride })
    }

    /// A convolution that keeps the size; with kernel size 1, a linear layer applied to every pixel.
    pub(super) fn conv_same(
        &mut self,
        scope: &str,
        x: &Map,
        c_out: usize,
        size: usize,
    ) -> Result<Map, InterchangeError> {
        self.conv(scope, x, c_out, (size, 1, [size as i64 / 2; 4]))
    }

    /// `[b, from]` to `[b, to]`.
    pub(super) fn linear(
        &mut self,
        scope: &str,
        x: &str,
        (from, to): (usize, usize),
    ) -> Result<Name, InterchangeError> {
        let weight = self.tensor(&format!("{scope}.weight"), &[to, from])?;
        let bias = self.tensor(&format!("{scope}.bias"), &[to])?;
        Ok(self.graph.node("Gemm", scope, [x, &weight, &bias], [("transB", Int(1))]))
    }

    /// `[b, c]` as `[b, c, 1, 1]`, which broadcasts over the pixels of a map.
    pub(super) fn per_pixel(&mut self, scope: &str, x: &str) -> Name {
        let axes = self.graph.ints(&[2, 3]);
        self.graph.node("Unsqueeze", scope, [x, &axes], [])
    }

    /// Group normalisation. Opset 17 has no such operator, so an instance normalisation sees each group as one channel.
    pub(super) fn group_norm(
        &mut self,
        scope: &str,
        x: &Map,
        groups: usize,
    ) -> Result<Map, InterchangeError> {
        let ones = self.graph.floats(&format!("ones/{groups}"), &[groups], vec![1.0; groups]);
        let zeros = self.graph.floats(&format!("zeros/{groups}"), &[groups], vec![0.0; groups]);
        let split = self.reshaped(scope, &x.name, &[0, groups as i64, -1]);
        let eps = Float(self.config.norm_eps as f32);
        let normal =
            self.graph.node("InstanceNormalization", scope, [split, ones, zeros], [("epsilon", eps)]);
        let normal = self.reshaped(scope, &normal, &x.shape());
        let weight = self.tensor(&format!("{scope}.weight"), &[x.channels, 1, 1])?;
        let bias = self.tensor(&format!("{scope}.bias"), &[x.channels, 1, 1])?;
        let scaled = self.two("Mul", scope, &normal, &weight);
        Ok(x.same(self.two("Add", scope, &scaled, &bias)))
    }

    /// The blocks' activation function, for a map or a vector.
    pub(super) fn activated(&mut self, scope: &str, x: &str, activation: Activation) -> Name {
        match activation {
            Activation::Relu => self.one("Relu", scope, x),
            Activation::Silu => {
                let gate = self.one("Sigmoid", scope, x);
                self.two("Mul", scope, x, &gate)
            }
            Activation::Mish => {
                let soft = self.one("Softplus", scope, x);
                let gate = self.one("Tanh", scope, &soft);
                self.two("Mul", scope, x, &gate)
            }
            // x (1 + erf(x / sqrt(2))) / 2.
            Activation::Gelu => {
                let [root, one, half] = [FRAC_1_SQRT_2, 1.0, 0.5].map(|number| self.graph.float(number));
                let scaled = self.two("Mul", scope, x, &root);
                let erf = self.one("Erf", scope, &scaled);
                let gate = self.two("Add", scope, &erf, &one);
                let product = self.two("Mul", scope, x, &gate);
                self.two("Mul", scope, &product, &half)
            }
        }
    }

    /// Averages 2x2 pixels.
    pub(super) fn halved(&mut self, scope: &str, x: &Map) -> Map {
        let attributes = [("kernel_shape", Ints(vec![2, 2])), ("strides", Ints(vec![2, 2]))];
        let name = self.graph.node("AveragePool", scope, [&x.name], attributes);
        Map { name, channels: x.channels, height: x.height / 2, width: x.width / 2 }
    }

    /// Repeats each pixel as 2x2.
    pub(super) fn doubled(&mut self, scope: &str, x: &Map) -> Map {
        let scales = self.graph.floats("scales", &[4], vec![1.0, 1.0, 2.0, 2.0]);
        let attributes = [
            ("coordinate_transformation_mode", Text("asymmetric")),
            ("mode", Text("nearest")),
            ("nearest_mode", Text("floor")),
        ];
        // The second input, a region of interest, is omitted.
        let name = self.graph.node("Resize", scope, [&x.name, "", &scales], attributes);
        Map { name, channels: x.channels, height: 2 * x.height, width: 2 * x.width }
    }

    /// Self-attention over the pixels, plus the residual `x`.
    pub(super) fn attention(
        &mut self,
        scope: &str,
        x: &Map,
        groups: Option<usize>,
        scale: Option<f64>,
    ) -> Result<Map, InterchangeError> {
        let (c, heads) = (x.channels, self.config.heads_of(x.channels));
        let tokens = match groups {
            Some(groups) => self.group_norm(&format!("{scope}.group_norm"), x, groups)?,
            None => x.clone(),
        };
        let each = c / heads;
        let mut split = |part: &str| -> Result<Name, InterchangeError> {
            let map = self.conv_same(&format!("{scope}.{part}"), &tokens, c, 1)?;
            Ok(self.reshaped(scope, &map.name, &[0, heads as i64, each as i64, -1])) // [b, heads, d, hw]
        };
        let (q, k, v) = (split("to_q")?, split("to_k")?, split("to_v")?);
        let swapped = || [("perm", Ints(vec![0, 1, 3, 2]))];
        // softmax(q k^T / sqrt(d)) v; q is scaled, since it has the fewest elements.
        let root = self.graph.float((1.0 / (each as f64).sqrt()) as f32);
        let q = self.two("Mul", scope, &q, &root);
        let q = self.graph.node("Transpose", scope, [q], swapped());
        let products = self.two("MatMul", scope, &q, &k); // [b, heads, hw, hw]
        let shares = self.graph.node("Softmax", scope, [products], [("axis", Int(-1))]);
        let v = self.graph.node("Transpose", scope, [v], swapped());
        let mixed = self.two("MatMul", scope, &shares, &v); // [b, heads, hw, d]
        let mixed = self.graph.node("Transpose", scope, [mixed], swapped());
        let mixed = x.same(self.reshaped(scope, &mixed, &x.shape()));
        let out = self.conv_same(&format!("{scope}.to_out.0"), &mixed, c, 1)?;
        Ok(self.sum(scope, x, &out, scale))
    }

    /// Adds a branch to its skip path.
    pub(super) fn sum(&mut self, scope: &str, x: &Map, branch: &Map, scale: Option<f64>) -> Map {
        let sum = self.two("Add", scope, &x.name, &branch.name);
        branch.same(match scale {
            Some(scale) => {
                let scale = self.graph.float(scale as f32);
                self.two("Div", scope, &sum, &scale)
            }
            None => sum,
        })
    }
}
