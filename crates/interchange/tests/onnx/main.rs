//! The structure of ONNX files, and refusals. The test `onnx` of `unet` checks what the networks in them predict.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod reader;

use std::collections::{BTreeMap, BTreeSet};

use config::UNetConfig;
use interchange::InterchangeError;
use interchange::onnx::{Model, Weight, write};

use reader::Message;

/// A network with weights 0, 1, 2 and so on.
struct Network {
    config: UNetConfig,
    weights: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Network {
    fn new(change: impl FnOnce(&mut UNetConfig)) -> Self {
        let mut config = UNetConfig::preset("tiny-16").unwrap();
        change(&mut config);
        let numbers =
            |shape: &[usize]| (0..shape.iter().product()).map(|place: usize| place as f32).collect();
        let weights = config.parameters();
        let weights =
            weights.into_iter().map(|(name, shape)| (name, shape.clone(), numbers(&shape))).collect();
        Self { config, weights }
    }

    fn model(&self) -> Model<'_> {
        Model {
            network: &self.config,
            timesteps: 1000,
            size: (16, 16),
            output: "v",
            batch: None,
            doc: "what it is".to_owned(),
            metadata: BTreeMap::from([("ddpm.step".to_owned(), "7".to_owned())]),
        }
    }

    fn written(&self, model: &Model<'_>) -> Result<Vec<u8>, InterchangeError> {
        let weights: Vec<Weight<'_>> =
            self.weights.iter().map(|(name, shape, values)| Weight { name, shape, values }).collect();
        write(model, &weights)
    }
}

/// Name, element type and dimensions of a `ValueInfoProto`; a free dimension is given by name.
fn port(port: &Message<'_>) -> (String, u64, Vec<String>) {
    let tensor = port.message(2).message(1);
    let sizes = tensor.message(2).messages(1);
    let size = |size: &Message<'_>| match size.numbers(1).first() {
        Some(number) => number.to_string(),
        None => size.text(2).to_owned(),
    };
    (port.text(1).to_owned(), tensor.numbers(1)[0], sizes.iter().map(size).collect())
}

fn ports(graph: &Message<'_>, field: u64) -> Vec<(String, u64, String)> {
    let all = graph.messages(field);
    all.iter().map(port).map(|(name, kind, sizes)| (name, kind, sizes.join(" "))).collect()
}

#[test]
fn a_file_describes_its_inputs_and_outputs() {
    let plain = Network::new(|_| {});
    let file = plain.written(&plain.model()).unwrap();
    let model = Message::read(&file).unwrap();
    assert_eq!(model.numbers(1), [8]);
    assert_eq!((model.text(2), model.text(3)), ("ddpm", env!("CARGO_PKG_VERSION")));
    assert_eq!(model.text(6), "what it is");
    let operators = model.messages(8);
    assert_eq!((operators.len(), operators[0].text(1), operators[0].numbers(2)), (1, "", vec![17]));
    let metadata: Vec<_> = model.messages(14).iter().map(|entry| (entry.text(1), entry.text(2))).collect();
    assert_eq!(metadata, [("ddpm.step", "7")]);

    let graph = model.message(7);
    let (float, whole) = (1, 7);
    let x_t = ("x_t".to_owned(), float, "batch 1 16 16".to_owned());
    let t = ("t".to_owned(), float, "batch".to_owned());
    assert_eq!(ports(&graph, 11), [x_t, t]);
    assert_eq!(ports(&graph, 12), [("v".to_owned(), float, "batch 1 16 16".to_owned())]);

    // Classes, a fixed batch, another size and a learned variance.
    let other = Network::new(|config| (config.classes, config.out_channels) = (Some(3), 2));
    let file = other.written(&Model { batch: Some(5), size: (8, 12), ..other.model() }).unwrap();
    let graph = Message::read(&file).unwrap().message(7);
    let x_t = ("x_t".to_owned(), float, "5 1 8 12".to_owned());
    let (t, class) = (("t".to_owned(), float, "5".to_owned()), ("class".to_owned(), whole, "5".to_owned()));
    assert_eq!(ports(&graph, 11), [x_t, t, class]);
    assert_eq!(ports(&graph, 12), [("v".to_owned(), float, "5 2 8 12".to_owned())]);
}

