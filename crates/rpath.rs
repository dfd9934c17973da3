//! Build script shared by the crates that link libtorch: a program or test finds the libtorch it was
//! built with by its rpath, so nobody has to set LD_LIBRARY_PATH.

#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

use std::env;

pub(crate) fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys passes its library folder on to the crates that depend on it directly.
    let lib = env::var("DEP_TCH_LIBTORCH_LIB");
    let unix = env::var("CARGO_CFG_UNIX").is_ok();
    if let (Ok(lib), true) = (lib, unix) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
