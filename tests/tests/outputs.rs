//! The output of a sampling that ended early, and paths of all kinds.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests and their helpers may unwrap")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use image::ImageFormat;
use tests::{Output, Place, Running, data, trained};

static TRAINED: LazyLock<Place> =
    LazyLock::new(|| trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("outputs")));

/// A sampling that takes seconds, with short batches.
const LONG: &str = "--count 600 --batch 3 --sampler ddim --steps 4 --seed 5";

/// The number of images in a u8 npy file, which has a header of 128 bytes.
fn in_npy(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
    let count = header.split("'shape': (").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(bytes.len() >= 128 + count * 256, "{header}");
    count
}

fn pngs(place: &Place, folder: &str) -> Vec<String> {
    place
        .names(folder)
        .into_iter()
        .filter(|name| name.ends_with(".png") && !name.starts_with("grid"))
        .collect()
}

/// Starts sampling into `folder` and waits until some images exist.
fn begun(place: &Place, folder: &str, save: &str) -> Running {
    let run = TRAINED.at("run");
    let line = format!("sample --run {} --out {folder} --save {save} {LONG} --json", run.display());
    let mut running = place.start(&line).unwrap();
    let begun = Instant::now();
    while pngs(place, folder).len() < 9 {
        assert!(begun.elapsed() < Duration::from_secs(60) && !running.is_over().unwrap(), "no images");
        std::thread::sleep(Duration::from_millis(2));
    }
    running
}

