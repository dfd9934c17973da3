//! The operations of published trainings, and the days they would take.
//!
//! `ddpm inspect work` counts our own network of a published shape, so the count is what we would train.

use anyhow::Context;
use serde_json::{Value, json};

/// A training as it was published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::bench) struct Published {
    pub(in crate::bench) name: &'static str,
    pub(in crate::bench) source: &'static str,
    pub(super) shape: &'static str,
    /// Changes to the preset `ddpm-cifar10` that give its shape.
    set: &'static [&'static str],
    pub(super) steps: f64,
    pub(in crate::bench) batch: f64,
    /// The published speed, if any.
    speed: Option<Speed>,
}

/// The form of a published speed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    /// Steps a second on a TPU v3-8.
    TpuSteps(f64),
    /// Total days on one V100.
    V100Days(f64),
}

const HO: &str = "Ho et al. 2020, App. B";
const ADM: &str = "Dhariwal & Nichol 2021";

pub(in crate::bench) const PUBLISHED: [Published; 6] = [
    Published {
        name: "CIFAR-10, 32 px",
        source: HO,
        shape: "128 channels x (1, 2, 2, 2), 2 blocks, attention at 16",
        set: &[],
        steps: 800e3,
        batch: 128.0,
        speed: Some(Speed::TpuSteps(21.0)),
    },
    Published {
        name: "ImageNet, 64 px",
        source: ADM,
        shape: "192 channels x (1, 2, 3, 4), 3 blocks, attention at 32, 16, 8",
        set: &[
            "model.image_size=64",
            "model.base_channels=192",
            "model.channel_mults=[1,2,3,4]",
            "model.blocks_per_level=3",
            "model.attention_resolutions=[32,16,8]",
            "model.time_channels=768",
            "model.time_form=scale-shift",
        ],
        steps: 540e3,
        batch: 2048.0,
        speed: None,
    },
    Published {
        name: "CelebA-HQ, 256 px",
        source: HO,
        shape: "128 channels x (1, 1, 2, 2, 4, 4), 2 blocks, attention at 16",
        set: HO_256,
        steps: 500e3,
        batch: 64.0,
        speed: Some(Speed::TpuSteps(2.2)),
    },
    Published {
        name: "LSUN Bedroom, 256 px",
        source: HO,
        shape: "the same",
        set: HO_256,
        steps: 2.4e6,
        batch: 64.0,
        // The speed of the same network is given above.
        speed: None,
    },
    Published {
        name: "ImageNet, 256 px",
        source: ADM,
        shape: "256 channels x (1, 1, 2, 2, 4, 4), 2 blocks, attention at 32, 16, 8",
        set: &[
            "model.image_size=256",
            "model.base_channels=256",
            "model.channel_mults=[1,1,2,2,4,4]",
            "model.attention_resolutions=[32,16,8]",
            "model.time_channels=1024",
            "model.time_form=scale-shift",
        ],
        steps: 1.98e6,
        batch: 256.0,
        speed: None,
    },
    Published {
        name: "ImageNet, 512 px",
        source: ADM,
        shape: "256 channels x (1/2, 1, 1, 2, 2, 4, 4), 2 blocks, attention at 32, 16, 8",
        // Half of 256 channels, with doubled factors.
        set: &[
            "model.image_size=512",
            "model.base_channels=128",
            "model.channel_mults=[1,2,2,4,4,8,8]",
            "model.attention_resolutions=[32,16,8]",
            "model.time_channels=1024",
            "model.time_form=scale-shift",
        ],
        steps: 1.94e6,
        batch: 256.0,
        speed: Some(Speed::V100Days(1914.0)),
    },
];

const HO_256: &[&str] =
    &["model.image_size=256", "model.channel_mults=[1,1,2,2,4,4]", "model.attention_resolutions=[16]"];

/// The dense bf16 peak of an H100 SXM in operations per second, from its data sheet.
pub(in crate::bench) const H100_PEAK: f64 = 989e12;
/// Assumed, not measured, shares of it: of a plain training and of a well tuned one.
pub(in crate::bench) const UTILISATION: [f64; 2] = [0.3, 0.5];
/// The deadline for the number of GPUs, in days.
pub(super) const WEEK_DAYS: f64 = 7.0;
const DAY_S: f64 = 86_400.0;

/// A published training with its operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counted {
    pub(super) published: Published,
    /// Forward and backward of one image, including the attention's products.
    pub(super) flop_of_image: f64,
}

impl Published {
    /// The arguments of `ddpm` that count its operations (`work`) or its parameters (`model`).
    pub(in crate::bench) fn args(&self, what: &str) -> Vec<String> {
        let mut args = ["inspect", what, "--preset", "ddpm-cifar10", "--json"].map(str::to_owned).to_vec();
        args.extend(self.set.iter().flat_map(|set| ["--set", set]).map(str::to_owned));
        args
    }
}

