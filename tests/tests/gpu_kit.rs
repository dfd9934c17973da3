//! The folder of `cargo xtask gpu-kit` with the built program: packed, unpacked elsewhere, and run there on the CPU for
//! half a minute without any of the caller's environment, with PyTorch where pip puts it.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Place, program};

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A virtual environment with PyTorch 2.11 as pip leaves it, as far as the folder looks: what the package is called, and
/// its libraries, here those of `libtorch`. Returns its folder of programs.
fn python_with(libtorch: &Path, place: &Place) -> anyhow::Result<OsString> {
    let mut python = Command::new("python3");
    succeed(python.args(["-m", "venv", "--without-pip"]).arg(place.at("venv")))?;
    let versions = place.names("venv/lib");
    let version =
        versions.iter().find(|name| name.starts_with("python3")).context("no python3 in venv/lib")?;
    let packages = format!("venv/lib/{version}/site-packages");
    place.write(&format!("{packages}/torch/__init__.py"), "raise ImportError('nothing here needs it')\n")?;
    let facts = "Metadata-Version: 2.1\nName: torch\nVersion: 2.11.0+cpu\n";
    place.write(&format!("{packages}/torch-2.11.0+cpu.dist-info/METADATA"), facts)?;
    symlink(libtorch.join("lib"), place.at(&format!("{packages}/torch/lib")))?;
    // The CUDA libraries, which these libraries expect beside their package.
    let cuda = libtorch.join("../nvidia");
    if cuda.is_dir() {
        symlink(cuda, place.at(&format!("{packages}/nvidia")))?;
    }
    Ok(place.at("venv/bin").into_os_string())
}

#[test]
fn the_folder_runs_elsewhere_and_reports() -> anyhow::Result<()> {
    let place = Place::new()?;
    // A debug build is larger than the folder may be, so a script stands for it.
    let script = |name: &str, text: String| -> anyhow::Result<()> {
        let path = place.write(name, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    };
    script("ddpm", format!("#!/bin/sh\nexec \"{}\" \"$@\"\n", program()?.display()))?;
    fs::create_dir(place.at("gpu-tests"))?;
    script("gpu-tests/unet", "#!/bin/sh\necho 0 tests\n".to_owned())?;
    let test = std::env::current_exe()?;
    let xtask = test.ancestors().nth(2).context("the test is not in a build folder")?.join("xtask");
    ensure!(
        xtask.is_file(),
        "{}: expected xtask, found none; build it with `cargo build -p xtask`",
        xtask.display()
    );
    let xtask = |words: &[&str]| -> anyhow::Result<()> {
        let mut command = Command::new(&xtask);
        command.args(words).current_dir(place.path()).env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
        succeed(&mut command)
    };
    xtask(&["gpu-kit", "--out", "kit", "--program", "ddpm", "--tests", "gpu-tests"])?;
    fs::create_dir(place.at("elsewhere"))?;
    succeed(Command::new("tar").args(["-cf", "kit.tar", "kit"]).current_dir(place.path()))?;
    fs::remove_dir_all(place.at("kit"))?;
    succeed(Command::new("tar").args(["-xf", "../kit.tar"]).current_dir(place.at("elsewhere")))?;

    let mut run = Command::new(place.at("elsewhere/kit/run"));
    run.args(["--device", "cpu", "--minutes", "0.5", "--out"]).arg(place.at("results")).current_dir("/");
    let mut path = std::env::var_os("PATH").context("no PATH")?;
    // Without it the tested libtorch is that of python3 itself.
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from);
    if let Some(home) = libtorch.filter(|home| home.join("lib/libtorch_cpu.so").is_file()) {
        let mut first = python_with(&home, &place)?;
        first.push(":");
        first.push(&path);
        path = first;
    }
    run.env_clear().env("PATH", path).env("OMP_NUM_THREADS", "1");
    let output = run.output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{said}");

    let text = String::from_utf8(place.read("results/results.jsonl")?)?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let stages: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "stage").collect();
    let names: Vec<&str> = stages.iter().filter_map(|line| line["stage"].as_str()).collect();
    assert_eq!(names, ["doctor", "tests", "compare", "robust", "speed", "training"], "{said}");
    // On a slow machine a stage may be cut, but nothing may fail.
    assert!(stages.iter().all(|line| line["outcome"] != "FAILED"), "{said}");
    assert!(lines.iter().all(|line| line["ok"] != false), "{text}");

    xtask(&["gpu-report", "results", "--out", "gpu.md"])?;
    let page = String::from_utf8(place.read("gpu.md")?)?;
    assert!(page.starts_with("# On a GPU\n") && page.contains("| doctor | "), "{page}");
    Ok(())
}
