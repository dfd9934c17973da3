//! Compiles the C++ of `cpp/` against the headers of the libtorch that torch-sys has found, and sets the rpath.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

mod rpath;

use std::env;
use std::path::{Path, PathBuf};

/// Wrappers around libtorch.
const WRAPPERS: &[&str] = &[
    // First, because it takes longest.
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

/// The inner loops, without any header of libtorch, once for each of these: name, floats in a vector, flags.
/// The program picks one when it runs, so it runs on machines that have less than this one.
const BF16: &str = "avx512_bf16";
const BASE: (&str, &str, &[&str]) = ("base", "4", &[]);
const X86: [(&str, &str, &[&str]); 3] = [
    ("avx2", "8", &["-mavx2", "-mfma"]),
    ("avx512", "16", &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"]),
    (BF16, "16", &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma"]),
];

/// The convolution's loops, where the compiler knows these instructions. Linux alone lets a program ask for them.
const AMX: &[&str] = &["-mamx-tile", "-mamx-bf16", "-mavx512f", "-mavx512bw", "-mavx512vl"];

/// `address` builds the C++ with AddressSanitizer, as `cargo xtask test --sanitize` wants it.
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
        // Or a square root is a call, and the loop around it takes one number at a time.
        .flag("-fno-math-errno")
        .files(WRAPPERS);
    build.compile("torch_ext");

    let sets = X86.iter().filter(|_| x86).chain([&BASE]);
    for (name, lanes, flags) in sets {
        let mut build = compiler(x86);
        build.define("TORCH_EXT_ISA", *name).define("TORCH_EXT_LANES", *lanes).flag("-fno-math-errno");
        build.flags(flags.iter()).file("cpp/norm/kernels.cpp");
        // It has no use for the instructions made for bf16.
        if *name != BF16 {
            build.file("cpp/dropout/kernels.cpp");
        }
        build.compile(&format!("torch_ext_{name}"));
    }
    if amx {
        compiler(x86).flags(AMX.iter()).file("cpp/conv/amx.cpp").compile("torch_ext_amx");
    }
}

/// C++17, optimised whatever the profile: the kernels are of no use otherwise.
fn compiler(x86: bool) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").pic(true).opt_level(3).debug(false);
    if sanitized() {
        build.opt_level(1).debug(true).flag("-fsanitize=address").flag("-fno-omit-frame-pointer");
    }
    // libtorch's headers warn about themselves.
    build.warnings(false);
    // at::parallel_for is made of OpenMP pragmas; the GNU runtime is the one libtorch has loaded already.
    // Other compilers would bring a second runtime into the process, so there the kernels take one thread.
    if build.get_compiler().is_like_gnu() {
        build.flag("-fopenmp");
    }
    if x86 {
        build.define("TORCH_EXT_X86", None);
    }
    build
}

/// The folder with `ATen/` in it, found as torch-sys finds it.
fn include_folder() -> PathBuf {
    let variable = |name: &str| {
        println!("cargo:rerun-if-env-changed={name}");
        env::var_os(name).map(PathBuf::from)
    };
    // With LIBTORCH_USE_PYTORCH, LIBTORCH does not count, and only the library folder is known.
    let from_python = variable("LIBTORCH_USE_PYTORCH").is_some();
    let configured = variable("LIBTORCH_INCLUDE").or(variable("LIBTORCH")).filter(|_| !from_python);
    let beside_lib = || {
        let lib = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
        lib.as_deref().and_then(Path::parent).map(Path::to_owned)
    };
    configured.or_else(beside_lib).unwrap_or_else(|| PathBuf::from("/usr")).join("include")
}
