//! Files from runs of earlier versions load with their original meaning.

use config::{UserFile, from_toml, read_run, to_toml};

/// The file that version 0.1.0 wrote for `ddpm train --preset tiny-16`.
const TINY_16: &str = include_str!("old_runs/tiny-16.toml");

#[test]
fn a_run_of_0_1_0_loads() {
    let config = from_toml(TINY_16).unwrap();
    config.validate().unwrap();
    assert_eq!((config.model.channel_mults.as_slice(), config.model.time_channels), (&[1, 2][..], 64));
    assert_eq!((config.train.lr, config.train.adam_eps, config.data.pad_to_multiple), (2e-3, 1e-8, Some(2)));
    assert_eq!(config.images.as_ref().map(|images| images.count), Some(10_000));
    // Keys added later have the value that was the only one then.
    let later = to_toml(&config).unwrap();
    let later = later.replace("on_nan = \"stop\"\n", "").replace("micro_batch = 0\n", "");
    let later =
        later.replace("checkpoint_activations = false\n", "").replace("loss_weight = \"simple\"\n", "");
    let later = later.replace("kind = \"unet\"\n", "");
    assert_eq!(later, TINY_16);
}

#[test]
fn files_without_later_keys_load() {
    let without = TINY_16.replace("label_dropout = 0.0\n", "").replace("time_channels = 64\n", "");
    let config = from_toml(&without).unwrap();
    assert_eq!((config.train.label_dropout, config.model.time_width()), (0.0, 64));
}

#[test]
fn errors_name_the_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let message = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let error = read_run(&path).unwrap_err();
        assert!(!error.is_usage(), "a damaged run is no mistake of usage: {error}");
        error.to_string()
    };
    let name = path.display().to_string();
    let line =
        |text: &str, line: usize| assert!(message(text).starts_with(&format!("{name}: line {line}: ")));
    line(&TINY_16.replace("precision = ", "precison = "), 2);
    line(&TINY_16.replace("steps = 1000", "steps = -1"), 13);
    let hurt = message(&TINY_16.replace("height = 16", "height = 9223372036854775807"));
    assert!(hurt.contains("images.height = 9223372036854775807: expected 1 to 65536"), "{hurt}");
    let border = message(&TINY_16.replacen("    0,\n", "    9223372036854775807,\n", 2));
    assert!(border.contains("images.padding"), "{border}");
    assert!(message(&TINY_16[..400]).starts_with(&name));
    std::fs::remove_file(&path).unwrap();
    let missing = read_run(&path).unwrap_err();
    assert!(!missing.is_usage() && missing.to_string().starts_with(&name), "{missing}");
    let missing = UserFile::read(&path).unwrap_err();
    assert!(
        missing.is_usage() && missing.to_string().starts_with(&format!("--config {name}: ")),
        "{missing}"
    );
}
