//! The reference has an entry for every key that a configuration can have, and for no other.

use std::collections::BTreeSet;

use config::{
    Activation, Config, DataConfig, DataOrder, DownsamplePadding, EmbeddingConfig, GROUPS, ImagesConfig,
    InitConfig, Layout, LearnedVariance, Loss, LrDecay, Middle, NetworkKind, OnNan, Optimizer, Pairing,
    Preferred, Resampling, SampleConfig, ScheduleConfig, SinusoidOrder, TimeForm, TimeInjection,
    TimeSampling, TrainConfig, UNetConfig,
};
use schedule::{LossWeight, Prediction};

/// A configuration with every key. It has no `..`, so a new key does not compile until it is here; the values differ from
/// those that are left out of a file. It need not be valid.
fn full(embedding: EmbeddingConfig) -> Config {
    Config {
        seed: 1,
        precision: "f32".to_owned(),
        id: Some("x".to_owned()),
        data: DataConfig {
            source: "x".to_owned(),
            size: Some(1.into()),
            channels: Some(1),
            fit: "crop".to_owned(),
            pad_to_multiple: Some(1),
            limit: Some(1),
            on_bad: "fail".to_owned(),
            unpacked_limit: Some(1),
            memory: Some(1),
            order: DataOrder::Blocks,
            shuffle_buffer: Some(1),
        },
        schedule: ScheduleConfig {
            kind: "linear".to_owned(),
            steps: 1000,
            beta_start: Some(0.1),
            beta_end: Some(0.1),
            beta: Some(0.1),
            s: Some(0.1),
            max_beta: Some(0.1),
            sigma_min: Some(0.1),
            sigma_max: Some(0.1),
            zero_terminal_snr: true,
        },
        model: model(embedding),
        train: train(),
        sample: SampleConfig {
            count: 1,
            sampler: "ddim".to_owned(),
            steps: 1,
            preferred: Some(Preferred {
                sampler: "ddim".to_owned(),
                steps: 1,
                spacing: "leading".to_owned(),
                warp: Some("karras".to_owned()),
                steps_offset: 1,
                ends_at_first_step: true,
                threshold: "off".to_owned(),
                keeps_eps: true,
                scales_start: true,
                sigma: Some("fixed-small".to_owned()),
                eta: Some(0.5),
                order: Some(1),
            }),
        },
        images: Some(ImagesConfig {
            height: 1,
            width: 1,
            channels: 1,
            padding: [0; 4],
            count: 1,
            sha256: "x".to_owned(),
            class_names: vec!["x".to_owned()],
            absent_classes: vec![0],
        }),
        init: Some(InitConfig { from: "x".to_owned(), sha256: "x".to_owned() }),
    }
}

fn model(embedding: EmbeddingConfig) -> UNetConfig {
    UNetConfig {
        kind: NetworkKind::Unet,
        image_size: 16,
        in_channels: 1,
        out_channels: 1,
        base_channels: 8,
        channel_mults: vec![1, 2],
        blocks_per_level: 1,
        attention_resolutions: vec![8],
        mid_attention: true,
        heads: 1,
        groups: 8,
        norm_eps: 1e-6,
        dropout: 0.5,
        embedding,
        time_channels: 1,
        time_injection: TimeInjection::PerBlock,
        time_form: TimeForm::Additive,
        downsample_padding: DownsamplePadding::Even,
        classes: Some(1),
        adapter_rank: Some(1),
        augmented: true,
        layout: Layout {
            level_channels: Some(vec![8]),
            down_attention: Some(vec![true]),
            up_attention: Some(vec![true]),
            head_channels: Some(8),
            downsampling: Some(vec![Resampling::Plain]),
            upsampling: Some(vec![Resampling::Plain]),
            activation: Activation::Relu,
            middle: Middle { absent: true, attention_groups: Some(1), scale: Some(2.0) },
            center_input: true,
        },
    }
}

