//! No text makes this crate panic; it reads what it writes; an override changes only the key it names.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use config::{
    Config, ConfigError, ImageShape, Layers, PRESETS, UserFile, differences, from_toml, parse, parse_set,
    to_toml,
};
use proptest::prelude::*;

const DUMP: &str = include_str!("old_runs/tiny-16.toml");

/// Every key that a user can set, and some that do not exist.
const KEYS: &[&str] = &[
    "seed",
    "precision",
    "preset",
    "data",
    "data.source",
    "data.size",
    "data.channels",
    "data.fit",
    "data.pad_to_multiple",
    "data.limit",
    "data.on_bad",
    "data.unpacked_limit",
    "data.memory",
    "data.order",
    "data.shuffle_buffer",
    "schedule",
    "schedule.kind",
    "schedule.steps",
    "schedule.beta_start",
    "schedule.beta_end",
    "schedule.beta",
    "schedule.s",
    "schedule.max_beta",
    "model",
    "model.image_size",
    "model.in_channels",
    "model.out_channels",
    "model.base_channels",
    "model.channel_mults",
    "model.blocks_per_level",
    "model.attention_resolutions",
    "model.mid_attention",
    "model.heads",
    "model.groups",
    "model.norm_eps",
    "model.dropout",
    "model.embedding",
    "model.embedding.kind",
    "model.embedding.frequencies",
    "model.embedding.dim",
    "model.embedding.order",
    "model.embedding.freq_shift",
    "model.embedding.scale",
    "model.embedding.seed",
    "model.time_channels",
    "model.time_injection",
    "model.time_form",
    "model.downsample_padding",
    "model.classes",
    "train",
    "train.steps",
    "train.batch",
    "train.lr",
    "train.warmup_steps",
    "train.lr_decay",
    "train.lr_decay_steps",
    "train.optimizer",
    "train.ema_decays",
    "train.ema_sigma_rels",
    "train.sigma_data",
    "train.loss",
    "train.huber_delta",
    "train.halvings",
    "train.variance",
    "train.vlb_weight",
    "train.time_mean",
    "train.time_std",
    "train.pairing",
    "schedule.sigma_min",
    "schedule.sigma_max",
    "schedule.zero_terminal_snr",
    "model.kind",
    "objective",
    "train.beta1",
    "train.beta2",
    "train.adam_eps",
    "train.weight_decay",
    "train.grad_clip",
    "train.ema_decay",
    "train.ema_warmup",
    "train.prediction",
    "train.loss_weight",
    "train.time_sampling",
    "train.flip",
    "train.crop",
    "train.jitter",
    "train.augment",
    "model.augmented",
    "train.label_dropout",
    "train.log_every",
    "train.sample_every",
    "train.evaluate_every",
    "train.evaluate_count",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "sample",
    "sample.count",
    "sample.sampler",
    "sample.steps",
    "images",
    "images.height",
    "images.padding",
    "no_such",
    "train.no_such",
    "train.lr.x",
    "a.b.c",
];

/// Values as users type them: in range, out of range, of another type.
fn value() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "true",
        "false",
        "96x64",
        "nan",
        "inf",
        "-inf",
        "[]",
        "{}",
        "''",
        "x",
        "linear",
        "scaled-linear",
        "cosine",
        "sigmoid",
        "constant",
        "normalized",
        "transformer",
        "fourier",
        "sin-first",
        "per-block",
        "input",
        "v",
        "eps",
        "crop",
        "skip",
        "bf16",
        "tiny-16",
        "{ kind = 'fourier', frequencies = 4, scale = 1.0, seed = 1 }",
        "{ kind = 'transformer', dim = 8, order = 'cos-first', freq_shift = 0 }",
        "1979-05-27",
        "0x7fffffffffffffff",
    ]);
    prop_oneof![
        word.prop_map(str::to_owned),
        (-2_i64..70).prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (0_u32..64).prop_map(|bit| (1_u64 << bit).to_string()),
        (0.0..1.0_f64).prop_map(|x| x.to_string()),
        any::<f64>().prop_map(|x| format!("{x:e}")),
        prop::collection::vec(0_i64..40, 0..12).prop_map(|list| format!("{list:?}")),
        prop::collection::vec(any::<i64>(), 0..4).prop_map(|list| format!("{list:?}")),
        ".{0,12}",
    ]
}

/// Mostly shapes that fit one of the presets.
fn shape() -> impl Strategy<Value = ImageShape> {
    let usual = prop::sample::select(vec![(28, 28, 1, 10), (16, 16, 1, 10), (32, 32, 3, 10), (28, 28, 1, 0)]);
    let side = || prop_oneof![1_usize..70, any::<usize>()];
    let number = || prop_oneof![0_usize..4, any::<usize>()];
    prop_oneof![4 => usual, 1 => (side(), side(), number(), number())]
        .prop_map(|(height, width, channels, classes)| ImageShape { height, width, channels, classes })
}

/// Texts that start like a configuration: a dump or a preset with a piece replaced.
fn nearly_toml() -> impl Strategy<Value = String> {
    let texts: Vec<&str> = PRESETS.iter().map(|preset| preset.2).chain([DUMP]).collect();
    let piece = prop_oneof![
        ".{0,20}",
        Just("[[".to_owned()),
        Just("'''".to_owned()),
        Just("{a.b={".to_owned()),
        value()
    ];
    (prop::sample::select(texts), any::<prop::sample::Index>(), 0_usize..40, piece).prop_map(
        |(text, at, length, piece)| {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            let bytes = [&text.as_bytes()[..at], piece.as_bytes(), &text.as_bytes()[end..]].concat();
            String::from_utf8_lossy(&bytes).into_owned()
        },
    )
}

