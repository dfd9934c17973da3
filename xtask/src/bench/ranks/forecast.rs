//! The second half of the page: published trainings on 8 to 512 GPUs, what breaks first, and what to do about it.

use super::cluster::Cluster;
use super::page::{milliseconds, percent};
use super::predict::{GPUS, MATTERS, Scaling, Training};
use super::step::{Step, Way};
use crate::bench::markdown::{short, table};

/// A part of a step, with its name in the table of what breaks first.
type Part = (&'static str, fn(&Step) -> f64);

/// The parts that can hold a step up.
const PARTS: [Part; 6] = [
    ("copies to host memory", |step| step.copies),
    ("bytes of the sums", |step| step.transfer),
    ("messages of the sums", |step| step.latency),
    ("rank 0's average", |step| step.average),
    ("checkpoints", |step| step.saving),
    ("decoding", |step| step.decoding),
];

/// As Markdown.
pub(super) fn markdown(cluster: &Cluster, trainings: &[Training]) -> String {
    [
        assumptions(cluster),
        networks(trainings),
        scaling(cluster, trainings, Scaling::Weak),
        scaling(cluster, trainings, Scaling::Strong),
        breaks(cluster, trainings),
        plan(cluster, trainings),
    ]
    .join("\n\n")
}

fn assumptions(cluster: &Cluster) -> String {
    let row = |((name, unit, source), value): ((&str, &str, &str), f64)| {
        vec![format!("`{name}`"), format!("{} {unit}", number(value)), source.to_owned()]
    };
    format!(
        "## GPUs: assumptions\n\
         From here on nothing was measured, except where the table says so. `--assume NAME=VALUE` changes a number. \
         Published trainings and their operations are those of [scaling.md](scaling.md).\n\n{}\n\n\
         A step of r GPUs takes `t(r) = compute(batch / r) + max(0, sums - overlap)`, where the overlap is counted \
         as 0 today. compute is `step_s`, the operations of the images, and the memory traffic of Adam. The sums are \
         those of the gradients in f32, four small ones, and the copies of the gradients to host memory and back. They \
         run in one ring over all ranks, by the law above. Sums begin during the backward pass today, but how much of \
         them it hides on GPUs is not measured, so a step is assumed to wait for copies and sums in full. Rank 0's \
         average of the weights and its checkpoints, and images that are not decoded in time, are added.",
        table(&["name", "value", "source"], cluster.numbers().into_iter().map(row))
    )
}

/// A number without many zeros.
fn number(value: f64) -> String {
    // Three digits: a measured speed has no more.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if (1e-2..1e5).contains(&value) { format!("{rounded}") } else { format!("{rounded:e}") }
}

fn networks(trainings: &[Training]) -> String {
    let row = |training: &Training| {
        vec![
            format!("{} ({})", training.published.name, training.published.source),
            format!("{} M", short(training.parameters / 1e6)),
            short(training.flop_of_image / 1e9),
            training.published.batch.to_string(),
        ]
    };
    format!(
        "The parameters are those of our own network of the published shape (`ddpm inspect model`).\n\n{}",
        table(&["training", "parameters", "GFLOP an image", "published batch"], trainings.iter().map(row))
    )
}

fn scaling(cluster: &Cluster, trainings: &[Training], scaling: Scaling) -> String {
    let row = |training: &Training, gpus: u32| {
        let place = (scaling, gpus);
        let mut cells = vec![
            training.published.name.to_owned(),
            gpus.to_string(),
            training.batch(scaling, gpus).to_string(),
        ];
        match training.step(cluster, place, Way::Today) {
            Some(step) => {
                let seconds = [step.compute, step.sums(), step.seconds()];
                cells.extend(seconds.map(|seconds| format!("{} ms", milliseconds(seconds))));
            }
            None => cells.extend(["fewer images than GPUs", "", ""].map(str::to_owned)),
        }
        let efficiency = |way| training.efficiency(cluster, place, way).map(percent).unwrap_or_default();
        cells.extend(Way::PLAN.map(efficiency));
        cells
    };
    let rows = trainings.iter().flat_map(|training| GPUS.map(|gpus| row(training, gpus)));
    let mut header = vec!["training", "GPUs", "batch", "compute", "sums today", "step today"];
    header.extend(Way::PLAN.map(Way::name));
    let (heading, text) = match scaling {
        Scaling::Weak => (
            "Weak scaling",
            "Every GPU gets an eighth of the published batch. Efficiency is relative to one GPU with as many images.",
        ),
        Scaling::Strong => (
            "Strong scaling",
            "The GPUs divide the published batch. Efficiency is relative to one GPU with the whole batch, divided by \
             the GPUs.",
        ),
    };
    format!(
        "## {heading}\n{text} The last columns are the efficiencies of the plan below, each with what comes before \
         it.\n\n{}",
        table(&header, rows)
    )
}

fn breaks(cluster: &Cluster, trainings: &[Training]) -> String {
    let most = GPUS.into_iter().max().unwrap_or(1);
    let row = |training: &Training| {
        let from = |(_, part): Part| match training.matters_from(cluster, part) {
            Some(gpus) => format!("from {gpus}"),
            None => format!("not to {most}"),
        };
        let mut cells = vec![training.published.name.to_owned()];
        cells.extend(PARTS.map(from));
        cells.push(format!("above {}", training.published.batch));
        cells
    };
    let mut header = vec!["training"];
    header.extend(PARTS.map(|part| part.0));
    header.push("published batch");
    let first: Vec<String> = trainings.iter().map(|training| first(cluster, training)).collect();
    format!(
        "## What breaks first\n\
         The smallest power of two of GPUs from which a part of today's step takes {} of its computation, in weak \
         scaling. With more GPUs than the published batch has images, a training is another one: its batch, learning \
         rate and number of steps have to be chosen again, which no speed makes up for.\n\n{}\n\n\
         The largest part besides the computation, on 8, 64 and 512 GPUs:\n\n{}",
        percent(MATTERS),
        table(&header, trainings.iter().map(row)),
        first.join("\n")
    )
}

/// The largest part of a training's step on each number of GPUs, as a line of a list.
fn first(cluster: &Cluster, training: &Training) -> String {
    let of = |gpus: u32| {
        let step = training.step(cluster, (Scaling::Weak, gpus), Way::Today)?;
        let (name, part) = PARTS.into_iter().max_by(|a, b| (a.1)(&step).total_cmp(&(b.1)(&step)))?;
        Some(format!("{name} ({} of the step)", percent(part(&step) / step.seconds())))
    };
    let parts: Vec<String> = GPUS.into_iter().filter_map(of).collect();
    format!("- {}: {}.", training.published.name, parts.join(", "))
}

fn plan(cluster: &Cluster, trainings: &[Training]) -> String {
    let most = GPUS.into_iter().max().unwrap_or(1);
    let gains: Vec<String> = trainings
        .iter()
        .filter_map(|training| {
            let of = |way| training.efficiency(cluster, (Scaling::Weak, most), way);
            let [today, .., last] = Way::PLAN.map(of);
            Some(format!("{}: {} to {}", training.published.name, percent(today?), percent(last?)))
        })
        .collect();
    format!(
        "## The plan, in order\n\
         1. Sum between GPUs (NCCL; available today, but not yet measured): \
         first over NVLink in each machine, then over the network, where each GPU sums an \
         eighth. Nothing is copied to host memory, and the network's ring has one member per machine, so both bytes \
         and messages get cheaper. The small sums go the same way; a tree would need fewer messages for them.\n\
         2. Begin these sums during the backward pass, as those by Gloo begin today: that of a bucket when its last \
         gradient is complete. The pass has two thirds of the images' operations. The small sums at the end of a step \
         cannot be hidden.\n\
         3. Send gradients in bf16 (`DDPM_REDUCE=bf16`, available today) where the bytes still show.\n\
         4. Write checkpoints in the background, and divide the optimiser and the averages among the ranks: rank 0 \
         saves and averages while the others wait, and all repeat the same optimiser step.\n\
         5. Decode on more cores, or store decoded images, where decoding shows.\n\
         6. Larger batches than the published ones, with learning rates chosen for them. Only this uses more GPUs than \
         the batch has images.\n\n\
         With steps 1 to 3, the efficiency of weak scaling on {most} GPUs rises. {}.",
        gains.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::measure::tests::LINK;
    use super::super::predict::tests::counted;
    use super::*;

    fn text(change: &str) -> String {
        let mut cluster = Cluster::new(LINK);
        cluster.set(change).unwrap();
        markdown(&cluster, &counted())
    }

    #[test]
    fn every_assumption_network_and_number_of_gpus_is_there() {
        let text = text("checkpoint_steps=5000");
        for expected in [
            "| `flop_per_s` | 9.89e14 FLOP/s | dense bf16 peak",
            "| `gloo_bytes_per_s` | 1e9 bytes/s |",
            "| `checkpoint_steps` | 5000 steps |",
            "| CIFAR-10, 32 px (Ho et al. 2020, App. B) | 40.0 M | 37.0 | 128 |",
            "| CIFAR-10, 32 px | 512 | 8192 |",
            "| ImageNet, 512 px | 512 | 256 | fewer images than GPUs |  |  |  |  |  |  |",
            "today | + between GPUs | + overlapped | + bf16 |",
            "above 128 |",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let rows = text.lines().filter(|line| line.starts_with("| LSUN Bedroom, 256 px")).count();
        assert_eq!(rows, 1 + 3 + 3 + 1);
        assert_eq!(text.matches(" of the step)").count(), 9);
    }

    /// With a slow part, that part is the first; the others do not change.
    #[test]
    fn the_first_part_to_break_follows_from_the_numbers() {
        let lines = |change: &str| -> Vec<String> {
            text(change).lines().filter(|line| line.starts_with("- ")).map(str::to_owned).collect()
        };
        for (change, part) in [
            ("gloo_latency_s=10", "messages of the sums"),
            ("gloo_bytes_per_s=1e3", "bytes of the sums"),
            ("pcie_bytes_per_s=1e3", "copies to host memory"),
            ("disk_bytes_per_s=1", "checkpoints"),
            ("decoded_pixels_per_s=1", "decoding"),
        ] {
            let lines = lines(change);
            assert!(
                lines.len() == 3 && lines.iter().all(|line| line.matches(part).count() == 3),
                "{lines:?}"
            );
        }
    }
}
