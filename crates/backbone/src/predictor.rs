//! A network that is only asked, again and again, as samplers do.

use std::cell::RefCell;

use tch::{Kind, Tensor};
use torch_ext::{Recorder, inference_mode};

use crate::NO_LABEL;
use crate::backbone::Backbone;
use crate::error::BackboneError;
use crate::pass::Pass;

/// A network with its weights as they are now, prepared for a pass ([`Backbone::prepared`]), and on a GPU recorded: after some
/// calls the device is told of all kernels at once.
pub struct Predictor {
    net: Box<dyn Backbone>,
    pass: Pass,
    recorder: RefCell<Recorder>,
}

impl Predictor {
    /// Later changes of the network's weights do not matter.
    ///
    /// # Errors
    /// Those of libtorch (memory).
    pub fn new(net: &dyn Backbone, pass: &Pass) -> Result<Self, BackboneError> {
        let recorder = RefCell::new(Recorder::new(net.device())?);
        Ok(Self { net: net.prepared(pass)?, pass: *pass, recorder })
    }

    /// [`Backbone::forward`], without gradients.
    ///
    /// # Errors
    /// As there.
    pub fn predict(&self, x_t: &Tensor, t: &Tensor, class: Option<&Tensor>) -> Result<Tensor, BackboneError> {
        self.net.check(x_t, t, class)?;
        // Without a label and with the label for none are the same: the number of inputs does not change.
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
        // A copy, free of that mode; and the next replay writes to the same tensor, while solvers remember predictions.
        Ok(outputs[0].f_detach_copy()?)
    }
}
