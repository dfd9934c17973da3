//! The folder of `cargo xtask gpu-kit` with the built program: moved elsewhere, and run there on the CPU for half a minute
//! without any of the caller's environment.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Place, program};

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
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    xtask(&["gpu-kit", "--out", "kit", "--program", "ddpm", "--tests", "gpu-tests"])?;
    fs::create_dir(place.at("elsewhere"))?;
    fs::rename(place.at("kit"), place.at("elsewhere/kit"))?;

    let mut run = Command::new(place.at("elsewhere/kit/run"));
    run.args(["--device", "cpu", "--minutes", "0.5", "--out"]).arg(place.at("results")).current_dir("/");
    run.env_clear().env("PATH", std::env::var_os("PATH").context("no PATH")?).env("OMP_NUM_THREADS", "1");
    // Without it the folder takes the PyTorch of python3.
    let libtorch = std::env::var_os("LIBTORCH").map(|home| Path::new(&home).join("lib"));
    if let Some(lib) = libtorch.filter(|lib| lib.join("libtorch_cpu.so").is_file()) {
        run.env("LD_LIBRARY_PATH", lib);
    }
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
