//! End-to-end tests of `cargo xtask ship` and `cargo xtask finetune-demo`, with a fake `ddpm` that computes nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const CONFIG: &str = "seed = 5\n[train]\nbatch = 64\nlr = 1.5e-3\nema_decay = 0.999\nsteps = 900\nflip = false\n\
                      [images]\ncount = 60000\nsha256 = \"abcdef0123456789\"\n";

struct Place {
    folder: TempDir,
}

impl Place {
    /// A place with a run in `run`.
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let program = place.at("ddpm");
        fs::write(&program, include_str!("fake-ship-ddpm.sh")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(place.at("run/checkpoints")).unwrap();
        fs::write(place.at("run/config.toml"), CONFIG).unwrap();
        fs::write(place.at("run/metrics.jsonl"), "{\"step\": 300, \"images_per_s\": 320}\n").unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// Runs xtask; a word `NAME=1` is a variable for the fake.
    fn xtask(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let (variables, words): (Vec<&str>, Vec<&str>) =
            words.split_whitespace().partition(|word| word.starts_with("FAKE_"));
        command.args(words).arg("--program").arg(self.at("ddpm"));
        command.envs(variables.iter().filter_map(|variable| variable.split_once('=')));
        command.current_dir(self.folder.path()).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_run_becomes_a_model_with_a_card() {
    let place = Place::new();
    let output =
        place.xtask("ship run --data mnist-of-fashion --n 12 --commit c0ffee --machine big --out out");
    assert!(output.status.success(), "{}", said(&output));
    let calls = place.text("calls");
    for call in [
        "export --run run --out out/ship/fashion-28.safetensors --dtype f16 --data=fashion-mnist --json",
        "evaluate --model out/ship/fashion-28.safetensors --data mnist-of-fashion --n 12 --metrics fd,kd,prdc,copying --json",
        "evaluate --images mnist-of-fashion --data mnist-of-fashion:test --n 12 --metrics fd,kd,prdc --json",
        "sample --model out/ship/fashion-28.safetensors --class all --count 80 --seed 0 --save grid --out out/ship/samples --json",
    ] {
        assert!(calls.lines().any(|line| line == call), "{call}\n{calls}");
    }
    assert_eq!(place.text("out/fashion-28.safetensors"), "weights");
    assert_eq!(place.text("out/fashion-28.png"), "picture");
    let facts: Value = serde_json::from_str(&place.text("out/fashion-28.json")).unwrap();
    let training = &facts["training"];
    assert_eq!(facts["file"]["sha256"], sha256(b"weights"));
    assert_eq!((&facts["file"]["bytes"], &facts["file"]["parameters"]), (&7.into(), &77.into()));
    assert_eq!((&training["commit"], &training["machine"]), (&"c0ffee".into(), &"big".into()));
    assert_eq!((&training["steps"], &training["seed"]), (&300.into(), &5.into()));
    // 300 steps of 64 images at 320 images/s.
    assert_eq!(training["seconds"], 60.0);
    let text = facts.to_string();
    assert!(!text.contains("secret") && !text.contains(&place.folder.path().display().to_string()), "{text}");
    let card = place.text("out/fashion-28.md");
    for part in [
        "| fd of fakes | test | 5.500 | - | lower | 0.750 |",
        "300 of 64 images: 19200 images seen",
        "probability 0.503",
        &sha256(b"weights"),
    ] {
        assert!(card.contains(part), "{part}\n{card}");
    }
    // The card follows from the JSON alone.
    fs::remove_file(place.at("out/fashion-28.md")).unwrap();
    let output = place.xtask("ship --page --out out");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(place.text("out/fashion-28.md"), card);
}

#[test]
fn what_cannot_be_shipped_leaves_no_model() {
    let place = Place::new();
    for (words, code, parts) in [
        (
            "ship --data d --out out",
            2,
            ["runs/recipes/shipped/seed-0: expected a run", "cargo xtask recipe shipped"],
        ),
        ("ship run --data d --recipe shiped --out out", 2, ["--recipe shiped", "cargo xtask recipe"]),
        ("ship run --out out", 2, ["--data", "required"]),
        ("ship --page --out none", 1, ["none/fashion-28.json", "no such file"]),
        ("FAKE_LARGE=1 ship run --data d --out out", 1, ["at most 6000000 bytes", "6000001"]),
        ("FAKE_NO_TEST=1 ship run --data d --out out", 1, ["expected fd:test", "test images"]),
    ] {
        let output = place.xtask(words);
        assert_eq!(output.status.code(), Some(code), "{words}: {}", said(&output));
        for part in parts {
            assert!(said(&output).contains(part), "{words}: {}", said(&output));
        }
        assert!(!place.at("out/fashion-28.safetensors").exists(), "{words}");
    }
}

/// An IDX file of u8 values.
fn idx(kind: u8, sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let header = sizes.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, kind].into_iter().chain(header).chain(values.iter().copied()).collect()
}

/// MNIST with this many images in each part, all of the digit 3.
fn mnist(place: &Place, count: usize) {
    fs::create_dir_all(place.at("mnist")).unwrap();
    for part in ["train", "t10k"] {
        let images = idx(3, &[count as u32, 28, 28], &vec![9; count * 784]);
        fs::write(place.at(&format!("mnist/{part}-images-idx3-ubyte")), images).unwrap();
        let labels = idx(1, &[count as u32], &vec![3; count]);
        fs::write(place.at(&format!("mnist/{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[test]
fn both_starts_are_trained_on_the_same_digit() {
    let place = Place::new();
    mnist(&place, 256);
    let output = place.xtask("finetune-demo --data mnist --images 20 --steps 40 --runs demo --out docs");
    assert!(output.status.success(), "{}", said(&output));
    let images = fs::read(place.at("demo/digit-3/images/train-images-idx3-ubyte")).unwrap();
    assert_eq!((images.len(), &images[..8]), (16 + 20 * 784, &[0, 0, 8, 3, 0, 0, 0, 20][..]));
    let calls = place.text("calls");
    let trainings: Vec<&str> = calls.lines().filter(|line| line.starts_with("train ")).collect();
    assert_eq!(trainings.len(), 2, "{calls}");
    for (call, start) in trainings.iter().zip(["--init-from=shipped", "--objective=flow"]) {
        for word in [
            start,
            "--data demo/digit-3/images",
            "train.steps=40",
            "train.evaluate_every=5",
            "train.flip=false",
        ] {
            assert!(call.contains(word), "{word}: {call}");
        }
    }
    assert!(
        calls.contains("compare demo/digit-3/fine-tuned demo/digit-3/from-scratch --count 36"),
        "{calls}"
    );
    assert_eq!(place.text("docs/mnist-3.png"), "pictures");
    let demo: Value = serde_json::from_str(&place.text("docs/mnist-3.json")).unwrap();
    assert_eq!((&demo["images"], &demo["runs"][1]["losses"][0]["loss"]), (&20.into(), &0.5.into()));
    let page = place.text("docs/mnist-3.md");
    assert!(page.contains("| 10 | 0.2500 | 0.5000 |"), "{page}");
}

#[test]
fn a_demonstration_needs_the_digit_and_one_network() {
    let place = Place::new();
    mnist(&place, 256);
    for (words, code, part) in [
        ("finetune-demo --data nowhere", 1, "expected the files of MNIST as downloaded"),
        ("finetune-demo --data mnist --digit 4", 1, "expected 200 images of digit 4, found 0"),
        ("finetune-demo --data mnist --digit 10", 2, "10"),
        ("finetune-demo --data mnist --images 300", 1, "expected 300 images of digit 3, found 256"),
        ("FAKE_OTHER_NETWORK=1 finetune-demo --data mnist --steps 40", 1, "two runs of one network"),
    ] {
        let output = place.xtask(words);
        assert_eq!(output.status.code(), Some(code), "{words}: {}", said(&output));
        assert!(said(&output).contains(part), "{words}: {}", said(&output));
        assert!(!place.at("docs/finetuning").exists(), "{words}");
    }
}
