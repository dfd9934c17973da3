//! `ddpm evaluate` and a run's own evaluations: compares values with independent formulas, and checks the files
//! written.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::Context;
use ndarray::{Array1, Array2, Array4};
use serde_json::Value;
use tests::{Place, arrays};

/// A run whose images have the size of the shipped features, and which evaluates itself at steps 2 and 4.
const TRAIN: &str = "train --preset fashion-28 --run run --set train.batch=4 --set data.limit=40 --set sample.count=2 --set \
                     sample.steps=2 --set train.warmup_steps=1 --set model.base_channels=8 --set train.evaluate_every=2 --set \
                     train.evaluate_count=20 --set train.lr_decay=constant --set precision=f32";

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::shared(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("evaluate")).expect("a folder");
    let _ = place.ddpm(&format!("{TRAIN} --set train.steps=4")).expect("the built program").ok();
    place
});

fn metric<'a>(json: &'a Value, name: &str, reference: &str) -> &'a Value {
    let metrics = json["metrics"].as_array().expect("metrics");
    let found = metrics.iter().find(|metric| metric["name"] == name && metric["reference"] == reference);
    found.unwrap_or_else(|| panic!("no {name} against {reference} in {json}"))
}

/// Rows with a diagonal covariance: each row moves along one axis, by `spread` to either side.
fn rows(spread: [f32; 3], move_by: f32) -> Array2<f32> {
    Array2::from_shape_fn((600, 3), |(i, j)| {
        let sign = if (i / 3) % 2 == 0 { 1.0 } else { -1.0 };
        move_by + if i % 3 == j { sign * spread[j] } else { 0.0 }
    })
}

/// With diagonal covariances: `3 move^2 + sum (s_1 - s_2)^2`, where an axis has variance `spread^2 / 3 * 600 / 599`.
#[test]
fn the_distance_of_given_features_is_that_of_the_formula() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (a, b) = ([1.0, 2.0, 3.0], [2.0, 2.0, 1.0]);
    place.write("a.npz", arrays::npz(&[("features", arrays::npy(&rows(a, 0.0))?)])?)?;
    place.write("b.npz", arrays::npz(&[("features", arrays::npy(&rows(b, 0.5))?)])?)?;
    let said =
        place.ddpm("evaluate --images a.npz --data b.npz --metrics fd,kd,prdc --out out --json")?.json();
    let want = 3.0 * 0.25 + (1.0 + 4.0) * 600.0 / 599.0 / 3.0;
    let fd = metric(&said, "fd", "train")["value"].as_f64().context("a number")?;
    assert!((fd - want).abs() < 1e-6, "{fd} is not {want}");
    // The kernel distance comes from one subset of all rows.
    assert!(metric(&said, "kd", "train")["value"].as_f64().is_some());
    assert_eq!(said["images"], 600);
    assert_eq!(place.names("out"), ["evaluation.json"]);
    let kept: Value = serde_json::from_slice(&place.read("out/evaluation.json")?)?;
    assert_eq!(kept["metrics"], said["metrics"]);

    let same = place.ddpm("evaluate --images a.npz --data a.npz --metrics fd,prdc --json")?.json();
    assert!(metric(&same, "fd", "train")["value"].as_f64().context("a number")?.abs() < 1e-9);
    for (wrong, words) in [
        ("--images a.npz --data fashion-mnist", &["features and images cannot be compared"][..]),
        ("--images a.npz", &["--images", "--data"]),
        ("--images a.npz --data b.npz --metrics bpd", &["--metrics bpd", "--run or --model"]),
        ("--images a.npz --data b.npz --metrics fid", &["--metrics fid", "did you mean fd?"]),
        ("--images a.npz --data b.npz --n 1", &["--n 1", "2 to 1000000"]),
        ("--run run --set data.size=8", &["--set", "--images"]),
    ] {
        place.run(&format!("evaluate {wrong}"))?.expect_refusal(words);
    }
    place.write("c.npz", arrays::npz(&[("features", arrays::npy(&Array1::<f32>::zeros(9))?)])?)?;
    let output = place.run("evaluate --images c.npz --data b.npz")?;
    assert!(
        output.errors()[0].contains("c.npz") && output.errors()[0].contains("[n, width]"),
        "{:?}",
        output.errors()
    );
    let narrow = Array2::<f32>::zeros((600, 2));
    place.write("d.npz", arrays::npz(&[("features", arrays::npy(&narrow)?)])?)?;
    let output = place.run("evaluate --images d.npz --data b.npz")?;
    assert!(output.errors()[0].contains("features of 2 and of 3 numbers"), "{:?}", output.errors());
    Ok(())
}

