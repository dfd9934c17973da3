//! The seconds of a training step on many GPUs: `t(r) = compute(batch / r) + max(0, sums - overlap)`, and what only one rank
//! does.

use super::cluster::Cluster;
use super::plan::BUCKET;

/// Sums of a step besides those of the gradients: the loss, the losses of all images, the vote about stopping; and the
/// gradient norm of rank 0, which counts as another.
const SMALL_SUMS: f64 = 4.0;
/// Bytes of memory that Adam reads and writes for a parameter: gradient, moments and weight, and back without the gradient.
const ADAM_BYTES: f64 = 28.0;
/// The same for an average of the weights.
const AVERAGE_BYTES: f64 = 12.0;
/// Bytes of a parameter in a checkpoint: weight, average and two moments.
const SAVED_BYTES: f64 = 16.0;
/// The share of a step's operations that come after the first gradient is complete: the backward pass has twice those of
/// the forward pass.
const BACKWARD: f64 = 2.0 / 3.0;

/// A step of one of many GPUs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Job {
    pub(super) parameters: f64,
    /// Operations for an image, forward and backward.
    pub(super) flop_of_image: f64,
    /// Pixels of an image.
    pub(super) pixels: f64,
    /// Images on each GPU.
    pub(super) images: f64,
    pub(super) gpus: f64,
}

/// How gradients are summed. Each way keeps what the one before it gained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By Gloo, in host memory, in one ring of all ranks. The program begins a sum during the backward pass, but the copies wait for
    /// the GPU, and nobody has measured what remains. Here all is counted in full, so this is an upper bound.
    Today,
    /// Between GPUs: in a machine over NVLink, and each GPU's part of the result over the network.
    Direct,
    /// These too during the backward pass.
    Overlapped,
    /// In bf16.
    Half,
}

impl Way {
    /// The plan, in order.
    pub(super) const PLAN: [Self; 4] = [Self::Today, Self::Direct, Self::Overlapped, Self::Half];

    /// The name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Direct => "+ between GPUs",
            Self::Overlapped => "+ overlapped",
            Self::Half => "+ bf16",
        }
    }
}

/// The parts of a step, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) compute: f64,
    /// Gradients to host memory and sums back.
    pub(super) copies: f64,
    /// The bytes of the sums.
    pub(super) transfer: f64,
    /// Their messages.
    pub(super) latency: f64,
    /// What runs beside the backward pass, of the three before.
    pub(super) hidden: f64,
    /// The average of the weights, for which all wait.
    pub(super) average: f64,
    /// Checkpoints, divided among the steps.
    pub(super) saving: f64,
    /// Waiting for images that are still being decoded.
    pub(super) decoding: f64,
}

impl Step {
    pub(super) fn sums(&self) -> f64 {
        self.copies + self.transfer + self.latency - self.hidden
    }

    pub(super) fn seconds(&self) -> f64 {
        self.compute + self.sums() + self.average + self.saving + self.decoding
    }
}

impl Job {
    pub(super) fn step(&self, cluster: &Cluster, way: Way) -> Step {
        let work = self.images * self.flop_of_image / cluster.rate();
        let compute = cluster.step_s + work + self.parameters * ADAM_BYTES / cluster.memory_bytes_per_s;
        let bytes = self.parameters * if way == Way::Half { 2.0 } else { 4.0 };
        let buckets = (bytes / BUCKET as f64).ceil();
        let (transfer, message) = self.ring(cluster, way, bytes);
        let is_copied = way == Way::Today && self.gpus > 1.0;
        let copies = if is_copied { 2.0 * bytes / cluster.pcie_bytes_per_s } else { 0.0 };
        let beside = match way {
            Way::Today | Way::Direct => 0.0,
            Way::Overlapped | Way::Half => BACKWARD * work,
        };
        let mut step = Step {
            compute,
            copies,
            transfer,
            latency: message * (buckets + SMALL_SUMS),
            // The small sums need what the backward pass computes last.
            hidden: (transfer + message * buckets).min(beside),
            average: self.parameters * AVERAGE_BYTES / cluster.memory_bytes_per_s,
            saving: self.parameters * SAVED_BYTES / cluster.disk_bytes_per_s / cluster.checkpoint_steps,
            decoding: 0.0,
        };
        // Images are decoded during the step before.
        let needed = self.images * self.pixels / (cluster.cores_per_gpu * cluster.decoded_pixels_per_s);
        step.decoding = (needed - step.seconds()).max(0.0);
        step
    }