/// Every node reads only earlier outputs, and every weight is used and has its original values.
#[test]
fn a_graph_is_complete() {
    let network = Network::new(|config| (config.classes, config.augmented) = (Some(3), true));
    let file = network.written(&network.model()).unwrap();
    let graph = Message::read(&file).unwrap().message(7);
    let tensors = graph.messages(5);
    let inputs = ["x_t", "t", "class"];
    let mut known: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.text(8)).chain(inputs).collect();
    assert_eq!(known.len(), tensors.len() + inputs.len(), "two tensors of a name");
    let (mut used, mut names) = (BTreeSet::new(), BTreeSet::new());
    for node in graph.messages(1) {
        let op = node.text(4);
        for input in node.texts(1).into_iter().filter(|input| !input.is_empty()) {
            assert!(known.contains(input), "{op}: {input}");
            used.insert(input);
        }
        assert!(known.insert(node.text(2)) && names.insert(node.text(3)), "{op}: {}", node.text(2));
    }
    assert!(known.contains("v"));
    let unused: Vec<_> = known.difference(&used).filter(|name| **name != "v").collect();
    assert!(unused.is_empty(), "{unused:?}");

    let by_name: BTreeMap<&str, &Message<'_>> =
        tensors.iter().map(|tensor| (tensor.text(8), tensor)).collect();
    for (name, shape, values) in &network.weights {
        // The embedding of augmentations is not exported.
        let Some(tensor) = by_name.get(name.as_str()) else {
            assert_eq!(name, "augment_embedding.weight");
            continue;
        };
        let data = tensor.bytes(9)[0];
        let sizes: u64 = tensor.numbers(1).iter().product();
        assert_eq!((tensor.numbers(2), 4 * sizes), (vec![1], data.len() as u64), "{name}");
        let mut bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        if name == "class_embedding.weight" {
            // The row for no label is zero.
            bytes.extend(vec![0; 4 * shape[1]]);
        }
        assert!(data == bytes, "{name}");
    }
}

#[test]
fn unsupported_settings_are_refused_by_name() {
    let network = Network::new(|_| {});
    let refused = |model: Model<'_>| network.written(&model).unwrap_err().to_string();
    for (model, words) in [
        (
            Model { size: (16, 15), ..network.model() },
            "images = 15x16: cannot be written as ONNX; expected multiples of 2",
        ),
        (Model { batch: Some(0), ..network.model() }, "batch = 0"),
        (Model { timesteps: 1 << 25, ..network.model() }, "schedule.steps = 33554432"),
        (Model { timesteps: 1, ..network.model() }, "model.embedding = normalized"),
    ] {
        let error = refused(model);
        assert!(error.contains(words), "{error}");
    }
    let wild = Network::new(|config| {
        config.embedding = config::EmbeddingConfig::Fourier { frequencies: 4, scale: 1e300, seed: 0 };
    });
    let error = wild.written(&wild.model()).unwrap_err().to_string();
    assert!(error.starts_with("model.embedding.scale"), "{error}");

    let broken = UNetConfig { groups: 5, ..network.config.clone() };
    let error = refused(Model { network: &broken, ..network.model() });
    assert!(error.contains("model.groups"), "{error}");
    let huge = UNetConfig { base_channels: 4096, ..network.config.clone() };
    let error = write(&Model { network: &huge, ..network.model() }, &[]).unwrap_err();
    assert!(
        matches!(error, InterchangeError::TooLarge { bytes, most: 2_147_483_647 } if bytes > 1 << 31),
        "{error}"
    );
}

#[test]
fn weights_of_another_network_are_refused() {
    let mut network = Network::new(|_| {});
    let (name, _, values) = &mut network.weights[3];
    let name = name.clone();
    values.pop();
    let error = network.written(&network.model()).unwrap_err().to_string();
    assert!(error.starts_with(&name) && error.contains("expected shape"), "{error}");
    network.weights.remove(3);
    let error = network.written(&network.model()).unwrap_err();
    assert!(
        matches!(&error, InterchangeError::MissingWeight { name: missing } if *missing == name),
        "{error}"
    );
}
