//! Saves and loads weights; every mismatch is refused before anything is copied.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::Device;
use unet::{
    Backbone, BackboneError, EmbeddingConfig, TimeForm, TimeInjection, UNet, UNetConfig, check_weights,
};

fn build(config: &UNetConfig, seed: u64) -> UNet {
    UNet::new(config, 1000, Device::Cpu, seed).unwrap()
}

#[test]
fn round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = UNetConfig::preset("tiny-16").unwrap();
    let (a, b) = (build(&config, 1), build(&config, 2));
    a.save(&path).unwrap();
    assert_ne!(a.params(), b.params());
    b.load(&path).unwrap();
    assert_eq!(a.params(), b.params());
    let c = build(&config, 3);
    c.copy_weights(a.params()).unwrap();
    assert_eq!(a.params(), c.params());
}

#[test]
fn another_networks_weights_are_refused_completely() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = UNetConfig::preset("tiny-16").unwrap();
    build(&config, 1).save(&path).unwrap();
    let others = [
        UNetConfig { base_channels: 24, ..config.clone() },
        UNetConfig { blocks_per_level: 2, ..config.clone() },
        UNetConfig { classes: Some(10), ..config.clone() },
        UNetConfig { attention_resolutions: vec![], ..config.clone() },
    ];
    for other in others {
        let refused = check_weights(&other, &path);
        assert!(matches!(refused, Err(BackboneError::Weights(_))), "{refused:?}");
        let net = build(&other, 2);
        match net.load(&path) {
            Err(BackboneError::Weights(error)) => {
                assert!(error.to_string().contains("do not fit"), "{error}");
            }
            result => panic!("{result:?}"),
        }
        assert_eq!(net.params(), build(&other, 2).params(), "a refused file changed the network");
    }
}

/// `UNetConfig::parameters` lists the network's parameters without building it, in the same order.
#[test]
fn the_parameters_are_known_before_a_network_is_built() {
    let tiny = UNetConfig::preset("tiny-16").unwrap();
    let small = UNetConfig { base_channels: 8, ..UNetConfig::preset("ddpm-cifar10").unwrap() };
    let configs = [
        UNetConfig { classes: Some(7), ..tiny.clone() },
        UNetConfig { adapter_rank: Some(3), ..tiny.clone() },
        UNetConfig { time_injection: TimeInjection::Input, ..tiny.clone() },
        UNetConfig { time_form: TimeForm::ScaleShift, time_channels: 24, ..tiny.clone() },
        UNetConfig { mid_attention: false, attention_resolutions: vec![16, 8], ..tiny.clone() },
        UNetConfig { channel_mults: vec![1], attention_resolutions: vec![], ..tiny.clone() },
        UNetConfig { blocks_per_level: 3, channel_mults: vec![1, 3, 2], ..tiny.clone() },
        UNetConfig { embedding: EmbeddingConfig::Normalized { frequencies: 5 }, ..tiny.clone() },
        UNetConfig { groups: 8, ..small },
        tiny,
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for config in configs {
        let net = build(&config, 1);
        let shape = |size: Vec<i64>| size.into_iter().map(|n| n as usize).collect::<Vec<_>>();
        let built: Vec<_> =
            net.params().iter().map(|(name, param)| (name.clone(), shape(param.size()))).collect();
        assert_eq!(config.parameters(), built);
        assert_eq!(config.parameter_count(), net.param_count() as u64);
        net.save(&path).unwrap();
        check_weights(&config, &path).unwrap();
    }
}
