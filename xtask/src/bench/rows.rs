//! The rows of the table: the work, the peer, the goal, and how the ratio is computed from the answers.

use std::collections::BTreeMap;

use super::programs::Who;
use super::rounds::{Said, median};
use super::whole::Whole;

/// All measurements, by the name of the block.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) blocks: BTreeMap<&'static str, Said>,
    /// A whole training run, or why there is none.
    pub(super) whole: Option<Result<Whole, String>>,
    /// Seconds from process start to 64 images of the default model, for each try; or why there are none.
    pub(super) images: Option<Result<Vec<f64>, String>>,
}

/// The unit of a row's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Speed-up factor.
    Times,
    /// A fraction in [0, 1]; more is better.
    Share,
    /// A memory ratio; less is better.
    Memory,
    /// Seconds; less is better.
    Seconds,
}

impl Unit {
    fn less_is_better(self) -> bool {
        matches!(self, Self::Memory | Self::Seconds)
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) work: String,
    pub(super) against: String,
    pub(super) unit: Unit,
    /// The goal, and a stretch goal; `None` if no goal is set.
    pub(super) goals: Option<(f64, f64)>,
    /// The value, with the smallest and largest of the rounds; or why there is none.
    pub(super) measured: Result<(f64, [f64; 2]), String>,
    /// The two values behind the ratio, in words.
    pub(super) of: String,
}

impl Row {
    /// `stretch`, `met`, `not met`, `no goal` or `left out`.
    pub(super) fn verdict(&self) -> &'static str {
        let (Ok((value, _)), Some((goal, stretch))) = (&self.measured, self.goals) else {
            return if self.measured.is_ok() { "no goal" } else { "left out" };
        };
        let reaches = |mark: f64| if self.unit.less_is_better() { *value <= mark } else { *value >= mark };
        match () {
            () if reaches(stretch) => "stretch",
            () if reaches(goal) => "met",
            () => "not met",
        }
    }
}

/// All rows of the measurements, in the order of the goals.
pub(super) fn rows(measured: &Measured) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, work, goals) in SPEED {
        let Some(said) = measured.blocks.get(name) else { continue };
        rows.extend(goals.iter().filter_map(|(bf16, peer, goals)| speed(said, work, *bf16, *peer, *goals)));
    }
    for (name, work) in [("train-small32", "train step small32"), ("train-cifar10", "train step cifar10")] {
        if let Some(said) = measured.blocks.get(name) {
            rows.extend(of_training(said, work));
        }
    }
    rows.extend(measured.whole.as_ref().map(|whole| whole_run(whole.as_ref())));
    rows.extend(measured.images.as_ref().map(|seconds| images(seconds.as_ref())));
    rows
}

/// Goal and stretch goal of a comparison; whether our side is in bf16 rather than in the default precision.
type Goal = (bool, Who, Option<(f64, f64)>);

/// Step speed comparisons: block, name of the work, and peer.
const SPEED: [(&str, &str, &[Goal]); 4] = [
    (
        "train-small32",
        "train step small32",
        &[
            (false, Who::DiffusersF32, Some((2.0, 2.6))),
            (true, Who::DiffusersBf16, Some((1.3, 1.7))),
            (true, Who::DiffusersBf16Compiled, Some((1.2, 1.5))),
            (false, Who::Lucidrains, Some((3.5, 5.0))),
            (false, Who::DiffusersF32ChannelsLast, None),
            (true, Who::DiffusersBf16ChannelsLast, None),
        ],
    ),
    (
        "train-cifar10",
        "train step cifar10",
        &[
            (false, Who::DiffusersF32, Some((1.8, 2.2))),
            (true, Who::DiffusersBf16, Some((1.1, 1.4))),
            (true, Who::DiffusersBf16ChannelsLast, None),
        ],
    ),
    (
        "sample-small32",
        "sampling step small32",
        &[
            (false, Who::DiffusersF32, Some((2.0, 3.0))),
            (true, Who::DiffusersBf16, Some((1.4, 2.0))),
            (true, Who::DiffusersBf16Frozen, Some((1.25, 1.7))),
            (true, Who::DiffusersBf16ChannelsLast, None),
        ],
    ),
    (
        "sample-cifar10",
        "sampling step cifar10",
        &[
            (false, Who::DiffusersF32, None),
            (true, Who::DiffusersBf16, None),
            (true, Who::DiffusersBf16Frozen, None),
            (true, Who::DiffusersBf16ChannelsLast, None),
        ],
    ),
];

