//! `ddpm train --dry-run` reports what would be trained and does none of it.

use anyhow::ensure;
use image::ImageFormat;
use tests::{Place, data};

#[test]
fn a_dry_run_reports_and_does_not_train() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = "train --preset tiny-16 --set data.limit=50 --set train.batch=8 --set train.steps=4000 --dry-run --preview seen.png";
    let said = place.ddpm(&format!("{line} --json"))?.json();
    ensure!(place.names(".") == ["seen.png"], "{:?}", place.names("."));
    ensure!(
        said["dataset"]["images"] == 50 && said["steps"] == 4000 && said["run"] == "runs/tiny-16",
        "{said}"
    );
    let number = |key: &str| said[key].as_f64().unwrap_or(f64::NAN);
    let of_steps = number("step_s") * 4000.0;
    let of_grids = number("grid_s") * number("grids");
    ensure!(number("step_s") > 0.0 && number("peak_mib") > 10.0, "{said}");
    ensure!((number("seconds") - of_steps - of_grids).abs() < 1e-6 * of_steps, "{said}");
    // 50 images in a grid of 8 columns as the network sees them, each as it is or mirrored.
    let seen = image::load_from_memory(&place.read("seen.png")?)?.to_luma8();
    ensure!(seen.pixels().any(|pixel| pixel.0[0] > 200) && seen.width() > 8 * 16, "{:?}", seen.dimensions());

    let text = place.ddpm(line)?.ok().stdout;
    for part in ["10 classes, not used", "model.classes=10", "parameters", "mirrored", "4,000 of 8 images"] {
        ensure!(text.contains(part), "{part}: {text}");
    }
    let told = place.ddpm(&format!("{line} --set model.classes=10"))?.ok().stdout;
    ensure!(told.contains("10 classes, used by the network"), "{told}");
    // The parameter count is that of `inspect model`.
    let model = place.ddpm("inspect model --preset tiny-16 --json")?.json();
    ensure!(model["parameters"] == said["parameters"], "{model}");
    Ok(())
}

/// An existing run is inspected, compared, and left unchanged.
#[test]
fn an_existing_run_is_reported_and_kept() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = "train --preset tiny-16 --set data.limit=50 --set train.batch=8 --set train.steps=3 --run run";
    let _ = place.ddpm(line)?.ok();
    let before = place.read("run/config.toml")?;
    let said = place.ddpm("train --resume --run run --set train.steps=10 --dry-run --json")?.json();
    ensure!(said["steps"] == 10 && said["step"] == 3, "{said}");
    let told = place.ddpm(&format!("{line} --dry-run"))?.ok().stdout;
    ensure!(told.contains("3 of 3 steps done") && told.contains("for 0 steps"), "{told}");
    ensure!(place.read("run/config.toml")? == before);
    for (wrong, words) in [
        (format!("{line} --set train.lr=0.5 --dry-run"), ["--run", "another configuration"]),
        (format!("{line} --dry-run --preview run/config.toml"), ["--preview", ".png"]),
        (format!("{line} --preview seen.png"), ["--preview", "--dry-run"]),
    ] {
        let output = place.ddpm(&wrong)?.expect_code(2);
        ensure!(words.iter().all(|word| output.stderr.contains(word)), "{wrong}: {}", output.stderr);
    }
    ensure!(place.read("run/config.toml")? == before && !place.at("seen.png").exists());
    Ok(())
}

/// Folders of classes train without them unless the flag is given; training also says so at the start.
#[test]
fn unused_labels_are_reported() -> anyhow::Result<()> {
    let place = Place::new()?;
    for class in ["cat", "dog"] {
        for index in 0..4 {
            place.write(
                &format!("photos/{class}/{index}.png"),
                data::colour_file(index, (20, 16), ImageFormat::Png)?,
            )?;
        }
    }
    let line = "train --data photos --set data.size=16 --set model.base_channels=8 --set train.steps=1 --set sample.count=1 --set \
                sample.steps=1 --run run";
    let told = place.ddpm(line)?.ok().stderr;
    ensure!(told.contains("2 classes, not used: --set model.classes=2"), "{told}");
    Ok(())
}
