//! The platforms that setup has wheels for, and whether this machine has an NVIDIA driver.

use std::path::Path;
use std::{env, fmt, fs};

/// A platform with libtorch wheels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    LinuxX64,
    LinuxArm64,
    MacArm64,
}

impl Platform {
    /// This machine's platform, if its wheels are known.
    pub(crate) fn current() -> Option<Self> {
        // The Linux wheels are built against glibc.
        let glibc = cfg!(target_env = "gnu");
        match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") if glibc => Some(Self::LinuxX64),
            ("linux", "aarch64") if glibc => Some(Self::LinuxArm64),
            ("macos", "aarch64") => Some(Self::MacArm64),
            _ => None,
        }
    }

    /// Every platform tag that a wheel of the table may have: pip matches each one literally.
    pub(crate) fn pip_tags(self) -> &'static [&'static str] {
        match self {
            Self::LinuxX64 => &[
                "manylinux_2_28_x86_64",
                "manylinux_2_27_x86_64",
                "manylinux_2_25_x86_64",
                "manylinux_2_18_x86_64",
                "manylinux_2_17_x86_64",
                "manylinux2014_x86_64",
            ],
            Self::LinuxArm64 => &[
                "manylinux_2_28_aarch64",
                "manylinux_2_27_aarch64",
                "manylinux_2_25_aarch64",
                "manylinux_2_18_aarch64",
                "manylinux_2_17_aarch64",
                "manylinux2014_aarch64",
            ],
            Self::MacArm64 => &["macosx_11_0_arm64"],
        }
    }

    pub(crate) fn is_linux(self) -> bool {
        matches!(self, Self::LinuxX64 | Self::LinuxArm64)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinuxX64 => "Linux x86-64",
            Self::LinuxArm64 => "Linux arm64",
            Self::MacArm64 => "macOS arm64",
        })
    }
}

/// CUDA 13 needs a driver of this series or newer (CUDA compatibility guide, minor version table).
const OLDEST_DRIVER: u32 = 580;

/// The machine's ability to run CUDA code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    None,
    /// There is a driver, of this major version, but it is too old for CUDA 13.
    TooOld(u32),
    Present,
}

impl Driver {
    pub(crate) fn detect() -> Self {
        if let Ok(text) = fs::read_to_string("/proc/driver/nvidia/version") {
            return Self::of_version_file(&text);
        }
        // WSL and some containers have the library but not the /proc entry.
        let libraries = [
            "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
            "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
            "/usr/lib64/libcuda.so.1",
            "/usr/lib/libcuda.so.1",
            "/usr/lib/wsl/lib/libcuda.so.1",
        ];
        let found = libraries.iter().any(|path| Path::new(path).exists());
        if found || super::tools::in_path("nvidia-smi").is_some() { Self::Present } else { Self::None }
    }

    /// Reads `/proc/driver/nvidia/version`: `NVRM version: NVIDIA UNIX ... Kernel Module  580.82.07  ...`. A text of
    /// another form still means that a driver is loaded.
    fn of_version_file(text: &str) -> Self {
        let first = text.lines().next().unwrap_or_default();
        let is_version =
            |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
        let major = first
            .split_whitespace()
            .find(is_version)
            .and_then(|word| word.split('.').next())
            .and_then(|major| major.parse().ok());
        match major {
            Some(major) if major < OLDEST_DRIVER => Self::TooOld(major),
            _ => Self::Present,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_driver_decides() {
        let file = |version: &str| {
            format!(
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Nov  7\nGCC version: 12.2\n"
            )
        };
        assert_eq!(Driver::of_version_file(&file("535.104.05")), Driver::TooOld(535));
        assert_eq!(Driver::of_version_file(&file("580.65.06")), Driver::Present);
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.1  Release Build";
        assert_eq!(Driver::of_version_file(open), Driver::TooOld(570));
        assert_eq!(Driver::of_version_file("something else"), Driver::Present);
    }
}