/// The speed-up over a peer; no row for a peer that was not run.
fn speed(said: &Said, work: &str, bf16: bool, peer: Who, goals: Option<(f64, f64)>) -> Option<Row> {
    let ours = if bf16 { said.ours_in_bf16() } else { Who::Ours };
    let theirs = said.numbers(peer, "median_s")?;
    let numbers = said.numbers(ours, "median_s");
    let of = |numbers: &[f64]| format!("{:.1} and {:.1} ms", 1e3 * median(&theirs), 1e3 * median(numbers));
    Some(Row {
        work: format!("{work}, {}", if bf16 { "bf16" } else { "default precision" }),
        against: peer.name().to_owned(),
        unit: Unit::Times,
        goals,
        of: numbers.as_deref().map(of).unwrap_or_default(),
        measured: numbers
            .map(|numbers| ratio(&theirs, &numbers))
            .ok_or_else(|| format!("{} was not run", ours.name())),
    })
}

/// The ratio of the medians, and the extremes of the per-round ratios.
fn ratio(above: &[f64], below: &[f64]) -> (f64, [f64; 2]) {
    let by_round = above.iter().zip(below).map(|(above, below)| above / below);
    (median(above) / median(below), extremes(by_round))
}

fn extremes(numbers: impl Iterator<Item = f64>) -> [f64; 2] {
    numbers.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| [low.min(x), high.max(x)])
}

/// Share of peak, memory and start of a training step.
fn of_training(said: &Said, work: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    if let (Some(shares), Some(peak)) =
        (said.numbers(Who::Ours, "share_of_peak"), said.median(Who::Ours, "peak_gflop_per_s"))
    {
        rows.push(Row {
            work: format!("share of peak, {work}"),
            against: "this machine's 3x3 convolutions".to_owned(),
            unit: Unit::Share,
            goals: Some((0.7, 0.85)),
            measured: Ok((median(&shares), extremes(shares.iter().copied()))),
            of: format!("peak {peak:.0} GFLOP/s"),
        });
    }
    for (ours, peer) in [(Who::Ours, Who::DiffusersF32), (said.ours_in_bf16(), Who::DiffusersBf16)] {
        let (Some(numbers), Some(theirs)) = (said.numbers(ours, "peak_mib"), said.numbers(peer, "peak_mib"))
        else {
            continue;
        };
        rows.push(Row {
            work: format!("peak memory, {work}"),
            against: peer.name().to_owned(),
            unit: Unit::Memory,
            goals: Some((0.8, 0.6)),
            measured: Ok(ratio(&numbers, &theirs)),
            of: format!("{:.0} and {:.0} MiB", median(&numbers), median(&theirs)),
        });
    }
    if let Some(seconds) = said.numbers(Who::Ours, "first_step_after_s") {
        let theirs = said.median(Who::DiffusersF32, "first_step_after_s");
        rows.push(Row {
            work: format!("process start to the end of the first {work}"),
            against: "seconds; diffusers f32 beside it".to_owned(),
            unit: Unit::Seconds,
            // A goal is set only for the small network.
            goals: work.contains("small32").then_some((0.5, 0.25)),
            measured: Ok((median(&seconds), extremes(seconds.iter().copied()))),
            of: theirs.map(|theirs| format!("diffusers {theirs:.2} s")).unwrap_or_default(),
        });
    }
    rows
}