/// Counts the operations of all published trainings.
///
/// # Errors
/// Those of `count`, which runs `ddpm` with the arguments, and an answer without the numbers.
pub(super) fn counted(
    count: &mut dyn FnMut(&[String]) -> anyhow::Result<Value>,
) -> anyhow::Result<Vec<Counted>> {
    let one = |published: Published| {
        let said = count(&published.args("work"))?;
        let number = |key: &str| said[key].as_f64().with_context(|| format!("no {key} in {said}"));
        let gflop = number("training_gflop")? + number("training_attention_gflop")?;
        Ok(Counted { published, flop_of_image: 1e9 * gflop })
    };
    PUBLISHED.into_iter().map(one).collect()
}

impl Counted {
    /// Images seen in the whole training.
    pub(super) fn images(&self) -> f64 {
        self.published.steps * self.published.batch
    }

    /// Operations of the whole training.
    pub(super) fn flop(&self) -> f64 {
        self.images() * self.flop_of_image
    }

    /// Days at this many operations per second.
    pub(super) fn days(&self, flop_per_s: f64) -> f64 {
        self.flop() / flop_per_s / DAY_S
    }

    /// Days on this many H100s, for each share of the peak, assuming perfect scaling.
    pub(super) fn h100_days(&self, gpus: f64) -> [f64; 2] {
        UTILISATION.map(|share| self.days(gpus * share * H100_PEAK))
    }

    /// Number of H100s that finish within a week, for each share of the peak.
    pub(super) fn h100_for_a_week(&self) -> [f64; 2] {
        self.h100_days(1.0).map(|days| (days / WEEK_DAYS).ceil())
    }

    /// The rate implied by the published speed, in operations per second, and its device; `None` if no speed was
    /// published.
    pub(super) fn published_rate(&self) -> Option<(f64, &'static str)> {
        Some(match self.published.speed? {
            Speed::TpuSteps(steps) => (steps * self.published.batch * self.flop_of_image, "TPU v3-8"),
            Speed::V100Days(days) => (self.flop() / days / DAY_S, "V100"),
        })
    }

    /// As JSON.
    pub(super) fn json(&self, machine_flop_per_s: f64) -> Value {
        json!({
            "name": self.published.name, "source": self.published.source, "images": self.images(),
            "training_gflop_of_image": self.flop_of_image / 1e9, "flop": self.flop(),
            "days_on_this_machine": self.days(machine_flop_per_s), "h100_utilisation_assumed": UTILISATION,
            "days_on_one_h100": self.h100_days(1.0), "days_on_8_h100": self.h100_days(8.0),
            "h100_for_a_week": self.h100_for_a_week(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gflop(training: f64) -> Value {
        json!({ "training_gflop": training, "training_attention_gflop": 1.0 })
    }

    /// 800,000 steps of 128 images at 37.3 GFLOP, by hand: 3.8 x 10^18 operations, 1.07 hours at the full peak.
    #[test]
    fn days_follow_from_operations() {
        let mut asked = Vec::new();
        let counted = counted(&mut |args| {
            asked.push(args.join(" "));
            Ok(gflop(36.3))
        })
        .unwrap();
        assert_eq!(asked[0], "inspect work --preset ddpm-cifar10 --json");
        assert!(
            asked[5].contains("--set model.image_size=512 --set model.base_channels=128"),
            "{}",
            asked[5]
        );
        let cifar = counted[0];
        assert_eq!(cifar.images(), 102.4e6);
        assert!((cifar.flop() / 3.819_52e18 - 1.0).abs() < 1e-12);
        assert!((cifar.days(H100_PEAK) * 24.0 - 1.0728).abs() < 1e-3, "{}", cifar.days(H100_PEAK) * 24.0);
        let [plain, tuned] = cifar.h100_days(8.0);
        assert!((plain / tuned - 5.0 / 3.0).abs() < 1e-12);
        assert!((8.0 * plain / cifar.h100_days(1.0)[0] - 1.0).abs() < 1e-12);
        assert_eq!(cifar.h100_for_a_week(), [1.0, 1.0]);
        let long = Counted { flop_of_image: 100.0 * cifar.flop_of_image, ..cifar };
        assert_eq!(long.h100_for_a_week(), [(long.h100_days(1.0)[0] / 7.0).ceil(), 2.0]);
        // 21 steps a second of 128 images.
        let (rate, device) = cifar.published_rate().unwrap();
        assert!((rate / 100.2624e12 - 1.0).abs() < 1e-12 && device == "TPU v3-8", "{rate}");
    }

    #[test]
    fn an_answer_without_numbers_is_refused() {
        let error = counted(&mut |_| Ok(json!({}))).unwrap_err().to_string();
        assert!(error.starts_with("no training_gflop"), "{error}");
    }
}
