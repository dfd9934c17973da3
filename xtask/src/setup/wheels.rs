//! The pinned wheels: the files and hashes that provide libtorch on each platform.
//!
//! The versions are those that the metadata of torch 2.11.0 requires (through cuda-toolkit 13.0.2).

use sha2::{Digest, Sha256};

use super::hash;
use super::platform::Platform::{self, LinuxArm64, LinuxX64, MacArm64};

/// The libtorch version that tch 0.24 needs.
pub(crate) const LIBTORCH_VERSION: &str = "2.11.0";

/// The parts to provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// libtorch for the CPU.
    Cpu,
    /// The same with its CUDA part.
    CpuAndCuda,
}

/// A registry package and the members to take from it.
///
/// A member is a file's full name in the wheel, a folder with everything below it if it ends in `/`, or a prefix of
/// file names in one folder if it ends in `*`.
#[derive(Debug)]
pub(crate) struct Wheel {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) builds: &'static [Build],
    /// Members that every machine needs.
    pub(crate) cpu: &'static [&'static str],
    /// Members that only machines with CUDA need.
    pub(crate) cuda: &'static [&'static str],
}

/// The file of one wheel for one platform.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) platform: Platform,
    /// Size to fetch, in 10^6 bytes, rounded up.
    pub(crate) megabytes: u32,
    /// In lower-case hexadecimal digits.
    pub(crate) sha256: &'static str,
}

const fn build(platform: Platform, megabytes: u32, sha256: &'static str) -> Build {
    Build { platform, megabytes, sha256 }
}

/// The headers, which declare everything for `torch-sys` and our own C++.
const INCLUDE: &str = "torch/include/";

/// Licence files, required for redistribution.
const TORCH_LICENCES: &str = "torch-2.11.0.dist-info/licenses/";

/// The CUDA part of libtorch itself; `unpack::place` says where it goes.
const TORCH_CUDA: &[&str] = &[
    "torch/lib/libtorch_cuda.so",
    "torch/lib/libc10_cuda.so",
    "torch/lib/libtorch_nvshmem.so",
    "torch/lib/libtorch_cuda_linalg.so",
    "torch/lib/libcaffe2_nvrtc.so",
];