fn whole_run(whole: Result<&Whole, &String>) -> Row {
    Row {
        work: match whole {
            Ok(whole) => format!("whole `ddpm train`, {}", whole.what),
            Err(_) => "whole `ddpm train`".to_owned(),
        },
        against: "the bare step's rate".to_owned(),
        unit: Unit::Share,
        goals: Some((0.95, 0.98)),
        measured: whole.map(Whole::share).map_err(Clone::clone),
        of: whole
            .map(|whole| format!("{:.1} and {:.1} images/s", whole.images_per_s, median(&whole.bare)))
            .unwrap_or_default(),
    }
}

fn images(seconds: Result<&Vec<f64>, &String>) -> Row {
    Row {
        work: "process start to 64 images of the default model".to_owned(),
        against: "seconds; dpmpp-2m, 15 steps".to_owned(),
        unit: Unit::Seconds,
        goals: Some((6.0, 3.0)),
        measured: seconds
            .map(|seconds| (median(seconds), extremes(seconds.iter().copied())))
            .map_err(Clone::clone),
        of: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(rows: &[(Who, &[Value])]) -> Said {
        Said { by: rows.iter().map(|(who, said)| (*who, said.to_vec())).collect() }
    }

    fn step(median_s: f64) -> Value {
        json!({
            "median_s": median_s, "peak_mib": 1000.0 * median_s, "first_step_after_s": 0.3, "precision": "bf16",
            "share_of_peak": 0.75, "peak_gflop_per_s": 400.0,
        })
    }

    fn measured() -> Measured {
        let of_training = said(&[
            (Who::Ours, &[step(0.5), step(0.4), step(0.6)]),
            (Who::DiffusersF32, &[step(1.0), step(1.2), step(1.1)]),
            (Who::DiffusersBf16, &[step(0.5), step(0.6), step(0.55)]),
        ]);
        let whole = Whole { what: "100 steps".into(), images_per_s: 96.0, bare: vec![98.0, 102.0] };
        Measured {
            blocks: BTreeMap::from([("train-small32", of_training)]),
            whole: Some(Ok(whole)),
            images: Some(Err("there is no trained run".into())),
        }
    }

    #[test]
    fn ratios_are_of_medians_and_goals_are_judged() {
        let rows = rows(&measured());
        let row = |work: &str, against: &str| {
            rows.iter().find(|row| row.work.starts_with(work) && row.against.contains(against)).unwrap()
        };
        let f32 = row("train step small32", "diffusers f32");
        let (value, [low, high]) = f32.measured.clone().unwrap();
        assert!((value - 2.2).abs() < 1e-12 && (low - 1.1 / 0.6).abs() < 1e-12 && (high - 3.0).abs() < 1e-12);
        assert_eq!((f32.verdict(), f32.of.as_str()), ("met", "1100.0 and 500.0 ms"));
        // A factor of 1.1 where the goal is 1.3.
        assert_eq!(row("train step small32, bf16", "autocast").verdict(), "not met");
        assert_eq!(row("share of peak", "").verdict(), "met");
        // 500 of 1100 MiB; less is better.
        assert_eq!(row("peak memory", "diffusers f32").verdict(), "stretch");
        assert_eq!(row("peak memory", "autocast").verdict(), "not met");
        assert_eq!(row("process start to the end", "").verdict(), "met");
        assert_eq!(row("whole", "").measured.clone().unwrap().0, 0.96);
        assert_eq!(row("process start to 64", "").verdict(), "left out");
    }

    #[test]
    fn what_was_not_run_has_no_row() {
        let rows = rows(&measured());
        assert!(!rows.iter().any(|row| row.against.contains("compile") || row.work.contains("cifar10")));
        assert!(super::rows(&Measured::default()).is_empty());
        let only_peer = said(&[(Who::DiffusersF32, &[step(1.0)])]);
        let row = speed(&only_peer, "x", false, Who::DiffusersF32, None).unwrap();
        assert_eq!((row.verdict(), row.measured), ("left out", Err("ours was not run".to_owned())));
    }
}
