//! `--device`, `--threads`, `--precision`: their meaning on this machine.

use tch::{Device, Kind};
use tracing::{debug, warn};

use crate::failure::bail_usage;
use crate::flags::Global;
use crate::ranks;

/// Sets the threads and whether algorithms are deterministic, loads libtorch's CUDA part if there is a driver, and
/// selects the device.
pub(crate) fn select(global: &Global) -> anyhow::Result<Device> {
    match global.threads {
        // `threads::check` has bounded it.
        Some(threads) => tch::set_num_threads(threads as i32),
        None => ranks::share_cores(),
    }
    if let Some(limit) = torch_ext::cpu_isa_limit()? {
        debug!(limit = limit.name(), "instruction sets are limited by DDPM_MAX_CPU_ISA");
    }
    if global.deterministic {
        torch_ext::set_deterministic(true)?;
    }
    if global.device == "cpu" {
        return Ok(Device::Cpu);
    }
    match torch_ext::load_cuda_part() {
        Ok(part) => debug!(?part, "CUDA part of libtorch"),
        // With `auto` the CPU can still be used.
        Err(error) if global.device == "auto" => warn!("no GPU: {error}"),
        Err(error) => return Err(error.into()),
    }
    let count = if tch::Cuda::is_available() { tch::Cuda::device_count().max(0) as usize } else { 0 };
    let own = ranks::local_rank();
    match global.device.as_str() {
        "auto" => Ok(if count > 0 { Device::Cuda(own % count) } else { Device::Cpu }),
        "cuda" => cuda(own, count, &global.device),
        name => match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
            Some(index) => cuda(index, count, name),
            None => bail_usage!("--device {name}: expected auto, cpu, cuda or cuda:N"),
        },
    }
}

fn cuda(index: usize, count: usize, name: &str) -> anyhow::Result<Device> {
    if index >= count {
        bail_usage!("--device {name}: found {count} CUDA devices; see `ddpm doctor`");
    }
    Ok(Device::Cuda(index))
}

/// The number format that the network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    F32,
    /// f32, but a GPU multiplies with 10 bits of the fraction.
    Tf32,
    Bf16,
}

impl Precision {
    /// The meaning of `auto`, `f32`, `tf32` or `bf16` on a device. Also sets it in libtorch for the whole process: by default
    /// libtorch computes convolutions in tf32 even if f32 was requested.
    pub(crate) fn settle(name: &str, device: Device) -> anyhow::Result<Self> {
        let precision = match name {
            "f32" => Self::F32,
            "tf32" if device.is_cuda() => Self::Tf32,
            "tf32" => {
                warn!("precision tf32 is for GPUs: using f32 on the CPU");
                Self::F32
            }
            "bf16" => match torch_ext::bf16_obstacle().filter(|_| !device.is_cuda()) {
                Some(obstacle) => bail_usage!("precision bf16: {obstacle}; use f32"),
                None => Self::Bf16,
            },
            "auto" if device.is_cuda() || torch_ext::cpu_has_bf16() => Self::Bf16,
            "auto" => Self::F32,
            _ => bail_usage!("precision {name:?}: expected auto, f32, tf32 or bf16"),
        };
        torch_ext::set_tf32(precision == Self::Tf32)?;
        Ok(precision)
    }

    /// The element type.
    pub(crate) fn kind(self) -> Kind {
        if self == Self::Bf16 { Kind::BFloat16 } else { Kind::Float }
    }

    /// The name, as the user writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}

/// `cpu` or `cuda:0`, as the user writes it.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_keep_their_names_where_available() {
        let on_cpu = |name| Precision::settle(name, Device::Cpu).unwrap();
        for (name, kind) in [("f32", Kind::Float), ("bf16", Kind::BFloat16)] {
            assert_eq!((on_cpu(name).name(), on_cpu(name).kind()), (name, kind));
        }
        assert_eq!(on_cpu("tf32"), Precision::F32);
        let gpu = Precision::settle("tf32", Device::Cuda(0)).unwrap();
        assert_eq!((gpu.name(), gpu.kind()), ("tf32", Kind::Float));
        assert_eq!(Precision::settle("auto", Device::Cuda(0)).unwrap(), Precision::Bf16);
        let error = Precision::settle("f16", Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("tf32 or bf16"), "{error}");
    }
}
