//! What trainer, samplers and files ask of a network.

use std::path::Path;

use tch::{Device, Tensor};
use tensor_io::Named;

use crate::error::BackboneError;
use crate::labels;
use crate::params::Params;
use crate::pass::Pass;

/// What a network takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Channels of the images.
    pub in_channels: usize,
    /// Channels of the output: as many, or twice as many where half of them say a variance.
    pub out_channels: usize,
    /// Height and width are multiples of this.
    pub multiple: usize,
    /// Classes of a conditional network.
    pub classes: Option<usize>,
    /// Whether it is told how images were augmented.
    pub augmented: bool,
    /// T of the path that its times are on.
    pub timesteps: usize,
}

/// A network: `x_t`, t and labels in, a prediction out.
pub trait Backbone {
    /// What it takes and gives.
    fn facts(&self) -> Facts;

    /// Its parameters.
    fn parameters(&self) -> &Params;

    /// `x_t` `[b, c, h, w]` and `t` `[b]` in `0..T` (i64, or floating for times between) to the prediction `[b, c', h, w]` in
    /// f32: eps, or whatever the network was trained for. `class` `[b]` i64 holds the labels of a conditional network;
    /// [`crate::NO_LABEL`] is the label of an image without, and no labels at all are as many of it.
    ///
    /// Labels in the host's memory are checked here. Those on a GPU are not, since the host would wait for it: make them by
    /// [`Backbone::labels`], once before the steps, or check them otherwise. An unchecked wrong label on a GPU ends the work of
    /// the whole process there.
    ///
    /// # Errors
    /// Those of [`Backbone::check`]; those of libtorch (memory).
    fn forward(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        class: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError>;

    /// The same network of other parameters, which are not for training.
    ///
    /// # Errors
    /// [`BackboneError::Shape`] for parameters of another network.
    fn with_parameters(&self, params: Vec<Named>) -> Result<Box<dyn Backbone>, BackboneError>;

    /// A copy for many passes like this one that learn nothing: its weights are in the type and layout in which the pass
    /// computes, where [`Backbone::forward`] would convert them in every call. What it predicts is the same.
    ///
    /// Its parameters are its own and need no gradients. They are of several types, so such a copy is not for saving,
    /// training or passes of another type.
    ///
    /// # Errors
    /// Those of libtorch (memory).
    fn prepared(&self, pass: &Pass) -> Result<Box<dyn Backbone>, BackboneError> {
        self.with_parameters(self.parameters().prepared(pass)?)
    }

    /// Checks that inputs fit the network and each other.
    ///
    /// # Errors
    /// [`BackboneError::Shape`]; [`BackboneError::Unconditional`], [`BackboneError::Label`] and [`BackboneError::LabelKind`]
    /// for labels.
    fn check(&self, x_t: &Tensor, t: &Tensor, class: Option<&Tensor>) -> Result<(), BackboneError> {
        let (facts, size) = (self.facts(), x_t.size());
        let (channels, factor) = (facts.in_channels as i64, facts.multiple as i64);
        let fits = matches!(size[..], [b, c, h, w] if b > 0 && c == channels && h > 0 && w > 0 && h % factor == 0 && w % factor == 0);
        if !fits {
            let expected = format!("[b, {channels}, h, w] with h and w multiples of {factor}");
            return Err(BackboneError::Shape { what: "x_t", got: size, expected });
        }
        // Beside the label, how the image was augmented.
        let told = |vector: &Tensor| facts.augmented && vector.size() == [size[0], 4];
        let vectors = [("t", Some(t)), ("class", class.filter(|class| !told(class)))];
        for (what, vector) in vectors {
            if let Some(vector) = vector.filter(|vector| vector.size() != [size[0]]) {
                let expected = format!("[{}], one for each image", size[0]);
                return Err(BackboneError::Shape { what, got: vector.size(), expected });
            }
        }
        match (class, facts.classes) {
            (None, _) => Ok(()),
            (Some(labels), Some(classes)) if labels.dim() == 2 => {
                labels::check(&labels.f_select(1, 0)?, classes)
            }
            (Some(labels), Some(classes)) => labels::check(labels, classes),
            (Some(labels), None) if labels.dim() == 2 => Ok(()),
            (Some(_), None) => Err(BackboneError::Unconditional),
        }
    }

    /// Labels, [`crate::NO_LABEL`] or a class each, as the tensor `[b]` that [`Backbone::forward`] takes, on the
    /// network's device.
    ///
    /// # Errors
    /// [`BackboneError::Unconditional`] for a network without classes; [`BackboneError::Label`] for a label out of
    /// range; those of libtorch (memory).
    fn labels(&self, labels: &[i64]) -> Result<Tensor, BackboneError> {
        labels::on_device(labels, self.facts().classes.ok_or(BackboneError::Unconditional)?, self.device())
    }

    /// Where it computes.
    fn device(&self) -> Device {
        self.parameters().device()
    }

    /// The parameters, in a fixed order; training changes these very tensors.
    fn params(&self) -> &[Named] {
        self.parameters().named()
    }

    /// How many numbers are learned.
    fn param_count(&self) -> usize {
        self.params().iter().map(|(_, tensor)| tensor.numel()).sum()
    }

    /// Copies weights of the same names, shapes and types in, for example an average of training's.
    ///
    /// # Errors
    /// [`BackboneError::Weights`] naming every difference; the network is then as it was.
    fn copy_weights(&self, weights: &[Named]) -> Result<(), BackboneError> {
        Ok(tensor_io::copy_into(Path::new("(memory)"), weights, self.params())?)
    }

    /// Writes the weights as safetensors, atomically.
    ///
    /// # Errors
    /// [`BackboneError::Weights`] when the file cannot be written.
    fn save(&self, path: &Path) -> Result<(), BackboneError> {
        Ok(tensor_io::save(path, self.params())?)
    }

    /// Reads weights that [`Backbone::save`] wrote.
    ///
    /// # Errors
    /// [`BackboneError::Weights`] naming every name, shape or type that differs; the network is then as it was.
    fn load(&self, path: &Path) -> Result<(), BackboneError> {
        Ok(tensor_io::load_into(path, self.params())?)
    }
}
