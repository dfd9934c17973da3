//! Compiles the C++ of `cpp/` against the headers of the libtorch that torch-sys found, and sets the rpath.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

mod rpath;

use std::env;
use std::path::{Path, PathBuf};

/// Wrappers around libtorch.
const WRAPPERS: &[&str] = &[
    // First, because it takes the longest to compile.
    "cpp/libtorch.cpp",
    "cpp/adam.cpp",
    "cpp/device/graph.cpp",
    "cpp/device/stream.cpp",
    "cpp/device/tf32.cpp",
    "cpp/error.cpp",
    "cpp/inference.cpp",
    "cpp/isa.cpp",
    "cpp/memory.cpp",
    "cpp/conv/dispatch.cpp",
    "cpp/conv/wgrad.cpp",
    "cpp/norm/dispatch.cpp",
    "cpp/norm/norm.cpp",
];

/// The inner loops, which include no header of libtorch, compiled once for each entry: name, floats per vector, flags.
/// The program selects one at run time, so it also runs on machines with fewer instructions than the build machine.
const BF16: &str = "avx512_bf16";
const BASE: (&str, &str, &[&str]) = ("base", "4", &[]);
const X86: [(&str, &str, &[&str]); 3] = [
    ("avx2", "8", &["-mavx2", "-mfma"]),
    ("avx512", "16", &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"]),
    (BF16, "16", &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma"]),
];

/// The convolution's loops, if the compiler supports these instructions. Only Linux lets a program request them.
const AMX: &[&str] = &["-mamx-tile", "-mamx-bf16", "-mavx512f", "-mavx512bw", "-mavx512vl"];

/// `address` builds the C++ with AddressSanitizer, for `cargo xtask test --sanitize`.
const SANITIZE: &str = "TORCH_EXT_SANITIZE";

fn sanitized() -> bool {
    env::var(SANITIZE).is_ok_and(|value| value == "address")
}

fn main() {
    rpath::main();
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-env-changed={SANITIZE}");
    if sanitized() {
        println!("cargo:rustc-link-lib=dylib=asan");
    }

    let x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let include = include_folder();
    let amx = x86 && env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") && {
        let build = compiler(x86);
        AMX.iter().all(|flag| build.is_flag_supported(flag).unwrap_or(false))
    };
    let mut build = compiler(x86);
    if amx {
        build.define("TORCH_EXT_AMX", None);
    }
    build
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        // Otherwise a square root is a call, and the loop around it is not vectorised.
        .flag("-fno-math-errno")
        .files(WRAPPERS);
    build.compile("torch_ext");
    // Separately, for the folder that stands in for Gloo's headers.
    let mut collective = compiler(x86);
    collective.include(&include).include(include.join("torch/csrc/api/include")).include("cpp/collective");
    collective.define("_GLIBCXX_USE_CXX11_ABI", "1").file("cpp/collective/collective.cpp");
    collective.compile("torch_ext_collective");

    let sets = X86.iter().filter(|_| x86).chain([&BASE]);
    for (name, lanes, flags) in sets {
        let mut build = compiler(x86);
        build.define("TORCH_EXT_ISA", *name).define("TORCH_EXT_LANES", *lanes).flag("-fno-math-errno");
        build.flags(flags.iter()).file("cpp/norm/kernels.cpp");
        // Dropout does not use the bf16 instructions.
        if *name != BF16 {
            build.file("cpp/dropout/kernels.cpp");
        }
        build.compile(&format!("torch_ext_{name}"));
    }
    if amx {
        compiler(x86).flags(AMX.iter()).file("cpp/conv/amx.cpp").compile("torch_ext_amx");
    }
}

/// C++17, optimised in every profile: without optimisation the kernels are useless.
fn compiler(x86: bool) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").pic(true).opt_level(3).debug(false);
    if sanitized() {
        build.opt_level(1).debug(true).flag("-fsanitize=address").flag("-fno-omit-frame-pointer");
    }
    // libtorch's own headers cause warnings.
    build.warnings(false);
    // at::parallel_for uses OpenMP pragmas, and libtorch has already loaded the GNU runtime. Other compilers would
    // bring a second runtime into the process, so there the kernels use one thread.
    if build.get_compiler().is_like_gnu() {
        build.flag("-fopenmp");
    }
    if x86 {
        build.define("TORCH_EXT_X86", None);
    }
    build
}

/// The folder that contains `ATen/`, found in the same way as torch-sys does.
fn include_folder() -> PathBuf {
    let variable = |name: &str| {
        println!("cargo:rerun-if-env-changed={name}");
        env::var_os(name).map(PathBuf::from)
    };
    // With LIBTORCH_USE_PYTORCH, LIBTORCH is ignored and only the library folder is known.
    let from_python = variable("LIBTORCH_USE_PYTORCH").is_some();
    let configured = variable("LIBTORCH_INCLUDE").or(variable("LIBTORCH")).filter(|_| !from_python);
    let beside_lib = || {
        let lib = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
        lib.as_deref().and_then(Path::parent).map(Path::to_owned)
    };
    configured.or_else(beside_lib).unwrap_or_else(|| PathBuf::from("/usr")).join("include")
}
