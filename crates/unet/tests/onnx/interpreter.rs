//! The ONNX operators that the files use, implemented with libtorch, so that a graph can run here. `scripts/check_onnx.py` checks
//! the meaning of the operators against onnxruntime.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::reader::Message;

/// Runs the graph of a file on its inputs and returns its output.
pub(crate) fn run(file: &[u8], inputs: &[(&str, Tensor)]) -> Tensor {
    let graph = Message::read(file).unwrap().message(7);
    let mut known: BTreeMap<&str, Tensor> =
        inputs.iter().map(|(name, tensor)| (*name, tensor.shallow_clone())).collect();
    for tensor in graph.messages(5) {
        known.insert(tensor.text(8), stored(&tensor));
    }
    for node in graph.messages(1) {
        let inputs: Vec<&Tensor> =
            node.texts(1).iter().filter(|name| !name.is_empty()).map(|name| &known[name]).collect();
        let output = computed(&node, &inputs);
        known.insert(node.text(2), output);
    }
    known.remove(graph.message(12).text(1)).unwrap()
}

/// A `TensorProto`.
fn stored(tensor: &Message<'_>) -> Tensor {
    let shape: Vec<i64> = tensor.numbers(1).iter().map(|&size| size as i64).collect();
    let kind = if tensor.numbers(2) == [1] { Kind::Float } else { Kind::Int64 };
    tensor_io::from_bytes(tensor.bytes(9)[0], &shape, kind).unwrap()
}

/// Attributes of a node by name.
struct Attributes<'a>(BTreeMap<&'a str, Message<'a>>);

impl Attributes<'_> {
    fn ints(&self, name: &str) -> Vec<i64> {
        self.0.get(name).map_or(Vec::new(), |value| value.numbers(8).iter().map(|&n| n as i64).collect())
    }

    fn int(&self, name: &str) -> i64 {
        self.0[name].numbers(3)[0] as i64
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.0[name].text(4) == value
    }
}

fn ints(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor).unwrap()
}

fn computed(node: &Message<'_>, x: &[&Tensor]) -> Tensor {
    let attributes = node.messages(5);
    let of = Attributes(attributes.iter().map(|attribute| (attribute.text(1), attribute.clone())).collect());
    match node.text(4) {
        "Add" => x[0] + x[1],
        "Sub" => x[0] - x[1],
        "Mul" => x[0] * x[1],
        "Div" => x[0] / x[1],
        "MatMul" => x[0].matmul(x[1]),
        "Floor" => x[0].floor(),
        "Ceil" => x[0].ceil(),
        "Sin" => x[0].sin(),
        "Cos" => x[0].cos(),
        "Erf" => x[0].erf(),
        "Relu" => x[0].relu(),
        "Sigmoid" => x[0].sigmoid(),
        "Softplus" => x[0].softplus(),
        "Tanh" => x[0].tanh(),
        "Clip" => x[0].clamp_tensor(Some(x[1]), Some(x[2])),
        "Softmax" => x[0].softmax(of.int("axis"), None::<Kind>),
        "Transpose" => x[0].permute(of.ints("perm")),
        "Concat" => Tensor::cat(x, of.int("axis")),
        "Unsqueeze" => ints(x[1]).iter().fold(x[0].shallow_clone(), |x, &axis| x.unsqueeze(axis)),
        "Cast" => {
            assert_eq!(of.int("to"), 7);
            x[0].to_kind(Kind::Int64)
        }
        "Gather" => {
            // Negative indices count from the end.
            let rows = x[0].size()[0];
            x[0].index_select(0, &x[1].remainder(rows))
        }
        "Slice" => {
            let [from, to, axis] = [1, 2, 3].map(|place| ints(x[place])[0]);
            x[0].slice(axis, from, to, 1)
        }
        "Reshape" => {
            let size = x[0].size();
            let shape = ints(x[1]);
            // 0 stands for the size of the input.
            let shape: Vec<i64> =
                shape.iter().enumerate().map(|(axis, &n)| if n == 0 { size[axis] } else { n }).collect();
            x[0].reshape(shape)
        }
        "Gemm" => {
            assert_eq!(of.int("transB"), 1);
            x[0].linear(x[1], Some(x[2]))
        }
        "InstanceNormalization" => {
            let eps = f64::from(of.0["epsilon"].float(2));
            let (mean, variance) = (x[0].mean_dim(2, true, None), x[0].var_dim(2, false, true));
            let per_channel = |tensor: &Tensor| tensor.reshape([1, -1, 1]);
            (x[0] - mean) / (variance + eps).sqrt() * per_channel(x[1]) + per_channel(x[2])
        }
        "Conv" => {
            let pads = of.ints("pads"); // top, left, bottom, right
            let padded = x[0].constant_pad_nd([pads[1], pads[3], pads[0], pads[2]]);
            assert_eq!(of.ints("kernel_shape"), x[1].size()[2..]);
            padded.conv2d(x[1], Some(x[2]), of.ints("strides"), [0, 0], [1, 1], 1)
        }
        "AveragePool" => {
            x[0].avg_pool2d(of.ints("kernel_shape"), of.ints("strides"), [0, 0], false, true, None)
        }
        "Resize" => {
            assert!(of.is("mode", "nearest") && of.is("nearest_mode", "floor"));
            assert!(of.is("coordinate_transformation_mode", "asymmetric"));
            let scales: Vec<f64> = Vec::try_from(x[1]).unwrap();
            let size = [2, 3].map(|axis| (x[0].size()[axis] as f64 * scales[axis]) as i64);
            x[0].upsample_nearest2d(size, None, None)
        }
        other => panic!("no operator {other}"),
    }
}