fn train() -> TrainConfig {
    TrainConfig {
        steps: 1,
        batch: 1,
        micro_batch: 1,
        checkpoint_activations: true,
        lr: 0.1,
        warmup_steps: 1,
        lr_decay: LrDecay::Cosine,
        lr_decay_steps: Some(1),
        optimizer: Optimizer::Muon,
        beta1: 0.1,
        beta2: 0.1,
        adam_eps: 0.1,
        weight_decay: 0.1,
        grad_clip: 0.1,
        ema_decay: 0.1,
        ema_warmup: true,
        ema_decays: vec![0.1],
        ema_sigma_rels: vec![0.1],
        prediction: Prediction::V,
        loss_weight: LossWeight::P2,
        sigma_data: Some(0.1),
        loss: Loss::Huber,
        huber_delta: Some(0.1),
        halvings: Some(1),
        variance: LearnedVariance::Learned,
        vlb_weight: Some(0.1),
        time_sampling: TimeSampling::Uniform,
        time_mean: Some(0.1),
        time_std: Some(0.1),
        pairing: Pairing::Optimal,
        flip: true,
        crop: 0.1,
        jitter: 0.1,
        augment: 0.1,
        label_dropout: 0.1,
        freeze: vec!["x".to_owned()],
        on_nan: OnNan::Skip,
        log_every: 1,
        sample_every: 1,
        evaluate_every: 1,
        evaluate_count: Some(20),
        checkpoint_every: 1,
        keep_checkpoints: 2,
    }
}

/// The keys of a table and of the tables in it.
fn keys(prefix: &str, table: &toml::Table, all: &mut BTreeSet<String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value.as_table() {
            Some(inner) => keys(&name, inner, all),
            None => {
                all.insert(name);
            }
        }
    }
}

#[test]
fn every_key_has_an_entry_and_every_entry_a_key() {
    let mut there = BTreeSet::new();
    for embedding in [
        EmbeddingConfig::Normalized { frequencies: 1 },
        EmbeddingConfig::Transformer { dim: 4, order: SinusoidOrder::SinFirst, freq_shift: 1 },
        EmbeddingConfig::Fourier { frequencies: 1, scale: 1.0, seed: 1 },
        EmbeddingConfig::Table { rows: 1000, dim: 1 },
    ] {
        keys("", &toml::Table::try_from(full(embedding)).unwrap(), &mut there);
    }
    let entries: Vec<String> =
        GROUPS.iter().flat_map(|group| group.keys.iter().map(move |key| group.path(key))).collect();
    let listed: BTreeSet<String> = entries.iter().cloned().collect();
    assert_eq!(listed.len(), entries.len(), "an entry is there twice: {entries:?}");
    let missing: Vec<&String> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "crates/config/src/reference has no entry for {missing:?}");
    let idle: Vec<&String> = listed.difference(&there).collect();
    assert!(idle.is_empty(), "crates/config/src/reference: no configuration has {idle:?}");
}

/// The program's own lists of unknown keys, which it reads from the types.
#[test]
fn the_entries_are_the_keys_that_the_program_accepts() {
    for group in GROUPS {
        let unknown = if group.name.is_empty() { "zzz".to_owned() } else { format!("{}.zzz", group.name) };
        let config = full(EmbeddingConfig::Normalized { frequencies: 1 });
        let message =
            config.with(&config::parse_set(&format!("{unknown}=1")).unwrap()).unwrap_err().to_string();
        // unknown field `zzz`, expected one of `a`, `b`
        let accepted: BTreeSet<&str> = message.split('`').skip(3).step_by(2).collect();
        assert!(!accepted.is_empty(), "{message}");
        let is_group = |name: &str| {
            let path = if group.name.is_empty() { name.to_owned() } else { format!("{}.{name}", group.name) };
            GROUPS.iter().any(|group| group.name == path)
        };
        for name in accepted {
            let listed = group.keys.iter().any(|key| key.name == name);
            assert!(listed || is_group(name), "{unknown}: {name} has no entry");
        }
    }
}
