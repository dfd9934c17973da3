//! A network for inference only, called repeatedly, as by samplers.

use std::cell::RefCell;

use tch::{Kind, Tensor};
use torch_ext::{Recorder, inference_mode};

use crate::NO_LABEL;
use crate::backbone::Backbone;
use crate::error::BackboneError;
use crate::pass::Pass;

/// A network with a snapshot of its weights, prepared for a pass ([`Backbone::prepared`]). On a GPU it is recorded: after some
/// calls all kernels are submitted at once.
pub struct Predictor {
    net: Box<dyn Backbone>,
    pass: Pass,
    recorder: RefCell<Recorder>,
}

impl Predictor {
    /// Takes the present weights; later changes to the network have no effect.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn new(net: &dyn Backbone, pass: &Pass) -> Result<Self, BackboneError> {
        Self::with(Recorder::new(net.device())?, net, pass)
    }

    /// The same, but never recorded: to measure what recording gains, and to compare the predictions.
    ///
    /// # Errors
    /// The same as for [`Predictor::new`].
    pub fn without_recording(net: &dyn Backbone, pass: &Pass) -> Result<Self, BackboneError> {
        Self::with(Recorder::without_recording(net.device())?, net, pass)
    }

    fn with(recorder: Recorder, net: &dyn Backbone, pass: &Pass) -> Result<Self, BackboneError> {
        Ok(Self { net: net.prepared(pass)?, pass: *pass, recorder: RefCell::new(recorder) })
    }

    /// Whether calls are now replays of a recording.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorder.borrow().is_recorded()
    }

    /// [`Backbone::forward`], without gradients.
    ///
    /// # Errors
    /// The same as for [`Backbone::forward`].
    pub fn predict(&self, x_t: &Tensor, t: &Tensor, class: Option<&Tensor>) -> Result<Tensor, BackboneError> {
        self.net.check(x_t, t, class)?;
        // No label is the same as the label for none, so pass that one: the number of inputs must not change.
        let none = match (class, self.net.facts().classes) {
            (None, Some(_)) => {
                Some(Tensor::f_full([x_t.size()[0]], NO_LABEL, (Kind::Int64, self.net.device()))?)
            }
            _ => None,
        };
        let inputs: Vec<&Tensor> = [x_t, t].into_iter().chain(class).chain(&none).collect();
        let mut forward = |inputs: &[&Tensor]| -> Result<Vec<Tensor>, BackboneError> {
            Ok(vec![self.net.forward(inputs[0], inputs[1], inputs.get(2).copied(), &self.pass)?])
        };
        let outputs = inference_mode(|| self.recorder.borrow_mut().call(&inputs, &mut forward))??;
        // Copy, to leave inference mode, and because the next replay overwrites the tensor while solvers keep earlier
        // predictions.
        Ok(outputs[0].f_detach_copy()?)
    }
}
