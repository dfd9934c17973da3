//! The machines of the predictions: numbers that are assumed, each with its source, and can be changed by name.

use super::link::Link;
use crate::bench::scaling::paper::{H100_PEAK, UTILISATION};
use crate::process::Exit;

/// GPUs and what connects them. Bytes per second are those of one direction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cluster {
    /// Operations per second that a GPU could do, and the share of them that it does.
    pub(super) flop_per_s: f64,
    pub(super) flop_share: f64,
    /// Seconds of a step besides its images and parameters.
    pub(super) step_s: f64,
    pub(super) memory_bytes_per_s: f64,
    pub(super) gpus_per_machine: f64,
    pub(super) nvlink: Link,
    pub(super) network: Link,
    pub(super) pcie_bytes_per_s: f64,
    pub(super) gloo: Link,
    pub(super) cores_per_gpu: f64,
    /// Of one core.
    pub(super) decoded_pixels_per_s: f64,
    pub(super) disk_bytes_per_s: f64,
    /// Steps from one checkpoint to the next.
    pub(super) checkpoint_steps: f64,
}

/// What a number is: its name, its unit, and where it is from.
pub(super) type About = (&'static str, &'static str, &'static str);

const ABOUT: [About; 16] = [
    ("flop_per_s", "FLOP/s", "dense bf16 peak of an H100 SXM, NVIDIA's data sheet"),
    ("flop_share", "of it", "assumed: an ordinary training"),
    ("step_s", "s a step", "assumed: launches and the host's work"),
    ("memory_bytes_per_s", "bytes/s", "memory of an H100 SXM, NVIDIA's data sheet"),
    ("gpus_per_machine", "GPUs", "DGX H100, NVIDIA's data sheet"),
    ("nvlink_bytes_per_s", "bytes/s", "half of NVLink 4's 900 GB/s in both directions, NVIDIA's data sheet"),
    ("nvlink_latency_s", "s a message", "assumed"),
    ("network_bytes_per_s", "bytes/s", "a 400 Gbit/s InfiniBand port for each GPU, DGX H100's data sheet"),
    ("network_latency_s", "s a message", "assumed"),
    ("pcie_bytes_per_s", "bytes/s", "PCIe 5.0 x16, its specification"),
    ("gloo_bytes_per_s", "bytes/s", "the law above for f32 and 2 ranks: Gloo on this machine's loopback"),
    ("gloo_latency_s", "s a message", "the same law; a network's is longer"),
    ("cores_per_gpu", "cores", "112 cores for 8 GPUs, DGX H100's data sheet"),
    ("decoded_pixels_per_s", "pixels/s a core", "assumed for JPEG of the training size"),
    ("disk_bytes_per_s", "bytes/s", "assumed for one writer on a shared file system"),
    ("checkpoint_steps", "steps", "`train.checkpoint_every` of the preset ddpm-cifar10"),
];

impl Cluster {
    /// H100s in machines of eight, with Gloo as it was measured.
    pub(super) fn new(gloo: Link) -> Self {
        Self {
            flop_per_s: H100_PEAK,
            flop_share: UTILISATION[0],
            step_s: 2e-3,
            memory_bytes_per_s: 3.35e12,
            gpus_per_machine: 8.0,
            nvlink: Link { latency_s: 5e-6, bytes_per_s: 450e9 },
            network: Link { latency_s: 10e-6, bytes_per_s: 50e9 },
            pcie_bytes_per_s: 63e9,
            gloo,
            cores_per_gpu: 14.0,
            decoded_pixels_per_s: 50e6,
            disk_bytes_per_s: 2e9,
            checkpoint_steps: 5000.0,
        }
    }

    /// All numbers, in the order of [`ABOUT`].
    fn places(&mut self) -> [&mut f64; 16] {
        [
            &mut self.flop_per_s,
            &mut self.flop_share,
            &mut self.step_s,
            &mut self.memory_bytes_per_s,
            &mut self.gpus_per_machine,
            &mut self.nvlink.bytes_per_s,
            &mut self.nvlink.latency_s,
            &mut self.network.bytes_per_s,
            &mut self.network.latency_s,
            &mut self.pcie_bytes_per_s,
            &mut self.gloo.bytes_per_s,
            &mut self.gloo.latency_s,
            &mut self.cores_per_gpu,
            &mut self.decoded_pixels_per_s,
            &mut self.disk_bytes_per_s,
            &mut self.checkpoint_steps,
        ]
    }

    /// All numbers, each with what it is.
    pub(super) fn numbers(&self) -> Vec<(About, f64)> {
        let mut copy = self.clone();
        ABOUT.into_iter().zip(copy.places()).map(|(about, value)| (about, *value)).collect()
    }

    /// Changes one number, given as `NAME=VALUE`.
    ///
    /// # Errors
    /// A usage error for another name, or a value that is not above 0.
    pub(super) fn set(&mut self, text: &str) -> anyhow::Result<()> {
        let shown = text.escape_debug();
        let Some((name, value)) = text.split_once('=') else {
            return Err(Exit::usage(format!("--assume {shown}: expected NAME=VALUE")).into());
        };
        let Some(index) = ABOUT.iter().position(|about| about.0 == name) else {
            let names = ABOUT.map(|about| about.0).join(", ");
            return Err(Exit::usage(format!("--assume {shown}: expected one of {names}")).into());
        };
        let value = value.parse().ok().filter(|value: &f64| *value > 0.0 && value.is_finite());
        let Some(value) = value else {
            return Err(Exit::usage(format!("--assume {shown}: expected a number above 0")).into());
        };
        *self.places()[index] = value;
        Ok(())
    }

    /// Operations per second that a GPU does.
    pub(super) fn rate(&self) -> f64 {
        self.flop_per_s * self.flop_share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOO: Link = Link { latency_s: 1e-4, bytes_per_s: 2e9 };

    #[test]
    fn every_number_has_its_own_name_and_can_be_changed() {
        let mut cluster = Cluster::new(GLOO);
        for (index, (name, ..)) in ABOUT.into_iter().enumerate() {
            cluster.set(&format!("{name}={}", index + 1)).unwrap();
        }
        let values: Vec<f64> = cluster.numbers().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, (1..=16).map(f64::from).collect::<Vec<_>>());
        assert_eq!((cluster.nvlink.bytes_per_s, cluster.nvlink.latency_s), (6.0, 7.0));
        assert_eq!((cluster.gloo.bytes_per_s, cluster.gloo.latency_s), (11.0, 12.0));
        assert_eq!((cluster.rate(), cluster.checkpoint_steps), (2.0, 16.0));
    }

    #[test]
    fn the_checkpoints_are_those_of_the_preset() {
        let preset = include_str!("../../../../assets/configs/ddpm-cifar10.toml");
        let line = format!("\ncheckpoint_every = {}\n", Cluster::new(GLOO).checkpoint_steps);
        assert!(preset.contains(&line), "{line}");
    }

    #[test]
    fn other_names_and_values_are_usage_errors() {
        for (text, words) in [
            ("flop_share", "expected NAME=VALUE"),
            ("share=1", "expected one of flop_per_s, flop_share,"),
            ("flop_share=0", "expected a number above 0"),
            ("flop_share=-1", "expected a number above 0"),
            ("flop_share=inf", "expected a number above 0"),
            ("flop_share=nan", "expected a number above 0"),
            ("flop_share=half", "expected a number above 0"),
        ] {
            let mut cluster = Cluster::new(GLOO);
            let error = cluster.set(text).unwrap_err();
            assert_eq!(error.downcast_ref::<Exit>().map(Exit::code), Some(2));
            assert!(error.to_string().starts_with(&format!("--assume {text}: {words}")), "{error}");
            assert_eq!(cluster, Cluster::new(GLOO));
        }
    }
}
