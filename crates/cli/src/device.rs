//! `--device`, `--threads`, `--precision`: what they mean on this machine.

use tch::{Device, Kind};
use tracing::{debug, warn};

use crate::failure::bail_usage;
use crate::flags::Global;

/// Sets the threads and the kind of algorithms, loads libtorch's CUDA part where there is a driver, picks the device.
pub(crate) fn select(global: &Global) -> anyhow::Result<Device> {
    if let Some(threads) = global.threads {
        if !(1..=4096).contains(&threads) {
            bail_usage!("--threads {threads}: expected 1 to 4096");
        }
        tch::set_num_threads(threads as i32);
    }
    if global.deterministic {
        torch_ext::set_deterministic(true)?;
    }
    if global.device == "cpu" {
        return Ok(Device::Cpu);
    }
    match torch_ext::load_cuda_part() {
        Ok(part) => debug!(?part, "CUDA part of libtorch"),
        // With `auto` the CPU still does the work.
        Err(error) if global.device == "auto" => warn!("no GPU: {error}"),
        Err(error) => return Err(error.into()),
    }
    let count = if tch::Cuda::is_available() { tch::Cuda::device_count().max(0) as usize } else { 0 };
    match global.device.as_str() {
        "auto" => Ok(if count > 0 { Device::Cuda(0) } else { Device::Cpu }),
        "cuda" => cuda(0, count, &global.device),
        name => match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
            Some(index) => cuda(index, count, name),
            None => bail_usage!("--device {name}: expected auto, cpu, cuda or cuda:N"),
        },
    }
}

fn cuda(index: usize, count: usize, name: &str) -> anyhow::Result<Device> {
    if index >= count {
        bail_usage!("--device {name}: there are {count} CUDA devices; `ddpm doctor` says what was found");
    }
    Ok(Device::Cuda(index))
}

/// The element type that `auto`, `f32` or `bf16` stands for on a device.
pub(crate) fn precision(name: &str, device: Device) -> anyhow::Result<Kind> {
    match name {
        "f32" => Ok(Kind::Float),
        "bf16" => Ok(Kind::BFloat16),
        "auto" if device.is_cuda() || torch_ext::cpu_has_bf16() => Ok(Kind::BFloat16),
        "auto" => Ok(Kind::Float),
        _ => bail_usage!("precision {name:?}: expected auto, f32 or bf16"),
    }
}

/// The name of what [`precision`] gave.
pub(crate) fn precision_name(kind: Kind) -> &'static str {
    if kind == Kind::BFloat16 { "bf16" } else { "f32" }
}

/// `cpu` or `cuda:0`, as the user writes it.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
