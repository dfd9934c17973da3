//! Weights to a file and back; every mismatch refused before anything is copied.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use tch::Device;
use unet::{UNet, UNetConfig, UNetError};

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
fn another_networks_weights_are_refused_whole() {
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
        let net = build(&other, 2);
        match net.load(&path) {
            Err(UNetError::Weights(error)) => {
                assert!(error.to_string().contains("do not fit"), "{error}");
            }
            result => panic!("{result:?}"),
        }
        assert_eq!(net.params(), build(&other, 2).params(), "a refused file changed the network");
    }
}
