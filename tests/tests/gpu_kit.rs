//! The folder of `cargo xtask gpu-kit` with the built program: packed, unpacked elsewhere, and run there on the CPU for
//! half a minute without any of the caller's environment, with PyTorch where pip puts it.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::ensure;
use serde_json::Value;
use tests::packages::{path_with_pytorch, succeed, xtask};
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
    xtask(&place, &["gpu-kit", "--out", "kit", "--program", "ddpm", "--tests", "gpu-tests"])?;
    fs::create_dir(place.at("elsewhere"))?;
    succeed(Command::new("tar").args(["-cf", "kit.tar", "kit"]).current_dir(place.path()))?;
    fs::remove_dir_all(place.at("kit"))?;
    succeed(Command::new("tar").args(["-xf", "../kit.tar"]).current_dir(place.at("elsewhere")))?;

    let mut run = Command::new(place.at("elsewhere/kit/run"));
    run.args(["--device", "cpu", "--minutes", "0.5", "--out"]).arg(place.at("results")).current_dir("/");
    run.env_clear().env("PATH", path_with_pytorch(&place)?).env("OMP_NUM_THREADS", "1");
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

    xtask(&place, &["gpu-report", "results", "--out", "gpu.md"])?;
    let page = String::from_utf8(place.read("gpu.md")?)?;
    assert!(page.starts_with("# On a GPU\n") && page.contains("| doctor | "), "{page}");
    Ok(())
}