/// Held-out images have a small distance, noise a large one.
#[test]
fn real_images_are_near_and_noise_is_far() -> anyhow::Result<()> {
    let place = Place::new()?;
    let noise = Array4::<u8>::from_shape_fn((300, 28, 28, 1), |(n, y, x, _)| {
        ((n * 7919 + y * 104_729 + x * 1_299_709).wrapping_mul(2_654_435_761) >> 13) as u8
    });
    place.write("noise.npz", arrays::npz(&[("images", arrays::npy(&noise)?)])?)?;
    let of = |images: &str| -> anyhow::Result<(Value, f64)> {
        let line = format!("evaluate --images {images} --data fashion-mnist --n 300 --json");
        let said = place.ddpm(&line)?.json();
        let fd = metric(&said, "fd", "train")["value"].as_f64().context("a number")?;
        Ok((said, fd))
    };
    let ((real, near), (_, far)) = (of("fashion-mnist:test")?, of("noise.npz")?);
    assert!(near * 10.0 < far, "{near} and {far}");
    assert!(metric(&real, "precision", "train")["value"].as_f64().context("a number")? > 0.5);
    assert_eq!(real["features"]["name"], "fashion features");
    assert_eq!(metric(&real, "fd", "test")["title"], "FD (fashion features)");
    // The samples are the first held-out images: copies of held-out images, not of training images.
    assert_eq!(real["copying"]["flagged"], false);
    // Training images as samples: copies.
    let line = "evaluate --images fashion-mnist:train --data fashion-mnist --set data.limit=300 --n 300 --held-out \
                fashion-mnist:test --metrics copying --json";
    let copies = place.ddpm(line)?.json();
    assert_eq!(copies["copying"]["flagged"], true, "{}", copies["copying"]);
    Ok(())
}

