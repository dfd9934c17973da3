//! Class labels and their checks.

use tch::{Device, Kind, Tensor};

pub use denoiser::NO_LABEL;

use crate::error::BackboneError;

/// Refuses labels that are not i64, or not a class of the network.
///
/// The values are checked only if the labels are in host memory: reading them from a GPU would make the host wait in
/// every step.
pub(crate) fn check(labels: &Tensor, classes: usize) -> Result<(), BackboneError> {
    let kind = labels.f_kind()?;
    if kind != Kind::Int64 {
        return Err(BackboneError::LabelKind { got: format!("{kind:?}") });
    }
    if labels.device() != Device::Cpu {
        return Ok(());
    }
    let extremes = [labels.f_min()?, labels.f_max()?].map(|label| i64::try_from(&label));
    for label in extremes {
        check_value(label?, classes)?;
    }
    Ok(())
}

/// Checks labels and copies them to the device.
pub(crate) fn on_device(labels: &[i64], classes: usize, device: Device) -> Result<Tensor, BackboneError> {
    labels.iter().try_for_each(|&label| check_value(label, classes))?;
    Ok(Tensor::f_from_slice(labels)?.f_to_device(device)?)
}

fn check_value(label: i64, classes: usize) -> Result<(), BackboneError> {
    if (NO_LABEL..classes as i64).contains(&label) {
        Ok(())
    } else {
        Err(BackboneError::Label { got: label, classes })
    }
}