    /// Seconds for the bytes, and for the messages of one sum.
    fn ring(&self, cluster: &Cluster, way: Way, bytes: f64) -> (f64, f64) {
        if way == Way::Today {
            return (cluster.gloo.transfer(bytes, self.gpus), cluster.gloo.latency(self.gpus, 1.0));
        }
        let inside = self.gpus.min(cluster.gpus_per_machine);
        let machines = (self.gpus / inside).max(1.0);
        (
            cluster.nvlink.transfer(bytes, inside) + cluster.network.transfer(bytes / inside, machines),
            cluster.nvlink.latency(inside, 1.0) + cluster.network.latency(machines, 1.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Link;
    use super::*;

    /// 32 MiB of gradients, a second of operations for an image.
    const JOB: Job =
        Job { parameters: BUCKET as f64 / 4.0, flop_of_image: 1e12, pixels: 1e6, images: 3.0, gpus: 16.0 };

    /// Round numbers; memory and disk are fast enough not to matter.
    fn cluster() -> Cluster {
        Cluster {
            flop_per_s: 2e12,
            flop_share: 0.5,
            step_s: 0.25,
            memory_bytes_per_s: 1e18,
            gpus_per_machine: 8.0,
            nvlink: Link { latency_s: 1e-3, bytes_per_s: BUCKET as f64 },
            network: Link { latency_s: 1e-2, bytes_per_s: BUCKET as f64 },
            pcie_bytes_per_s: BUCKET as f64,
            gloo: Link { latency_s: 0.1, bytes_per_s: BUCKET as f64 },
            cores_per_gpu: 10.0,
            decoded_pixels_per_s: 1e9,
            disk_bytes_per_s: 1e18,
            checkpoint_steps: 1.0,
        }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6 * b.abs().max(1e-3)
    }

    #[test]
    fn the_parts_are_those_of_the_formulas() {
        let step = JOB.step(&cluster(), Way::Today);
        assert!(near(step.compute, 3.25) && step.copies == 2.0, "{step:?}");
        // 30 messages of a 16th of the bucket; one sum of it and four small ones.
        assert!(near(step.transfer, 30.0 / 16.0) && near(step.latency, 5.0 * 30.0 * 0.1), "{step:?}");
        assert!(step.hidden == 0.0 && near(step.seconds(), 3.25 + 2.0 + 1.875 + 15.0), "{step:?}");

        // In a machine, 14 messages of an eighth; between two, 2 messages of half of an eighth.
        let direct = JOB.step(&cluster(), Way::Direct);
        assert!(direct.copies == 0.0 && near(direct.transfer, 14.0 / 8.0 + 2.0 / 16.0), "{direct:?}");
        assert!(near(direct.latency, 5.0 * (14.0 * 1e-3 + 2.0 * 1e-2)), "{direct:?}");
        // In one machine, there is no network.
        let one = Job { gpus: 4.0, ..JOB }.step(&cluster(), Way::Direct);
        assert!(near(one.transfer, 6.0 / 4.0) && near(one.latency, 5.0 * 6.0 * 1e-3), "{one:?}");
    }

    #[test]
    fn overlap_hides_at_most_the_sums_and_the_backward_pass() {
        let of = |images: f64, way| Job { images, ..JOB }.step(&cluster(), way);
        // The backward pass of three images takes two seconds: all but the small sums.
        let step = of(3.0, Way::Overlapped);
        assert!(near(step.sums(), 4.0 * 0.034), "{step:?}");
        // That of one image hides two thirds of a second.
        let step = of(1.0, Way::Overlapped);
        assert!(near(step.hidden, 2.0 / 3.0) && near(step.sums(), 1.875 + 0.17 - 2.0 / 3.0), "{step:?}");
        // bf16 has half of the bytes.
        assert!(near(of(1.0, Way::Half).transfer, 1.875 / 2.0));
        for images in [0.5, 1.0, 8.0] {
            let seconds = Way::PLAN.map(|way| of(images, way).seconds());
            assert!(seconds.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "{seconds:?}");
        }
    }

    #[test]
    fn one_gpu_sums_nothing_and_waits_for_its_own_work() {
        let alone = Job { gpus: 1.0, ..JOB };
        for way in Way::PLAN {
            let step = alone.step(&cluster(), way);
            assert!(step.sums() == 0.0 && near(step.seconds(), 3.25), "{step:?}");
        }
        // 3 megapixels at 0.5 a second, of which the step itself takes 3.25 s.
        let slow = Cluster { cores_per_gpu: 1.0, decoded_pixels_per_s: 5e5, ..cluster() };
        assert!(near(alone.step(&slow, Way::Today).decoding, 6.0 - 3.25));
        let busy =
            Cluster { memory_bytes_per_s: BUCKET as f64, disk_bytes_per_s: BUCKET as f64, ..cluster() };
        let step = Job { gpus: 1.0, ..JOB }.step(&busy, Way::Today);
        assert!(
            near(step.average, 3.0) && near(step.saving, 4.0) && near(step.compute, 3.25 + 7.0),
            "{step:?}"
        );
    }
}
