//! Published trainings on more GPUs: weak and strong scaling, and from how many GPUs on each part of a step matters.

use anyhow::Context;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::step::{Job, Step, Way};
use crate::bench::scaling::paper::{PUBLISHED, Published};

/// Numbers of GPUs.
pub(super) const GPUS: [u32; 3] = [8, 64, 512];
/// The trainings, with the side of their images.
const TRAININGS: [(&str, f64); 3] =
    [("CIFAR-10, 32 px", 32.0), ("LSUN Bedroom, 256 px", 256.0), ("ImageNet, 512 px", 512.0)];
/// GPUs that share the published batch in weak scaling; more get more images.
const OF_BATCH: f64 = 8.0;
/// A part of a step matters from this share of the computation on.
pub(super) const MATTERS: f64 = 0.1;

/// A published training with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Training {
    pub(super) published: Published,
    pub(super) parameters: f64,
    pub(super) flop_of_image: f64,
    side: f64,
}

/// Whether more GPUs get more images, or divide the published batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaling {
    Weak,
    Strong,
}

/// Counts the trainings; `count` runs `ddpm` with arguments.
///
/// # Errors
/// Those of `count`, and an answer without the numbers.
pub(super) fn trainings(
    count: &mut dyn FnMut(&[String]) -> anyhow::Result<Value>,
) -> anyhow::Result<Vec<Training>> {
    let one = |(name, side): (&str, f64)| {
        let published = PUBLISHED.into_iter().find(|published| published.name == name);
        let published = published.with_context(|| format!("{name} is not published"))?;
        let (work, model) = (count(&published.args("work"))?, count(&published.args("model"))?);
        let number =
            |said: &Value, key: &str| said[key].as_f64().with_context(|| format!("no {key} in {said}"));
        let gflop = number(&work, "training_gflop")? + number(&work, "training_attention_gflop")?;
        Ok(Training {
            published,
            parameters: number(&model, "parameters")?,
            flop_of_image: 1e9 * gflop,
            side,
        })
    };
    TRAININGS.into_iter().map(one).collect()
}

impl Training {
    /// The whole batch on this many GPUs.
    pub(super) fn batch(&self, scaling: Scaling, gpus: u32) -> f64 {
        match scaling {
            Scaling::Weak => self.published.batch / OF_BATCH * f64::from(gpus),
            Scaling::Strong => self.published.batch,
        }
    }

    /// A step on this many GPUs; `None` if there are more GPUs than images.
    pub(super) fn step(&self, cluster: &Cluster, (scaling, gpus): (Scaling, u32), way: Way) -> Option<Step> {
        let images = self.batch(scaling, gpus) / f64::from(gpus);
        (images >= 1.0).then(|| self.job(images, f64::from(gpus)).step(cluster, way))
    }

    fn job(&self, images: f64, gpus: f64) -> Job {
        let Self { parameters, flop_of_image, side, .. } = *self;
        Job { parameters, flop_of_image, pixels: side * side, images, gpus }
    }

    /// Images per second of all GPUs relative to one GPU that has the batch of the scaling to itself: of its own share
    /// (weak), or the whole (strong).
    pub(super) fn efficiency(&self, cluster: &Cluster, place: (Scaling, u32), way: Way) -> Option<f64> {
        let (scaling, gpus) = place;
        let seconds = self.step(cluster, place, way)?.seconds();
        let (images, divided) = match scaling {
            Scaling::Weak => (self.batch(scaling, gpus) / f64::from(gpus), 1.0),
            Scaling::Strong => (self.published.batch, f64::from(gpus)),
        };
        let alone = self.job(images, 1.0).step(cluster, Way::Today).seconds();
        Some(alone / (divided * seconds))
    }

    /// The smallest power of two of GPUs from which on a part of today's step takes [`MATTERS`] of the computation, up to
    /// the largest of [`GPUS`], in weak scaling.
    pub(super) fn matters_from(&self, cluster: &Cluster, part: fn(&Step) -> f64) -> Option<u32> {
        let most = GPUS.into_iter().max().unwrap_or(1);
        let powers = (0..u32::BITS).map(|power| 1 << power).take_while(|&gpus| gpus <= most);
        let matters = |gpus: &u32| {
            let step = self.step(cluster, (Scaling::Weak, *gpus), Way::Today);
            step.is_some_and(|step| part(&step) >= MATTERS * step.compute)
        };
        powers.into_iter().find(matters)
    }

    /// As JSON.
    pub(super) fn json(&self, cluster: &Cluster) -> Value {
        let of = |scaling: Scaling, gpus: u32| {
            let way = |way: Way| {
                let place = (scaling, gpus);
                let seconds = self.step(cluster, place, way).map(|step| step.seconds());
                json!({ "way": way.name(), "step_s": seconds, "efficiency": self.efficiency(cluster, place, way) })
            };
            json!({ "scaling": scaling.name(), "gpus": gpus, "batch": self.batch(scaling, gpus),
                    "ways": Way::PLAN.map(way) })
        };
        let places = [Scaling::Weak, Scaling::Strong].into_iter().flat_map(|s| GPUS.map(|gpus| of(s, gpus)));
        json!({
            "name": self.published.name, "source": self.published.source, "parameters": self.parameters,
            "training_gflop_of_image": self.flop_of_image / 1e9, "steps": places.collect::<Vec<_>>(),
        })
    }
}

