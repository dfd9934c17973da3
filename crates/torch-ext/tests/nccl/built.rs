//! The stand-in for NCCL, compiled for a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A shared library in a folder of its own, which goes when this is dropped.
pub(crate) struct Built {
    folder: PathBuf,
    pub(crate) path: PathBuf,
}

impl Drop for Built {
    fn drop(&mut self) {
        // What is left is in the build's own folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Compiles the stand-in with these macros; `name` differs from that of every other test.
pub(crate) fn stand_in(name: &str, macros: &[&str]) -> Built {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nccl-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (source, path) = (folder.join("stand_in.cpp"), folder.join("libstand_in.so"));
    fs::write(&source, include_str!("stand_in.cpp")).unwrap();
    let mut compiler = Command::new(env::var_os("CXX").unwrap_or_else(|| "c++".into()));
    compiler.args(["-std=c++17", "-shared", "-fPIC", "-pthread"]);
    compiler.args(macros.iter().map(|name| format!("-D{name}")));
    assert!(compiler.arg(&source).arg("-o").arg(&path).status().unwrap().success());
    Built { folder, path }
}