/// Every wheel of every platform. Even without CUDA, libtorch needs the small wheels of the CUDA runtime and CUPTI,
/// because libtorch_cpu.so is linked against both.
pub(crate) const WHEELS: &[Wheel] = &[
    Wheel {
        name: "torch",
        version: LIBTORCH_VERSION,
        builds: &[build(LinuxX64, 531, "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756")],
        cpu: &[
            INCLUDE,
            TORCH_LICENCES,
            "torch/lib/libc10.so",
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libgomp.so.1",
        ],
        cuda: TORCH_CUDA,
    },
    Wheel {
        name: "torch",
        version: LIBTORCH_VERSION,
        builds: &[build(LinuxArm64, 420, "f99924682ef0aa6a4ab3b1b76f40dc6e273fca09f367d15a524266db100a723f")],
        cpu: &[
            INCLUDE,
            TORCH_LICENCES,
            "torch/lib/libc10.so",
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libgomp.so.1",
            "torch/lib/libarm_compute.so",
            "torch/lib/libarm_compute_graph.so",
            "torch/lib/libnvpl_*",
        ],
        cuda: TORCH_CUDA,
    },
    Wheel {
        name: "torch",
        version: LIBTORCH_VERSION,
        builds: &[build(MacArm64, 81, "4b5866312ee6e52ea625cd211dcb97d6a2cdc1131a5f15cc0d87eec948f6dd34")],
        cpu: &[
            INCLUDE,
            TORCH_LICENCES,
            "torch/lib/libc10.dylib",
            "torch/lib/libtorch_cpu.dylib",
            "torch/lib/libtorch.dylib",
            "torch/lib/libomp.dylib",
        ],
        cuda: &[],
    },
    Wheel {
        name: "nvidia-cuda-runtime",
        version: "13.0.96",
        builds: &[
            build(LinuxX64, 3, "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
            build(LinuxArm64, 3, "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55"),
        ],
        cpu: &["nvidia/cu13/lib/libcudart.so.13", "nvidia_cuda_runtime-13.0.96.dist-info/licenses/"],
        cuda: &[],
    },
    Wheel {
        name: "nvidia-cuda-cupti",
        version: "13.0.85",
        builds: &[
            build(LinuxX64, 11, "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
            build(LinuxArm64, 11, "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151"),
        ],
        cpu: &["nvidia/cu13/lib/libcupti.so.13", "nvidia_cuda_cupti-13.0.85.dist-info/licenses/"],
        cuda: &[],
    },
    Wheel {
        name: "nvidia-cublas",
        version: "13.1.0.3",
        builds: &[
            build(LinuxX64, 424, "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"),
            build(LinuxArm64, 543, "c86fc7f7ae36d7528288c5d88098edcb7b02c633d262e7ddbb86b0ad91be5df2"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libcublas.so.13", "nvidia/cu13/lib/libcublasLt.so.13"],
    },
    Wheel {
        name: "nvidia-cuda-nvrtc",
        version: "13.0.88",
        builds: &[
            build(LinuxX64, 91, "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
            build(LinuxArm64, 44, "d27f20a0ca67a4bb34268a5e951033496c5b74870b868bacd046b1b8e0c3267b"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cu13/lib/libnvrtc-builtins.so.13.0"],
    },
    Wheel {
        name: "nvidia-cudnn-cu13",
        version: "9.19.0.56",
        builds: &[
            build(LinuxX64, 367, "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"),
            build(LinuxArm64, 434, "6ed29ffaee1176c612daf442e4dd6cfeb6a0caa43ddcbeb59da94953030b1be4"),
        ],
        cpu: &[],
        cuda: &["nvidia/cudnn/lib/"],
    },
    Wheel {
        name: "nvidia-cufft",
        version: "12.0.0.61",
        builds: &[
            build(LinuxX64, 215, "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"),
            build(LinuxArm64, 215, "2708c852ef8cd89d1d2068bdbece0aa188813a0c934db3779b9b1faa8442e5f5"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libcufft.so.12"],
    },
    Wheel {
        name: "nvidia-cufile",
        version: "1.15.1.6",
        builds: &[
            build(LinuxX64, 2, "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"),
            build(LinuxArm64, 2, "bdc0deedc61f548bddf7733bdc216456c2fdb101d020e1ab4b88d232d5e2f6d1"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libcufile.so.0"],
    },
    Wheel {
        name: "nvidia-curand",
        version: "10.4.0.35",
        builds: &[
            build(LinuxX64, 60, "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
            build(LinuxArm64, 62, "133df5a7509c3e292aaa2b477afd0194f06ce4ea24d714d616ff36439cee349a"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libcurand.so.10"],
    },
    Wheel {
        name: "nvidia-cusolver",
        version: "12.0.4.66",
        builds: &[
            build(LinuxX64, 201, "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112"),
            build(LinuxArm64, 224, "02c2457eaa9e39de20f880f4bd8820e6a1cfb9f9a34f820eb12a155aa5bc92d2"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libcusolver.so.12"],
    },
    Wheel {
        name: "nvidia-cusparse",
        version: "12.6.3.3",
        builds: &[
            build(LinuxX64, 146, "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"),
            build(LinuxArm64, 163, "80bcc4662f23f1054ee334a15c72b8940402975e0eab63178fc7e670aa59472c"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libcusparse.so.12"],
    },
    Wheel {
        name: "nvidia-cusparselt-cu13",
        version: "0.8.0",
        builds: &[
            build(LinuxX64, 170, "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd"),
            build(LinuxArm64, 221, "400c6ed1cf6780fc6efedd64ec9f1345871767e6a1a0a552a1ea0578117ea77c"),
        ],
        cpu: &[],
        cuda: &["nvidia/cusparselt/lib/"],
    },
    Wheel {
        name: "nvidia-nccl-cu13",
        version: "2.28.9",
        builds: &[
            build(LinuxX64, 197, "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"),
            build(LinuxArm64, 197, "01c873ba1626b54caa12272ed228dc5b2781545e0ae8ba3f432a8ef1c6d78643"),
        ],
        cpu: &[],
        cuda: &["nvidia/nccl/lib/"],
    },
    Wheel {
        name: "nvidia-nvjitlink",
        version: "13.0.88",
        builds: &[
            build(LinuxX64, 41, "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b"),
            build(LinuxArm64, 39, "e931536ccc7d467a98ba1d8b89ff7fa7f1fa3b13f2b0069118cd7f47bff07d0c"),
        ],
        cpu: &[],
        cuda: &["nvidia/cu13/lib/libnvJitLink.so.13"],
    },
    Wheel {
        name: "nvidia-nvshmem-cu13",
        version: "3.4.5",
        builds: &[
            build(LinuxX64, 61, "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80"),
            build(LinuxArm64, 61, "6dc2a197f38e5d0376ad52cd1a2a3617d3cdc150fd5966f4aee9bcebb1d68fe9"),
        ],
        cpu: &[],
        cuda: &["nvidia/nvshmem/lib/libnvshmem_host.so.3", "nvidia/nvshmem/lib/nvshmem_bootstrap_uid.so.3"],
    },
];

impl Wheel {
    /// The members to take for `parts`.
    pub(crate) fn members(&self, parts: Parts) -> impl Iterator<Item = &'static str> + use<> {
        let cuda = if parts == Parts::CpuAndCuda { self.cuda } else { &[] };
        self.cpu.iter().chain(cuda).copied()
    }

    /// The prefix of the wheel's file name, up to the tags (binary distribution format, file name convention: `-` in a
    /// name becomes `_`).
    pub(crate) fn file_prefix(&self) -> String {
        format!("{}-{}-", self.name.replace('-', "_"), self.version)
    }
}

/// The wheels that `platform` needs for `parts`, each with its file.
pub(crate) fn needed(platform: Platform, parts: Parts) -> Vec<(&'static Wheel, &'static Build)> {
    let file = |wheel: &'static Wheel| wheel.builds.iter().find(|build| build.platform == platform);
    WHEELS
        .iter()
        .filter(|wheel| wheel.members(parts).next().is_some())
        .filter_map(|wheel| Some((wheel, file(wheel)?)))
        .collect()
}

/// A hash of the whole table and of the layout version; if it changes, setup must run again.
pub(crate) fn table_hash(edition: u32) -> String {
    hash::hex(&Sha256::digest(format!("{edition} {WHEELS:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_machine_fetches_three_wheels_on_linux_and_one_on_macos() {
        for (platform, count) in [(LinuxX64, 3), (LinuxArm64, 3), (MacArm64, 1)] {
            assert_eq!(needed(platform, Parts::Cpu).len(), count, "{platform}");
        }
        assert_eq!(needed(LinuxX64, Parts::CpuAndCuda).len(), 15);
        assert_eq!(needed(LinuxArm64, Parts::CpuAndCuda).len(), 15);
    }

    #[test]
    fn hashes_are_whole_and_belong_to_one_file_each() {
        let builds = || WHEELS.iter().flat_map(|wheel| wheel.builds);
        for build in builds() {
            let is_hex = build.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            assert!(build.sha256.len() == 64 && is_hex, "{}", build.sha256);
            assert_eq!(builds().filter(|other| other.sha256 == build.sha256).count(), 1);
            assert!(build.megabytes > 0);
        }
    }

    #[test]
    fn members_stay_in_the_folders_of_the_layout() {
        for wheel in WHEELS {
            assert!(!wheel.builds.is_empty(), "{}", wheel.name);
            for member in wheel.members(Parts::CpuAndCuda) {
                let licences =
                    format!("{}-{}.dist-info/licenses/", wheel.name.replace('-', "_"), wheel.version);
                let known =
                    member.starts_with("torch/") || member.starts_with("nvidia/") || member == licences;
                assert!(known, "{member}");
            }
        }
    }

    #[test]
    fn a_name_becomes_a_file_name() {
        let cudnn = WHEELS.iter().find(|wheel| wheel.name == "nvidia-cudnn-cu13").unwrap();
        assert_eq!(cudnn.file_prefix(), "nvidia_cudnn_cu13-9.19.0.56-");
    }
}