/// Reads a text in every possible way, and checks that whatever results is valid.
fn read_in_every_way(text: &str, images: &ImageShape) -> Result<(), TestCaseError> {
    let checked = |result: Result<Config, ConfigError>| match result {
        Ok(config) => {
            prop_assert_eq!(&from_toml(&to_toml(&config).unwrap()).unwrap(), &config);
            Ok(())
        }
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            Ok(())
        }
    };
    if let Err(error) = parse(text) {
        prop_assert!(error.is_usage() && !error.to_string().is_empty());
    }
    // NaN differs from itself, so leave it to `validate`.
    checked(from_toml(text).and_then(|config| config.validate().map(|()| config)))?;
    let file = UserFile { name: "f".to_owned(), text: text.to_owned() };
    let set: Vec<_> = parse_set(text).into_iter().collect();
    checked(Layers { file: Some(&file), ..Layers::default() }.settle(images))?;
    checked(Layers { preset: Some("tiny-16"), set: &set, ..Layers::default() }.settle(images))?;
    checked(Layers { preset: Some(text), data: Some(text), ..Layers::default() }.settle(images))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), images in shape()) {
        read_in_every_way(&text, &images)?;
    }

    #[test]
    fn almost_valid_text_is_read_or_refused(text in nearly_toml(), images in shape()) {
        read_in_every_way(&text, &images)?;
    }

    #[test]
    fn overrides_of_any_key_settle_or_are_refused(
        preset in prop::sample::select(PRESETS.iter().map(|preset| preset.0).collect::<Vec<_>>()),
        changes in prop::collection::vec((prop::sample::select(KEYS), value()), 0..4),
        images in shape(),
    ) {
        let set: Vec<_> = changes.iter().filter_map(|(key, value)| parse_set(&format!("{key}={value}")).ok()).collect();
        match (Layers { preset: Some(preset), set: &set, ..Layers::default() }).settle(&images) {
            Ok(config) => {
                config.validate().unwrap();
                prop_assert_eq!(from_toml(&to_toml(&config).unwrap()).unwrap(), config);
            }
            Err(error) => prop_assert!(error.is_usage(), "{error}"),
        }
    }

    #[test]
    fn an_override_sets_exactly_its_key(key in prop::sample::select(KEYS), value in value()) {
        let config = from_toml(DUMP).unwrap();
        let Ok(change) = parse_set(&format!("{key}={value}")) else { return Ok(()) };
        let Ok(changed) = config.with(&change) else { return Ok(()) };
        let differing = differences(&config, &changed).unwrap();
        for line in &differing {
            let rest = line.strip_prefix(key).unwrap_or_default();
            prop_assert!(rest.starts_with([' ', '.']), "{key}={value} changed: {line}");
        }
        // The new value is there, unless it is the old one; numbers may be formatted differently.
        let mut expected: toml::Table = parse(DUMP).unwrap();
        change.apply(&mut expected).unwrap();
        let expected: Config = expected.try_into().unwrap();
        prop_assert_eq!(to_toml(&changed).unwrap(), to_toml(&expected).unwrap());
    }
}

#[test]
fn a_difference_names_key_and_both_values() {
    let config = from_toml(DUMP).unwrap();
    let changed = config.with(&parse_set("train.lr = 0.25").unwrap()).unwrap();
    assert_eq!(differences(&config, &changed).unwrap(), ["train.lr is 0.002 there and 0.25 here"]);
    assert!(differences(&config, &config.clone()).unwrap().is_empty());
}

/// Test threads have 2 MiB of stack; the program's threads have more.
#[test]
fn the_deepest_text_fits_the_stack_and_a_deeper_one_is_refused() {
    let images = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };
    let settle = |text: String| {
        let file = UserFile { name: "deep.toml".to_owned(), text };
        Layers { preset: Some("tiny-16"), file: Some(&file), ..Layers::default() }
            .settle(&images)
            .unwrap_err()
            .to_string()
    };
    let mut deepest: String = (1..=30).map(|n| format!("[[{}]]\n", vec!["a"; n].join("."))).collect();
    deepest += &format!("b = {}1{}\n", "[".repeat(32), "]".repeat(32));
    let message = settle(deepest);
    assert!(message.contains("unknown field `a`"), "{message}");

    let key = vec!["a"; 79].join(".");
    let braces = format!("[{key}]\n{}{key} = 1{}", format!("{key} = {{").repeat(10), "}".repeat(10));
    for deep in
        [braces, "a=[".to_owned() + &"[".repeat(500_000), "a={a=".repeat(80_000), "a.".repeat(250_000)]
    {
        let message = settle(deep);
        assert!(
            message.contains("nested more than 32 levels deep"),
            "{}",
            &message[..200.min(message.len())]
        );
    }
}

#[test]
fn the_longest_texts_give_short_messages() {
    let images = ImageShape { height: 16, width: 16, channels: 1, classes: 0 };
    let settle = |text: String| {
        let file = UserFile { name: "long.toml".to_owned(), text };
        Layers { preset: Some("tiny-16"), file: Some(&file), ..Layers::default() }
            .settle(&images)
            .unwrap_err()
    };
    // The maximum number of levels, a name of half a million letters, and a text of backticks, which messages put
    // around names.
    let levels = settle(format!("[model]\nchannel_mults = [{}]", "1,".repeat(200_000)));
    let levels = levels.to_string();
    assert!(levels.starts_with("model.channel_mults = [1, 1") && levels.len() < 300, "{levels}");
    assert!(matches!(settle(format!("{} = 1", "x".repeat(500_000))), ConfigError::InFile { .. }));
    assert!(matches!(settle(format!("\"{}\" = 1", "x`".repeat(200_000))), ConfigError::InFile { .. }));
    assert!(matches!(settle("x".repeat((512 << 10) + 1)), ConfigError::InFile { .. }));
}