impl Scaling {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Strong => "strong",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::measure::tests::LINK;
    use super::*;

    /// All networks are of this size.
    pub(in crate::bench::ranks) fn counted() -> Vec<Training> {
        trainings(&mut |args| {
            let is_work = args[1] == "work";
            let work = json!({ "training_gflop": 36.0, "training_attention_gflop": 1.0 });
            Ok(if is_work { work } else { json!({ "parameters": 40_000_000 }) })
        })
        .unwrap()
    }

    #[test]
    fn trainings_are_counted_by_the_program() {
        let mut asked = Vec::new();
        let _ = trainings(&mut |args| {
            asked.push(args.join(" "));
            Ok(json!({ "training_gflop": 1.0, "training_attention_gflop": 1.0, "parameters": 1 }))
        })
        .unwrap();
        assert_eq!(
            asked[..2],
            ["inspect work --preset ddpm-cifar10 --json", "inspect model --preset ddpm-cifar10 --json"]
        );
        assert!(asked.len() == 6 && asked[5].contains("model.image_size=512"), "{asked:?}");
        let training = counted()[0];
        assert_eq!((training.flop_of_image, training.parameters), (37e9, 4e7));
        let error = trainings(&mut |_| Ok(json!({}))).unwrap_err().to_string();
        assert!(error.starts_with("no training_gflop"), "{error}");
    }

    #[test]
    fn weak_scaling_adds_images_and_strong_scaling_divides_them() {
        let training = counted()[0];
        let batches = |scaling| GPUS.map(|gpus| training.batch(scaling, gpus));
        assert_eq!(batches(Scaling::Weak), [128.0, 1024.0, 8192.0]);
        assert_eq!(batches(Scaling::Strong), [128.0; 3]);
        let cluster = Cluster::new(LINK);
        let step = |place| training.step(&cluster, place, Way::Today);
        // The same at 8 GPUs, and no step where a GPU would have a quarter of an image.
        assert_eq!(step((Scaling::Weak, 8)), step((Scaling::Strong, 8)));
        assert!(step((Scaling::Strong, 64)).is_some() && step((Scaling::Strong, 512)).is_none());
        assert_eq!(training.efficiency(&cluster, (Scaling::Strong, 512), Way::Today), None);
    }

    /// A step that waits for images takes as long as they do, whatever the sums take. So do those of fewer GPUs, and the
    /// efficiency stays the same.
    #[test]
    fn efficiency_falls_with_the_gpus_and_rises_with_the_plan() {
        let cluster = Cluster::new(LINK);
        let is_same = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let mut waiting = 0;
        for training in counted() {
            assert_eq!(training.efficiency(&cluster, (Scaling::Weak, 1), Way::Today), Some(1.0));
            let of = |gpus, way| training.efficiency(&cluster, (Scaling::Weak, gpus), way).unwrap();
            let waits =
                |gpus, way| training.step(&cluster, (Scaling::Weak, gpus), way).unwrap().decoding > 0.0;
            for way in Way::PLAN {
                for [fewer, more] in [[1, 8], [8, 64], [64, 512]] {
                    let (before, after) = (of(fewer, way), of(more, way));
                    let holds = if waits(more, way) { is_same(before, after) } else { after < before };
                    waiting += u32::from(waits(more, way));
                    assert!(holds && after > 0.0, "{way:?}: {before} on {fewer} GPUs, {after} on {more}");
                }
            }
            for gpus in GPUS {
                let all = Way::PLAN.map(|way| of(gpus, way));
                let holds = if waits(gpus, Way::Half) { is_same(all[3], 1.0) } else { all[3] < 1.0 };
                assert!(holds && all.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12), "{gpus}: {all:?}");
            }
        }
        // Images of 512 px, up to 64 GPUs, in all ways but the first.
        assert_eq!(waiting, 6);
        // Eight GPUs against one that has all 128 images.
        let (training, place) = (counted()[0], (Scaling::Strong, 8));
        let (step, whole) = (
            training.step(&cluster, place, Way::Today).unwrap().seconds(),
            training.job(128.0, 1.0).step(&cluster, Way::Today).seconds(),
        );
        assert_eq!(training.efficiency(&cluster, place, Way::Today), Some(whole / (8.0 * step)));
    }

    /// Latency grows with the ranks, so it matters from some number on; what is faster, later.
    #[test]
    fn parts_matter_from_a_number_of_gpus_on() {
        let training = counted()[0];
        let from = |latency_s| {
            let cluster = Cluster::new(super::super::link::Link { latency_s, ..LINK });
            training.matters_from(&cluster, |step| step.latency)
        };
        let (slow, fast) = (from(1e-4).unwrap(), from(1e-6).unwrap());
        assert!(1 < slow && slow < fast, "{slow} {fast}");
        assert_eq!(from(1e-12), None);
    }
}
