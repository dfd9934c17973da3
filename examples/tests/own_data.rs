//! The program from outside: a folder of images becomes new images, and mistakes are named.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};

use dataset::ndarray::Array3;
use dataset::{Fit, read_image, save_png};

fn own_data(arguments: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_own_data")).args(arguments).output().unwrap()
}

fn error_of(arguments: &[&OsStr]) -> String {
    let output = own_data(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_folder_of_images_becomes_new_images() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, out) = (folder.path().join("photos"), folder.path().join("out"));
    for shade in 0..3_u8 {
        let image = Array3::from_shape_fn((40, 36, 3), |(y, x, k)| 60 * shade + (y + x + k) as u8);
        save_png(&photos.join(format!("{shade}.png")), image.view()).unwrap();
    }
    let output = own_data(&[photos.as_ref(), out.as_ref(), "2".as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let loss: f64 = said.strip_prefix("step 2: loss ").unwrap().trim().parse().unwrap();
    // A fresh network predicts 0, so its error is the variance of the noise.
    assert!((loss - 1.0).abs() < 0.2, "{said}");

    let mut images = Vec::new();
    for index in 0..8 {
        let path = out.join(format!("{index}.png"));
        let image = read_image(&path, None, Some(3), Fit::Crop).unwrap();
        assert_eq!(image.dim(), (32, 32, 3));
        assert!(!images.contains(&image), "{index}: two equal images");
        images.push(image);
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 8);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, out) = (folder.path().join("no-such-folder"), folder.path().join("out"));
    assert!(error_of(&[]).contains("expected FOLDER OUT [STEPS]"));
    assert!(error_of(&[missing.as_ref(), out.as_ref()]).contains("no-such-folder"));
    assert!(error_of(&[folder.path().as_ref(), out.as_ref(), "many".as_ref()]).contains("InvalidDigit"));
    assert!(!out.exists());
}