#[test]
fn a_signal_keeps_what_is_done_and_the_rest_can_be_drawn() {
    let place = Place::new().unwrap();
    let running = begun(&place, "out", "grid,png,npz");
    running.signal("INT").unwrap();
    let output = running.wait_within(Duration::from_secs(60)).unwrap().expect_code(130);
    let said: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let done = said["images"].as_u64().unwrap() as usize;
    assert!((9..600).contains(&done) && said["finished"] == false, "{said}");
    assert!(output.stderr.contains(&format!("stopped after {done} of 600 images")), "{}", output.stderr);
    assert_eq!(pngs(&place, "out").len(), done);
    assert!(place.at("out/samples.npz").is_file() && place.at("out/grid.png").is_file());
    assert!(!place.names("out").iter().any(|name| name.contains("partial") || name.starts_with('.')));

    // Each image equals that of an undisturbed sampling.
    let run = TRAINED.at("run").display().to_string();
    let rest = format!("sample --run {run} --out out --save png {LONG} --start {done}")
        .replace("--count 600", "--count 6");
    let _ = place.ddpm(&rest).unwrap().ok();
    let whole = format!("sample --run {run} --out whole --save png {LONG}");
    let whole =
        whole.replace("--count 600", &format!("--count {}", done + 6)).replace("--batch 3", "--batch 60");
    let _ = place.ddpm(&whole).unwrap().ok();
    assert_eq!(pngs(&place, "out"), pngs(&place, "whole"));
    for name in pngs(&place, "out") {
        assert_eq!(
            place.read(&format!("out/{name}")).unwrap(),
            place.read(&format!("whole/{name}")).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_second_sampling_replaces_the_first_and_nothing_else() {
    let place = Place::new().unwrap();
    let run = TRAINED.at("run").display().to_string();
    let line = format!("sample --run {run} --sampler ddim --steps 2 --save png --out out");
    let _ = place.ddpm(&format!("{line} --count 6")).unwrap().ok();
    fs::copy(place.at("out/00001.png"), place.at("out/photo.png")).unwrap();
    place.write("out/00004.png", "mine").unwrap();
    // One to continue keeps all.
    let output = place.ddpm(&format!("{line} --count 2 --start 2")).unwrap().ok();
    assert!(!output.stderr.contains("removed") && pngs(&place, "out").len() == 7, "{}", output.stderr);
    let output = place.ddpm(&format!("{line} --count 2")).unwrap().ok();
    assert_eq!(pngs(&place, "out"), ["00000.png", "00001.png", "00004.png", "photo.png"]);
    assert!(
        output.stderr.contains("kept 1 image named like a sample, such as 00004.png"),
        "{}",
        output.stderr
    );
    assert_eq!(place.read("out/00004.png").unwrap(), b"mine");
    // A file that is read is not removed either.
    let fill = "--box 0,0,4,4 --resample 1 --sampler ddim --steps 4 --count 1 --save png --out out";
    let image = "--image out/00001.png";
    let _ = place.ddpm(&format!("edit inpaint --run {run} {image} {fill}")).unwrap().ok();
    assert_eq!(pngs(&place, "out"), ["00000.png", "00001.png", "00004.png", "photo.png"]);
}

#[test]
fn a_kill_keeps_what_is_done() {
    let place = Place::new().unwrap();
    let running = begun(&place, "out", "png,npz");
    running.signal("KILL").unwrap();
    assert_eq!(running.wait().unwrap().signal, Some(9));
    let (images, count) = (pngs(&place, "out").len(), in_npy(&place.at("out/samples.partial-00000.npy")));
    // The PNG files of a batch are written first.
    assert!(count >= 6 && images >= count && images < count + 6, "{images} {count}");
}

#[test]
fn a_full_disk_keeps_what_is_done() {
    let place = Place::new().unwrap();
    let run = TRAINED.at("run").display().to_string();
    let line = format!("sample --run {run} --out out --save npz {LONG} --device cpu --threads 1");
    let program = place.command(&line).unwrap();
    let mut shell = Command::new("sh");
    // 50 blocks of 512 bytes: about 100 images of 256.
    shell.args(["-c", "ulimit -f 50; exec \"$0\" \"$@\""]).arg(program.get_program());
    shell.args(program.get_args()).current_dir(place.path()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = Running::start(&line, &mut shell).unwrap().wait_within(Duration::from_secs(60)).unwrap();
    let output = output.expect_code(6);
    assert!(output.errors()[0].contains("samples.partial-00000.npy"), "{}", output.stderr);
    let count = in_npy(&place.at("out/samples.partial-00000.npy"));
    assert!((90..=100).contains(&count), "{count}");
    let size = fs::metadata(place.at("out/samples.partial-00000.npy")).unwrap().len();
    assert_eq!(size, 128 + 256 * count as u64);
}

#[test]
fn edits_are_saved_batch_by_batch_too() {
    let place = Place::new().unwrap();
    let run = TRAINED.at("run").display().to_string();
    for verb in ["vary --t-start 900", "inpaint --box 0,0,8,8 --resample 1"] {
        let line = format!(
            "edit {verb} --run {run} --index 0 --count 600 --batch 3 --sampler ddim --steps 4 --save png,npz --out out --json"
        );
        let mut running = place.start(&line).unwrap();
        let folder = if verb.starts_with("vary") { "out/t-0900" } else { "out" };
        let begun = Instant::now();
        while pngs(&place, folder).len() < 6 {
            assert!(
                begun.elapsed() < Duration::from_secs(60) && !running.is_over().unwrap(),
                "{verb}: no images"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        running.signal("TERM").unwrap();
        let _ = running.wait_within(Duration::from_secs(60)).unwrap().expect_code(143);
        assert!(place.at(&format!("{folder}/samples.npz")).is_file(), "{verb}");
        fs::remove_dir_all(place.at("out")).unwrap();
    }
}

/// Runs the program with arbitrary argument bytes in a folder.
fn with_args(place: &Place, folder: &Path, line: &str, args: &[&OsStr]) -> Output {
    let mut command = place.command(&format!("{line} --device cpu --threads 1")).unwrap();
    command.args(args).current_dir(folder);
    Running::start(line, &mut command).unwrap().wait_within(Duration::from_secs(60)).unwrap()
}

const TRAIN: &str = "train --preset tiny-16 --set train.steps=1 --set train.batch=2 --set sample.count=1 --set sample.steps=1 \
                     --set precision=f32";

fn photos(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for n in 0..4 {
        fs::write(folder.join(format!("{n}.png")), data::grey_file(n, (16, 16), ImageFormat::Png).unwrap())
            .unwrap();
    }
}

#[test]
fn a_tilde_is_the_home_folder() {
    let place = Place::new().unwrap();
    photos(&place.at("home/photos"));
    photos(&place.at("home/parts/train"));
    place.write("config.toml", "[data]\nsource = \"~/photos\"\n").unwrap();
    let calls = [
        "--config config.toml --run=~/a",
        "--data=~/photos --run=~/b",
        "--set data.source=~/photos --run=~/c",
        "--data=~/parts:train --run=~/d",
    ];
    for call in calls {
        let _ = place.ddpm(&format!("{TRAIN} {call}")).unwrap().ok();
        let run = call.rsplit("~/").next().unwrap();
        let config = String::from_utf8(place.read(&format!("home/{run}/config.toml")).unwrap()).unwrap();
        let name = if call.contains("parts") { "home/parts" } else { "home/photos" };
        let source = place.at(name).display().to_string();
        assert!(config.contains(&format!("source = \"{source}")), "{config}");
        let _ = place.ddpm(&format!("inspect checkpoint ~/{run}")).unwrap().ok();
    }
    assert!(!place.at("~").exists());
    // Without HOME, `~` has no meaning; `./~` is a file name.
    let _ = place.ddpm(&format!("{TRAIN} --data ~/photos --run ./~/a")).unwrap().ok();
    assert!(place.at("~/a/config.toml").is_file());
}

#[test]
fn names_of_any_bytes_can_be_written_to() {
    let place = Place::new().unwrap();
    let strange = |name: &str| OsString::from_vec([b"\xff ", name.as_bytes(), b"\n"].concat());
    // Those names in JSON.
    let replaced = |name: &str| format!("\u{fffd} {name}\n");
    let run = strange("run");
    photos(&place.at("photos"));
    let trained = with_args(
        &place,
        place.path(),
        &format!("{TRAIN} --set train.ema_sigma_rels=[0.1] --data photos --json"),
        &[OsStr::new("--run"), &run],
    );
    assert_eq!(trained.json()["run"], replaced("run"));
    let (args, out) = ([OsStr::new("--run"), run.as_os_str(), OsStr::new("--out")], strange("out"));
    let args = [&args[..], &[out.as_os_str()]].concat();
    let said = with_args(
        &place,
        place.path(),
        "sample --count 1 --sampler ddim --steps 1 --save grid,png,npz --json",
        &args,
    );
    let said = said.json();
    assert_eq!(said["out"], replaced("out"));
    for (key, folder) in [("first_file", "out"), ("checkpoint", "run")] {
        assert!(said[key].as_str().unwrap().starts_with(&replaced(folder)), "{key}: {said}");
    }
    assert_eq!(fs::read_dir(place.path().join(&out)).unwrap().count(), 3);
    for (line, file) in [("inspect schedule --json", "a.npz"), ("inspect embedding --json", "b.npy")] {
        let said = with_args(&place, place.path(), line, &[OsStr::new("--out"), &strange(file)]).json();
        assert!(place.path().join(strange(file)).is_file() && said["out"] == replaced(file), "{said}");
    }
    // Of a run named so: an average, and an exported file.
    for (line, name) in [("ema --sigma-rel 0.1 --json", "ema"), ("export --json", "file")] {
        let out = strange(name);
        let args = [OsStr::new("--run"), run.as_os_str(), OsStr::new("--out"), out.as_os_str()];
        let said = with_args(&place, place.path(), line, &args).json();
        assert!(said["out"].as_str().unwrap().starts_with(&replaced(name)), "{line}: {said}");
        let key = if name == "ema" { "run" } else { "checkpoint" };
        assert!(said[key].as_str().unwrap().starts_with(&replaced("run")), "{line}: {said}");
    }
    for line in [
        "edit vary --index 0 --t-start 2 --steps 2 --count 1",
        "edit encode --index 0 --steps 2",
        "figures --only 1",
    ] {
        let _ = with_args(&place, place.path(), &format!("{line} --json"), &args).ok();
    }
    let checkpoint = place.path().join(&run).join("checkpoints/step-00000001");
    for path in [place.path().join(&run), checkpoint.clone(), checkpoint.join("model.safetensors")] {
        let said = with_args(&place, place.path(), "inspect checkpoint --json", &[path.as_os_str()]).json();
        let shown = said.get("checkpoint").or(said.get("run")).unwrap();
        assert!(shown.as_str().unwrap().contains(&replaced("run")), "{said}");
    }
}

#[test]
fn data_below_a_folder_of_any_bytes() {
    let place = Place::new().unwrap();
    let folder: PathBuf = place.path().join(OsStr::from_bytes(b"here\xff"));
    photos(&folder.join("photos"));
    let _ = with_args(&place, &folder, &format!("{TRAIN} --data photos --run run"), &[]).ok();
    let resumed = "train --resume --run run --set train.steps=2";
    let _ = with_args(&place, &folder, resumed, &[]).ok();
    // A configuration cannot hold such a name.
    let refused =
        with_args(&place, place.path(), TRAIN, &[OsStr::new("--data"), folder.join("photos").as_os_str()]);
    let refused = refused.expect_code(2);
    assert!(
        refused.stderr.contains("--data") && refused.stderr.contains("expected UTF-8"),
        "{}",
        refused.stderr
    );
    assert!(!place.at("runs").exists());
}

#[test]
fn an_invalid_path_is_refused_at_once() {
    let place = Place::new().unwrap();
    let long = "x/".repeat(2500);
    for (line, args) in [
        (TRAIN, ["--run", ""]),
        (TRAIN, ["--data", ""]),
        ("sample --run nowhere", ["--out", ""]),
        ("sample --run nowhere", ["--out", long.as_str()]),
        (TRAIN, ["--run", long.as_str()]),
        ("inspect schedule", ["--out", "a/"]),
        ("inspect schedule", ["--out", "a/.."]),
        ("inspect schedule", ["--out", long.trim_end_matches('/')]),
        ("sample --run nowhere", ["--preview", ""]),
    ] {
        let output = with_args(&place, place.path(), line, &args.map(OsStr::new)).expect_code(2);
        assert!(output.stderr.contains(args[0]), "{line} {args:?}: {}", output.stderr);
    }
    assert!(place.names(".").is_empty(), "{:?}", place.names("."));
}

/// No output replaces a file that the command reads.
#[test]
fn an_input_is_never_an_output() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("inputs"));
    let _ = place.ddpm("sample --run run --count 4 --steps 2 --save npz --out own")?.ok();
    let _ = place.ddpm("export --run run --out model.safetensors")?.ok();
    let noise = ndarray::Array4::<f32>::zeros((2, 1, 16, 16));
    place.write("x.npy", tests::arrays::npy(&noise)?)?;
    place.write("t.npy", tests::arrays::npy(&ndarray::array![3_i64, 4])?)?;
    std::os::unix::fs::symlink(place.at("x.npy"), place.at("link.npy"))?;
    for (line, file) in [
        (
            "evaluate --images own/samples.npz --data fashion-mnist --metrics copying --out own",
            "own/samples.npz",
        ),
        (
            "evaluate --images fashion-mnist:test --data own/samples.npz --metrics copying --out own",
            "own/samples.npz",
        ),
        ("train-features --data own/samples.npz --epochs 1 --out own/samples.npz", "own/samples.npz"),
        ("export --model model.safetensors --out model.safetensors", "model.safetensors"),
        ("predict --run run --x x.npy --t t.npy --out x.npy", "x.npy"),
        ("predict --run run --x link.npy --t t.npy --out x.npy", "x.npy"),
    ] {
        let before = place.read(file)?;
        let output = place.ddpm(line)?;
        output.expect_refusal(&[file, "also read"]);
        anyhow::ensure!(place.read(file)? == before, "{line}");
    }
    Ok(())
}

/// The images of a folder are inputs, also where a name of a result is among them.
#[test]
fn a_folder_of_images_is_never_an_output() -> anyhow::Result<()> {
    let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("photos"));
    for folder in ["photos/cats", "photos/dogs"] {
        photos(&place.at(folder));
        fs::rename(place.at(&format!("{folder}/1.png")), place.at(&format!("{folder}/grid.png")))?;
        fs::rename(place.at(&format!("{folder}/3.png")), place.at(&format!("{folder}/00001.png")))?;
    }
    let _ = place.ddpm(&format!("{TRAIN} --data photos --run own"))?.ok();
    let files = || -> anyhow::Result<Vec<String>> {
        let mut hashes = Vec::new();
        for folder in ["photos", "photos/cats", "photos/dogs"] {
            for name in place.names(folder).into_iter().filter(|name| name.ends_with(".png")) {
                hashes.push(format!("{name} {}", place.sha256(&format!("{folder}/{name}"))?));
            }
        }
        Ok(hashes)
    };
    let before = files()?;
    anyhow::ensure!(before.len() == 8, "{before:?}");
    let fill = "--box 0,0,4,4 --resample 1 --sampler ddim --steps 4 --count 2";
    for (line, words) in [
        (
            format!("edit inpaint --run run --data photos --index 0 {fill} --out photos"),
            ["--out photos:", "--data"],
        ),
        (
            format!("edit inpaint --run own --index 0 {fill} --out photos"),
            ["--out photos:", "the data of the run"],
        ),
        (
            format!("edit inpaint --run own --index 0 {fill} --out photos/cats"),
            ["cats/grid.png", "the data of"],
        ),
        (
            format!("edit inpaint --run own --index 0 {fill} --save png --out photos/dogs"),
            ["dogs/00001.png", "the data of the run"],
        ),
        (
            format!(
                "edit inpaint --run own --image photos/dogs/00001.png {fill} --save png --out photos/dogs"
            ),
            ["dogs/00001.png", "--image"],
        ),
        (
            "edit vary --run own --index 0 --t-start 900 --sampler ddim --steps 4 --count 1 --out photos"
                .to_owned(),
            ["--out photos:", "the data of the run"],
        ),
        (format!("{TRAIN} --data photos --run photos"), ["--run photos:", "--data"]),
        (format!("{TRAIN} --set data.source=photos --run photos"), ["--run photos:", "data.source"]),
        ("inspect data --data photos --out photos/cats/grid.png".to_owned(), ["cats/grid.png", "--data"]),
    ] {
        let [place_of, reader] = words;
        place.ddpm(&line)?.expect_refusal(&[place_of, "also read", reader, "choose another --"]);
        anyhow::ensure!(files()? == before, "{line}");
    }
    anyhow::ensure!(place.names("photos") == ["cats", "dogs"], "{:?}", place.names("photos"));
    Ok(())
}
