//! What the processor can do that matters for the choice of precision.

/// Whether the processor multiplies bf16 matrices in hardware. Without that, bf16 on the CPU is emulated
/// and slower than f32.
#[must_use]
pub fn cpu_has_bf16() -> bool {
    let features = cpu_features();
    ["amx_bf16", "avx512_bf16", "bf16"].iter().any(|&name| features.contains(&name))
}

/// The vector and matrix extensions found, of those libtorch's kernels are written for.
#[must_use]
pub fn cpu_features() -> Vec<&'static str> {
    detect()
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
    // The standard library cannot ask for AMX yet; Linux lists it.
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
    fn bf16_is_claimed_only_with_a_feature_that_has_it() {
        assert_eq!(cpu_has_bf16(), cpu_features().iter().any(|name| name.contains("bf16")));
    }
}
