//! An ONNX graph: nodes in execution order, and the tensors they start from. Field numbers are those of `onnx.proto`
//! (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>), IR version 8.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::wire::Message;
use crate::error::InterchangeError;

/// Versions of the file layout and of the operators.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// `TensorProto.DataType`.
const FLOAT: i64 = 1;
const INT64: i64 = 7;
/// Protocol buffer readers accept no larger message.
const MOST_BYTES: u64 = i32::MAX as u64;

/// The name of a tensor in a graph.
pub(super) type Name = String;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
}

#[derive(Debug, Clone, PartialEq)]
struct Node {
    op: &'static str,
    inputs: Vec<Name>,
    output: Name,
    attributes: Vec<(&'static str, Attribute)>,
}

/// The values of a tensor. Weights are borrowed, since they can take gigabytes.
#[derive(Debug, Clone, PartialEq)]
enum Values<'a> {
    Floats(Cow<'a, [f32]>),
    Ints(Vec<i64>),
}

/// An input or output tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Port {
    pub(super) name: Name,
    /// Whether it holds i64 rather than f32.
    pub(super) is_whole: bool,
    /// A free dimension has a name.
    pub(super) shape: Vec<Size>,
    pub(super) doc: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Size {
    Fixed(usize),
    Free(&'static str),
}

/// What a file records besides the graph.
pub(super) struct About<'a> {
    pub(super) doc: &'a str,
    pub(super) metadata: &'a BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    nodes: Vec<Node>,
    tensors: BTreeMap<Name, (Vec<usize>, Values<'a>)>,
}

impl<'a> Graph<'a> {
    /// Appends a node and returns the name of its output. `scope` is the layer it belongs to.
    pub(super) fn node<S: Into<Name>>(
        &mut self,
        op: &'static str,
        scope: &str,
        inputs: impl IntoIterator<Item = S>,
        attributes: impl Into<Vec<(&'static str, Attribute)>>,
    ) -> Name {
        // The number makes the name unique.
        let output = format!("{scope}/{op}_{}", self.nodes.len());
        let inputs = inputs.into_iter().map(Into::into).collect();
        self.nodes.push(Node { op, inputs, output: output.clone(), attributes: attributes.into() });
        output
    }

    /// A tensor of f32 values, learned or computed here.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: impl Into<Cow<'a, [f32]>>) -> Name {
        let values = Values::Floats(values.into());
        self.tensors.entry(name.to_owned()).or_insert_with(|| (shape.to_vec(), values));
        name.to_owned()
    }

    /// A scalar.
    pub(super) fn float(&mut self, value: f32) -> Name {
        self.floats(&format!("number/{value}"), &[], vec![value])
    }

    /// A tensor of whole numbers, for example sizes.
    pub(super) fn ints(&mut self, values: &[i64]) -> Name {
        let name = values.iter().fold("sizes".to_owned(), |name, value| format!("{name}/{value}"));
        let entry = self.tensors.entry(name.clone());
        entry.or_insert_with(|| (vec![values.len()], Values::Ints(values.to_vec())));
        name
    }

    /// The file: this graph from `inputs` to the output of the last node, which is named `output`.
    ///
    /// # Errors
    /// [`InterchangeError::TooLarge`] for 2 GiB or more.
    pub(super) fn file(
        mut self,
        inputs: &[Port],
        output: &Port,
        about: &About<'_>,
    ) -> Result<Vec<u8>, InterchangeError> {
        if let Some(last) = self.nodes.last_mut() {
            last.output.clone_from(&output.name);
        }
        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, &node.message());
        }
        graph.text(2, "network");
        for input in inputs {
            graph.message(11, &input.message());
        }
        graph.message(12, &output.message());
        // Weights are written after everything else, so that they are copied only once.
        let mut tensors = Vec::new();
        for (name, (shape, values)) in &self.tensors {
            let (start, data) = values.start(name, shape);
            let mut key = Message::default();
            key.opened(5, start.len() + data);
            tensors.push((key, start, values));
        }
        let weights =
            |(key, start, values): &(Message, Message, &Values<'_>)| key.len() + start.len() + values.bytes();
        let weights: u64 = tensors.iter().map(weights).sum();

        let mut head = Message::default();
        head.int(1, IR_VERSION);
        head.text(2, "ddpm");
        head.text(3, env!("CARGO_PKG_VERSION"));
        head.text(6, about.doc);
        let mut operators = Message::default();
        operators.text(1, "");
        operators.int(2, OPSET);
        head.message(8, &operators);
        for (key, value) in about.metadata {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            head.message(14, &entry);
        }
        head.opened(7, graph.len() + weights);

        let length = head.len() + graph.len() + weights;
        check_bytes(length)?;
        let mut file = Vec::with_capacity(length as usize);
        file.extend(head.bytes());
        file.extend(graph.bytes());
        for (key, start, values) in tensors {
            file.extend(key.bytes());
            file.extend(start.bytes());
            match values {
                Values::Floats(values) => values.iter().for_each(|value| file.extend(value.to_le_bytes())),
                Values::Ints(values) => values.iter().for_each(|value| file.extend(value.to_le_bytes())),
            }
        }
        Ok(file)
    }
}

/// Refuses a file with more bytes than one message may have.
pub(super) fn check_bytes(bytes: u64) -> Result<(), InterchangeError> {
    if bytes > MOST_BYTES {
        return Err(InterchangeError::TooLarge { bytes, most: MOST_BYTES });
    }
    Ok(())
}

impl Values<'_> {
    fn bytes(&self) -> u64 {
        match self {
            Self::Floats(values) => size_of_val::<[f32]>(values) as u64,
            Self::Ints(values) => size_of_val::<[i64]>(values) as u64,
        }
    }

    /// `TensorProto` up to its values, and how many bytes of values follow.
    fn start(&self, name: &str, shape: &[usize]) -> (Message, u64) {
        let mut start = Message::default();
        shape.iter().for_each(|&size| start.int(1, size as i64));
        start.int(2, if matches!(self, Self::Floats(_)) { FLOAT } else { INT64 });
        start.text(8, name);
        start.opened(9, self.bytes());
        (start, self.bytes())
    }
}

impl Node {
    /// `NodeProto`.
    fn message(&self) -> Message {
        let mut node = Message::default();
        self.inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, &self.output);
        node.text(3, &self.output);
        node.text(4, self.op);
        for (name, value) in &self.attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            let kind = match value {
                Attribute::Float(value) => {
                    attribute.float(2, *value);
                    1
                }
                Attribute::Int(value) => {
                    attribute.int(3, *value);
                    2
                }
                Attribute::Text(value) => {
                    attribute.text(4, value);
                    3
                }
                Attribute::Ints(values) => {
                    values.iter().for_each(|&value| attribute.int(8, value));
                    7
                }
            };
            attribute.int(20, kind);
            node.message(5, &attribute);
        }
        node
    }
}

impl Port {
    /// `ValueInfoProto`.
    fn message(&self) -> Message {
        let mut shape = Message::default();
        for size in &self.shape {
            let mut dimension = Message::default();
            match size {
                Size::Fixed(size) => dimension.int(1, *size as i64),
                Size::Free(name) => dimension.text(2, name),
            }
            shape.message(1, &dimension);
        }
        let mut tensor = Message::default();
        tensor.int(1, if self.is_whole { INT64 } else { FLOAT });
        tensor.message(2, &shape);
        let mut kind = Message::default();
        kind.message(1, &tensor);
        let mut port = Message::default();
        port.text(1, &self.name);
        port.message(2, &kind);
        port.text(3, &self.doc);
        port
    }
}
