//! `ddpm export --format onnx`: the content of the file, and its flags. The test `onnx` of `unet` checks the network's
//! predictions.

use std::path::Path;

use anyhow::ensure;
use tests::trained;

/// A free dimension of a tensor: field 2, of 5 bytes.
const FREE: &str = "\u{12}\u{5}batch";

fn holds(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_run_becomes_a_file_of_onnx() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("onnx"));
    let said = place.ddpm("export --run run --format onnx --json")?.json();
    ensure!(said["out"] == "out/model.onnx" && said["step"] == 6, "{said}");
    let file = place.read("out/model.onnx")?;
    ensure!(said["bytes"] == file.len(), "{said}: {} bytes", file.len());
    // `interchange` checks the parts; this checks the metadata of the run.
    for text in ["ddpm.config", "[schedule]", "ddpm.step", "trained for 6 steps", "t is 0 to 999", FREE] {
        ensure!(holds(&file, text), "{text} is not in the file");
    }
    // The same model gives the same file, whatever its source.
    let _ = place.ddpm("export --run run --out run.safetensors")?.ok();
    let _ = place.ddpm("export --model run.safetensors --format onnx --out again.onnx")?.ok();
    ensure!(place.read("again.onnx")? == file);
    let _ = place.ddpm("export --run run --weights raw --format onnx --out raw.onnx")?.ok();
    ensure!(place.read("raw.onnx")? != file);
    let _ = place.ddpm("export --run run --format onnx --batch 3 --out three.onnx")?.ok();
    ensure!(!holds(&place.read("three.onnx")?, FREE), "the batch size should be fixed");
    for (line, word) in [
        ("export --run run --format onnx --folder x", "--folder x"),
        ("export --run run --format diffusers --out x", "--out x"),
        ("export --run run --batch 3", "--batch 3"),
        ("export --run run --format onnx --dtype f16 --out x", "--dtype f16"),
        ("export --run run --format diffusers --dtype bf16 --folder x", "--dtype bf16"),
        ("export --run run --format onnx --data fashion-mnist --out x", "--data fashion-mnist"),
        ("export --run run --format onnx --batch 0 --out x", "--batch"),
    ] {
        let output = place.ddpm(line)?;
        let errors = output.errors();
        ensure!(output.code == Some(2) && errors[0].contains(word), "{line}: {:?} {errors:?}", output.code);
        ensure!(!place.at("x").exists(), "{line}");
    }
    Ok(())
}
