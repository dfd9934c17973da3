//! The processor features that matter for the choice of precision, and their limit.

use crate::error::TorchExtError;
use crate::ffi;

/// The instruction sets of x86-64 that this crate has loops for. Each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CpuIsa {
    /// Available on every x86-64 processor.
    Base,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, BW, VL, DQ).
    Avx512,
    /// AVX-512 with instructions for bf16.
    Avx512Bf16,
    /// Tiles of bf16.
    Amx,
}

impl CpuIsa {
    /// The name in `DDPM_MAX_CPU_ISA`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }
}

/// The limit in the environment variable `DDPM_MAX_CPU_ISA`; `None` if it is not set. It is read once. It is for tests: this
/// crate then computes, and reports the processor, as if it had no more. libtorch's own kernels have their own variables,
/// `ATEN_CPU_CAPABILITY`, `ONEDNN_MAX_CPU_ISA` and `MKL_ENABLE_INSTRUCTIONS`. On other architectures it has no effect.
///
/// # Errors
/// [`TorchExtError::IsaLimit`] when it is not a known set; the other functions then apply no limit.
pub fn cpu_isa_limit() -> Result<Option<CpuIsa>, TorchExtError> {
    // SAFETY: the function takes nothing; it reads the environment once, under the lock of a C++ static initialiser.
    let place = unsafe { ffi::torch_ext_isa_limit() };
    let known = [CpuIsa::Base, CpuIsa::Avx2, CpuIsa::Avx512, CpuIsa::Avx512Bf16, CpuIsa::Amx];
    match usize::try_from(place).ok().and_then(|place| known.get(place)) {
        Some(&limit) => Ok(Some(limit)),
        None if place == -1 => Ok(None),
        None => {
            let got = std::env::var_os("DDPM_MAX_CPU_ISA").unwrap_or_default();
            Err(TorchExtError::IsaLimit { got: got.to_string_lossy().into_owned() })
        }
    }
}

/// Whether the processor multiplies bf16 matrices in hardware. Without that, bf16 on the CPU is emulated
/// and slower than f32.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    let features = cpu_features();
    bf16_obstacle().is_none()
        && ["amx_bf16", "avx512_bf16", "bf16"].iter().any(|&name| features.contains(&name))
}

/// What prevents libtorch from computing in bf16 on this CPU, whatever the processor supports. Some of its kernels query the
/// processor directly, and fail where others were told not to use a feature.
#[must_use]
pub fn bf16_obstacle() -> Option<&'static str> {
    let limit = std::env::var("ATEN_CPU_CAPABILITY").unwrap_or_default();
    let wide = std::env::consts::ARCH == "x86_64" && detect().contains(&"avx512f");
    if wide && ["default", "avx2"].contains(&limit.as_str()) {
        return Some("ATEN_CPU_CAPABILITY prevents libtorch from using AVX-512");
    }
    let unknown = cfg!(target_os = "linux") && !std::path::Path::new("/proc/cpuinfo").exists();
    unknown.then_some("libtorch cannot detect the processor's features without /proc")
}

/// The vector and matrix extensions found, among those that libtorch's kernels use and [`cpu_isa_limit`] allows.
#[must_use]
pub fn cpu_features() -> Vec<&'static str> {
    match cpu_isa_limit() {
        Ok(Some(limit)) => within(limit, detect()),
        _ => detect(),
    }
}

/// The features that belong to a set or to one before it.
fn within(limit: CpuIsa, features: Vec<&'static str>) -> Vec<&'static str> {
    let belongs = |name: &str| match name {
        "avx2" | "fma" => CpuIsa::Avx2,
        "avx512f" => CpuIsa::Avx512,
        "avx512_bf16" => CpuIsa::Avx512Bf16,
        "amx_bf16" => CpuIsa::Amx,
        _ => CpuIsa::Base,
    };
    features.into_iter().filter(|name| belongs(name) <= limit).collect()
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut add = |name, present| {
        if present {
            found.push(name);
        }
    };
    add("avx2", std::arch::is_x86_feature_detected!("avx2"));
    add("fma", std::arch::is_x86_feature_detected!("fma"));
    add("avx512f", std::arch::is_x86_feature_detected!("avx512f"));
    add("avx512_bf16", std::arch::is_x86_feature_detected!("avx512bf16"));
    // The standard library cannot detect AMX yet, but Linux lists it.
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    add("amx_bf16", flags.split_ascii_whitespace().any(|flag| flag == "amx_bf16"));
    found
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Vec<&'static str> {
    let mut found = Vec::new();
    if std::arch::is_aarch64_feature_detected!("neon") {
        found.push("neon");
    }
    if std::arch::is_aarch64_feature_detected!("bf16") {
        found.push("bf16");
    }
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_reported_only_with_a_feature_that_has_it() {
        assert_eq!(cpu_has_bf16(), cpu_features().iter().any(|name| name.contains("bf16")));
    }

    #[test]
    fn a_limit_removes_features_beyond_it() {
        let all = || vec!["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"];
        for (limit, left) in [
            (CpuIsa::Base, 0),
            (CpuIsa::Avx2, 2),
            (CpuIsa::Avx512, 3),
            (CpuIsa::Avx512Bf16, 4),
            (CpuIsa::Amx, 5),
        ] {
            assert_eq!(within(limit, all()), all()[..left], "{}", limit.name());
        }
        // Features of other architectures are not limited by the variable.
        assert_eq!(within(CpuIsa::Base, vec!["neon", "bf16"]), ["neon", "bf16"]);
    }

    /// Whatever limit the tests run with, kernels and reported features respect it.
    #[test]
    fn the_limit_of_the_environment_holds() {
        let set = std::env::var("DDPM_MAX_CPU_ISA").ok().filter(|value| !value.is_empty());
        let limit = cpu_isa_limit().unwrap();
        assert_eq!(limit.map(CpuIsa::name), set.as_deref());
        let Some(limit) = limit else { return };
        let features = cpu_features();
        assert!(limit >= CpuIsa::Avx512Bf16 || !cpu_has_bf16(), "{features:?}");
        assert!(limit >= CpuIsa::Amx || !crate::conv2d_is_fast());
    }
}
