//! The interface of a network for the trainer, samplers and files.

use std::path::Path;

use tch::{Device, Tensor};
use tensor_io::Named;

use crate::error::BackboneError;
use crate::labels;
use crate::params::Params;
use crate::pass::Pass;

/// Inputs and outputs of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Channels of the images.
    pub in_channels: usize,
    /// Channels of the output: the same number, or twice as many if half of them predict a variance.
    pub out_channels: usize,
    /// Height and width are multiples of this.
    pub multiple: usize,
    /// Classes of a conditional network.
    pub classes: Option<usize>,
    /// Whether augmentation is an input.
    pub augmented: bool,
    /// T of the path that its times belong to.
    pub timesteps: usize,
}

/// A network: maps `x_t`, t and labels to a prediction.
pub trait Backbone {
    /// The inputs and outputs of the network.
    fn facts(&self) -> Facts;

    /// Its parameters.
    fn parameters(&self) -> &Params;

    /// Maps `x_t` `[b, c, h, w]` and `t` `[b]` in `0..T` (i64, or floating for fractional times) to the prediction
    /// `[b, c', h, w]` in f32: eps, or the output that the network was trained for. `class` `[b]` i64 holds the labels of a
    /// conditional network. [`crate::NO_LABEL`] means no class; omitting the labels is the same as [`crate::NO_LABEL`] for
    /// every image.
    ///
    /// Labels in host memory are checked here. Labels on a GPU are not, since the host would have to wait for them: create them
    /// with [`Backbone::labels`] once before the steps, or check them yourself. An unchecked wrong label on a GPU breaks all
    /// GPU work of the process.
    /// # Errors
    /// Those of [`Backbone::check`]; errors from libtorch, such as lack of memory.
    fn forward(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        class: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, BackboneError>;

    /// The same network with other parameters, which are not trainable.
    ///
    /// # Errors
    /// [`BackboneError::Shape`] for parameters of a different network.
    fn with_parameters(&self, params: Vec<Named>) -> Result<Box<dyn Backbone>, BackboneError>;

    /// A copy for many inference passes like this one. Its weights are in the type and layout of the pass, which
    /// [`Backbone::forward`] would otherwise convert in every call. Its predictions are the same.
    ///
    /// It owns its parameters, which need no gradients and have several types. So do not save or train such a copy, or
    /// use it for passes of another type.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
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
        // With augmentation, the class tensor also holds how each image was augmented.
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

    /// Checks labels, each a class or [`crate::NO_LABEL`], and returns them as the tensor `[b]` for
    /// [`Backbone::forward`], on the network's device.
    ///
    /// # Errors
    /// [`BackboneError::Unconditional`] for a network without classes; [`BackboneError::Label`] for a label out of
    /// range; errors from libtorch, such as lack of memory.
    fn labels(&self, labels: &[i64]) -> Result<Tensor, BackboneError> {
        labels::on_device(labels, self.facts().classes.ok_or(BackboneError::Unconditional)?, self.device())
    }

    /// The device of the network.
    fn device(&self) -> Device {
        self.parameters().device()
    }

    /// The parameters, in a fixed order; training updates these tensors in place.
    fn params(&self) -> &[Named] {
        self.parameters().named()
    }

    /// Number of values in the parameters.
    fn param_count(&self) -> usize {
        self.params().iter().map(|(_, tensor)| tensor.numel()).sum()
    }

    /// Copies weights with the same names, shapes and types into the network, for example averaged weights.
    ///
    /// # Errors
    /// [`BackboneError::Weights`], which lists every difference; the network is then unchanged.
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

    /// Reads weights written by [`Backbone::save`].
    ///
    /// # Errors
    /// [`BackboneError::Weights`], which lists every differing name, shape or type; the network is then unchanged.
    fn load(&self, path: &Path) -> Result<(), BackboneError> {
        Ok(tensor_io::load_into(path, self.params())?)
    }
}