#[test]
fn a_run_is_evaluated_and_keeps_what_was_found() -> anyhow::Result<()> {
    let place = &*PLACE;
    let line = "evaluate --run run --n 24 --steps 2 --bits-images 2 --held-out fashion-mnist:test --out out";
    let said = place.ddpm(&format!("{line} --json"))?.json();
    assert_eq!(
        (&said["step"], &said["images"], &said["steps"]),
        (&Value::from(4), &Value::from(24), &Value::from(2))
    );
    assert_eq!(said["sampler"], "dpmpp-2m");
    for (name, reference) in [("fd", "train"), ("fd", "test"), ("kd", "test"), ("recall", "train")] {
        assert!(metric(&said, name, reference)["value"].is_number());
    }
    assert_eq!(place.names("run/evaluations"), ["nearest-step-00000004.png", "step-00000004.json"]);
    assert_eq!(place.names("out"), ["evaluation.json", "features.npz", "nearest.png", "samples.npz"]);
    // Features of the same samples alone give the same value.
    let _ = place
        .ddpm("evaluate --images fashion-mnist:train --data fashion-mnist --set data.limit=40 --n 40 --metrics fd --out real")?
        .ok();
    let given = "evaluate --images out/features.npz --data real/features.npz --metrics fd --json";
    let (given, of_run) = (place.ddpm(given)?.json(), metric(&said, "fd", "train")["value"].as_f64());
    let given = given["metrics"][0]["value"].as_f64();
    assert!(given.is_some() && given == of_run, "{given:?} and {of_run:?}");

    // The samples match those of `ddpm sample`.
    let _ =
        place.ddpm("sample --run run --count 24 --sampler dpmpp-2m --steps 2 --save npz --out drawn")?.ok();
    let images =
        |file: &str| -> anyhow::Result<_> { Ok(arrays::read_npz(&place.read(file)?)?.remove("images")) };
    assert_eq!(images("out/samples.npz")?, images("drawn/samples.npz")?);
    // The same again, with cached features of the real images.
    let again = place.ddpm(&format!("{line} --json"))?.json();
    assert_eq!(again["metrics"], said["metrics"]);
    let text = place.ddpm(line)?.ok().stdout;
    for part in ["FD (fashion features)", "dpmpp-2m with 2 steps", "95 % interval", "sha256"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    Ok(())
}

#[test]
fn a_run_evaluates_itself_and_keeps_its_best_checkpoint() -> anyhow::Result<()> {
    let place = &*PLACE;
    let lines = |run: &str| -> anyhow::Result<Vec<Value>> {
        let text = String::from_utf8(place.read(&format!("{run}/evaluations.jsonl"))?)?;
        let without_time = |line: &str| -> anyhow::Result<Value> {
            let mut value: Value = serde_json::from_str(line)?;
            let _ = value.as_object_mut().context("an object")?.remove("seconds");
            Ok(value)
        };
        text.lines().map(without_time).collect()
    };
    let whole = lines("run")?;
    assert_eq!(whole.iter().map(|line| line["step"].as_u64()).collect::<Vec<_>>(), [Some(2), Some(4)]);
    for line in &whole {
        assert!(
            line["fd_test"].as_f64().is_some_and(|fd| fd > 0.0) && line["held_out_loss"].is_number(),
            "{line}"
        );
        assert_eq!(line["held_out_by_t"].as_array().map(Vec::len), Some(10));
    }
    let score = |line: &Value| line["fd_test"].as_f64().unwrap_or(f64::INFINITY);
    let best = if score(&whole[1]) < score(&whole[0]) { 4 } else { 2 };
    assert_eq!(place.names("run/best"), [format!("step-{best:08}")]);
    let said = place.ddpm("sample --run run --best --count 1 --steps 2 --out best --json")?.json();
    assert!(
        said["checkpoint"].as_str().is_some_and(|path| path.contains(&format!("best/step-{best:08}"))),
        "{said}"
    );

    // Stopped and resumed, it gives the same evaluations.
    let parts = TRAIN.replace("--run run", "--run parts");
    let _ = place.ddpm(&format!("{parts} --set train.steps=2"))?.ok();
    let _ = place.ddpm("train --run parts --resume --set train.steps=4")?.ok();
    assert_eq!(lines("parts")?, whole);
    // Evaluations do not change the training: a run without them has the same weights.
    let plain = TRAIN.replace("--run run", "--run plain").replace("evaluate_every=2", "evaluate_every=0");
    let _ = place.ddpm(&format!("{plain} --set train.steps=4"))?.ok();
    let weights = |run: &str| place.read(&format!("{run}/checkpoints/step-00000004/ema.safetensors"));
    assert!(weights("run")? == weights("plain")?, "evaluations changed the training");
    place.run("sample --run plain --best --count 1")?.expect_refusal(&["--best", "train.evaluate_every"]);
    Ok(())
}

#[test]
fn images_of_another_size_get_advice() -> anyhow::Result<()> {
    let place = Place::new()?;
    let small =
        Array4::<u8>::from_shape_fn((60, 16, 16, 3), |(n, y, x, c)| (n * 3 + y * 5 + x * 7 + c * 11) as u8);
    place.write("a.npz", arrays::npz(&[("images", arrays::npy(&small)?)])?)?;
    place.write("b.npz", arrays::npz(&[("images", arrays::npy(&small.mapv(|x| 255 - x))?)])?)?;
    place.run("evaluate --images a.npz --data b.npz")?.expect_refusal(&["28x28 grey", "16x16", "--features"]);
    place.write("c.safetensors", b"not weights")?;
    let output = place.run("evaluate --images a.npz --data b.npz --features c.safetensors")?;
    assert!(
        output.errors().len() == 1 && output.errors()[0].contains("c.safetensors"),
        "{:?}",
        output.errors()
    );
    // Pixel metrics need no network.
    let line = "evaluate --images a.npz --data a.npz --held-out b.npz --metrics copying --json";
    assert_eq!(place.ddpm(line)?.json()["copying"]["flagged"], true);
    Ok(())
}
