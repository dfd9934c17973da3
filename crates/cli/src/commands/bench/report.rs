//! The output of `ddpm bench train` and `ddpm bench sample`: one JSON object, or a table.

use config::Flop;
use serde_json::{Value, json};

use crate::commands::bench::{Measured, Subject, Task};
use crate::commands::inspect::table::{Table, grouped};
use crate::flags::Global;
use crate::{device, output};

/// All measurements of one kind of step.
pub(super) struct Report<'a> {
    pub(super) task: Task,
    pub(super) preset: &'a str,
    pub(super) subject: &'a Subject,
    pub(super) batch: usize,
    pub(super) warmup: usize,
    pub(super) measured: Measured,
    /// Operations per second of the fastest convolution, on one rank.
    pub(super) peak: f64,
    /// Number of ranks that take each step together.
    pub(super) ranks: usize,
}

impl Report<'_> {
    pub(super) fn finish(&self, global: &Global) -> anyhow::Result<()> {
        output::answer(global, &self.json(), || {
            format!("ddpm bench {}\n\n{}", self.what(), Table::facts(self.facts()))
        })
    }

    fn what(&self) -> &'static str {
        match self.task {
            Task::Train => "train",
            Task::Sample => "sample",
        }
    }

    /// Operations per step.
    fn flop(&self) -> Flop {
        let [_, height, width] = self.subject.image;
        let work = self.subject.config.model.work(height as usize, width as usize);
        match self.task {
            Task::Train => work.training(self.batch),
            Task::Sample => work.call(self.batch),
        }
    }

    fn share_of_peak(&self) -> f64 {
        self.flop().layers / self.measured.timings.median() / (self.peak * self.ranks as f64)
    }

    fn images_per_s(&self) -> f64 {
        self.batch as f64 / self.measured.timings.median()
    }

    fn json(&self) -> Value {
        let (subject, Measured { timings, peak_mib, parts }) = (self.subject, &self.measured);
        let flop = self.flop();
        let [channels, height, width] = subject.image;
        json!({
            "what": self.what(), "preset": self.preset, "batch": self.batch, "height": height, "width": width,
            "channels": channels, "parameters": subject.net.param_count(), "precision": subject.precision.name(),
            "threads": tch::get_num_threads(), "device": device::name(subject.net.device()),
            "ranks": self.ranks, "warmup": self.warmup, "steps": timings.seconds.len(),
            "median_s": timings.median(), "min_s": timings.min(), "mean_s": timings.mean(),
            "images_per_s": self.images_per_s(),
            "peak_mib": peak_mib, "first_step_after_s": timings.first_after,
            "gflop": flop.layers / 1e9, "attention_gflop": flop.attention / 1e9,
            "gflop_per_s": flop.layers / 1e9 / timings.median(), "peak_gflop_per_s": self.peak / 1e9,
            "share_of_peak": self.share_of_peak(), "parts": parts.json(), "parts_step_s": parts.step_s(),
        })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let (subject, Measured { timings, peak_mib, parts }) = (self.subject, &self.measured);
        let (median, steps) = (timings.median(), timings.seconds.len());
        let unit = match self.task {
            Task::Train => "images/s",
            Task::Sample => "images/s per step; an image takes as many steps as its chain has",
        };
        let milliseconds = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
        let gflop = self.flop().layers / 1e9;
        let [channels, height, width] = subject.image;
        let precision = subject.precision.name();
        let (threads, device) = (tch::get_num_threads(), device::name(subject.net.device()));
        let ranks = match self.ranks {
            1 => String::new(),
            ranks => format!(" on each of {ranks} ranks"),
        };
        let mut facts = vec![
            (
                "step",
                format!(
                    "{} median, {} fastest, of {steps}",
                    milliseconds(median),
                    milliseconds(timings.min())
                ),
            ),
            ("speed", format!("{:.1} {unit}", self.images_per_s())),
            (
                "arithmetic",
                format!(
                    "{gflop:.1} GFLOP per step, {:.0} GFLOP/s: {:.0} % of the {:.0} that convolutions reach here",
                    gflop / median,
                    100.0 * self.share_of_peak(),
                    self.peak * self.ranks as f64 / 1e9
                ),
            ),
            ("parts", format!("{}; of {}", parts.shares(), milliseconds(parts.step_s()))),
            ("first step", format!("done {:.2} s after the start", timings.first_after)),
            ("network", format!("{}, {} parameters", self.preset, grouped(subject.net.param_count()))),
            ("batch", format!("{} of {width}x{height}x{channels}", self.batch)),
            ("computed", format!("{precision} on {device}, {}{ranks}", files::counted(threads, "thread"))),
        ];
        if let Some(peak) = peak_mib {
            facts.push(("memory", format!("{peak:.0} MiB at the peak, for the whole program")));
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use tch::Device;

    /// The numbers are consistent: speed, work and share agree, and the parts add up to the step.
    #[test]
    fn the_numbers_agree_with_each_other() {
        let subject =
            Subject::new("tiny-16", &["model.base_channels=8".to_owned()], Device::Cpu, Some("f32")).unwrap();
        for (task, keys) in [(Task::Train, 6), (Task::Sample, 2)] {
            let measured = subject.time(task, 2, (1, 3), Instant::now(), &mut || ()).unwrap();
            let report = Report {
                task,
                preset: "tiny-16",
                subject: &subject,
                batch: 2,
                warmup: 1,
                measured,
                peak: 1e9,
                ranks: 1,
            };
            let said = report.json();
            let number = |key: &str| said[key].as_f64().unwrap();
            let share = number("gflop") / number("median_s") / number("peak_gflop_per_s");
            assert!((number("share_of_peak") / share - 1.0).abs() < 1e-9, "{said}");
            assert!((number("images_per_s") * number("median_s") - 2.0).abs() < 1e-9, "{said}");
            let parts = said["parts"].as_object().unwrap();
            let sum: f64 = parts.values().map(|seconds| seconds.as_f64().unwrap()).sum();
            assert!(parts.len() == keys && (sum / number("parts_step_s") - 1.0).abs() < 1e-9, "{said}");
            let shown = report.facts().into_iter().map(|(_, text)| text).collect::<String>();
            assert!(shown.contains("GFLOP/s") && shown.contains("forward"), "{shown}");
        }
    }
}
