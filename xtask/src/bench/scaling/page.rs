//! The page: laws, predictions, points, and published trainings.

use serde_json::Value;

use super::laws::Law;
use super::measure::Measured;
use super::paper::{Counted, H100_PEAK, UTILISATION};
use super::plan::{Axis, CENTRE};
use crate::bench::markdown::{short, table};

/// Everything the page reports.
pub(super) struct Page<'a> {
    /// What was run, where and how often.
    pub(super) head: &'a Value,
    pub(super) measured: &'a [Measured],
    pub(super) laws: &'a [Law],
    pub(super) counted: &'a [Counted],
}

impl Page<'_> {
    /// As Markdown, with the picture beside it.
    pub(super) fn markdown(&self) -> String {
        [self.introduction(), self.laws(), self.points(), self.on_paper()].join("\n\n") + "\n"
    }

    /// The laws only, for a terminal.
    pub(super) fn text(&self) -> String {
        let line = |law: &Law| {
            format!(
                "{:28}  R2 {:.4}, at most {:4.1} % off; {} {}: predicted {}, measured {} {} ({:+.1} %)",
                law.formula(),
                law.quality.r_squared,
                100.0 * law.quality.worst,
                law.axis.name(),
                law.held_out.0,
                short(law.predicted()),
                short(law.held_out.1),
                law.quantity.unit(),
                100.0 * law.error(),
            )
        };
        self.laws.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn introduction(&self) -> String {
        let said = |key: &str| self.head[key].as_str().unwrap_or("unknown").to_owned();
        let quick = if self.head["quick"] == true { " Few and short rounds (`--quick`): rough." } else { "" };
        format!(
            "# Scaling of a training step\n\n\
             `cargo xtask bench --scaling`, commit {}, on {}, {}, {}: the medians of {} rounds. Each \
             point runs in a separate process, and every other round runs backwards.{quick} The network is \
             `small-32` with 16 groups and attention on the lowest of the three levels. Batch {}, {} px and {} \
             base channels, except for the varied quantity. Memory is the peak resident memory of the whole \
             process.\n\n\
             ![time and memory against batch size, image side and width](scaling.png)",
            said("commit"),
            said("processor"),
            files::counted(self.head["threads"].as_u64().unwrap_or(0), "thread"),
            said("default_precision"),
            self.head["rounds"],
            CENTRE.batch,
            CENTRE.side,
            CENTRE.width,
        )
    }

    fn laws(&self) -> String {
        let row = |law: &Law| {
            let unit = law.quantity.unit();
            vec![
                law.axis.name().to_owned(),
                format!("`{}` {unit}", law.formula()),
                format!("{:.4}", law.quality.r_squared),
                format!("{:.1} %", 100.0 * law.quality.worst),
                format!("{}", law.held_out.0),
                format!("{} {unit}", short(law.predicted())),
                format!("{} {unit}", short(law.held_out.1)),
                format!("{:+.1} %", 100.0 * law.error()),
            ]
        };
        let header = ["against", "law", "R²", "largest error", "held out", "predicted", "measured", "error"];
        let table = table(&header, self.laws.iter().map(row));
        let left_out = |axis: Axis| {
            let law = self.laws.iter().find(|law| law.axis == axis && !law.left_out.is_empty());
            let list =
                |law: &Law| law.left_out.iter().map(|p| p.0.to_string()).collect::<Vec<_>>().join(", ");
            law.map_or_else(|| "none".to_owned(), list)
        };
        format!(
            "## Laws\n\
             n is the batch size, s the image side in pixels, w the base channels. Sums minimise squared \
             relative errors, powers squared errors of the logarithms. The largest point of each sweep is held \
             out to test the prediction. R² and the largest error refer to the fitted points.\n\n{table}\n\n\
             - Time against batch size: a fixed cost per step (launches, optimiser, EMA) and a cost per image.\n\
             - Time against side: the fixed cost comes from the first law and is not fitted again. Sides where \
             it is more than half of a step are left out ({}).\n\
             - Time against width: the whole step, since a wider network also costs its optimiser more. Widths \
             below the preset's, where most of the time is not multiplication, are left out ({}). The power \
             describes how time grows over the fitted widths. Operations grow with w², but time grows more \
             slowly as long as wide convolutions come closer to the machine's peak. The sum (drawn) separates \
             elementwise work, which grows with w, from multiplications and the optimiser, which grow with w². \
             So it can bend upwards beyond the points.\n\
             - Memory: the process with its network, and the feature maps, which grow with n, s² and w. The \
             sweep over widths adds weights, gradients, moments and EMA, which grow with w².",
            left_out(Axis::Side),
            left_out(Axis::Width)
        )
    }

    fn points(&self) -> String {
        let header = ["ms a step", "rounds", "images/s", "GFLOP", "GFLOP/s", "MiB"];
        let one = |axis: Axis| {
            let row = |measured: &Measured| {
                let value = axis.value(measured.point)?;
                let [low, high] = measured.spread();
                Some(vec![
                    value.to_string(),
                    short(1e3 * measured.seconds()),
                    format!("{} to {}", short(1e3 * low), short(1e3 * high)),
                    short(f64::from(measured.point.batch) / measured.seconds()),
                    short(measured.gflop()),
                    short(measured.gflop_per_s()),
                    format!("{:.0}", measured.peak_mib()),
                ])
            };
            let mut columns = vec![axis.name()];
            columns.extend(header);
            table(&columns, self.measured.iter().filter_map(row))
        };
        format!("## Points\n{}", Axis::ALL.map(one).join("\n\n"))
    }

    fn on_paper(&self) -> String {
        let (rate, best) = best_rate(self.measured);
        let days = |[slow, fast]: [f64; 2]| format!("{} to {}", short(fast), short(slow));
        let row = |c: &Counted| {
            let [more, fewer] = c.h100_for_a_week();
            vec![
                format!("{} ({})", c.published.name, c.published.source),
                format!("{:.0} M", c.images() / 1e6),
                short(c.flop_of_image / 1e9),
                exponent(c.flop()),
                format!("{} years", short(c.days(rate) / 365.25)),
                days(c.h100_days(1.0)),
                days(c.h100_days(8.0)),
                if fewer < more { format!("{fewer} to {more}") } else { format!("{more}") },
            ]
        };
        let header = [
            "training",
            "images seen",
            "GFLOP an image",
            "FLOP",
            "this machine",
            "days, 1 H100",
            "days, 8 H100",
            "H100 for a week",
        ];
        let table = table(&header, self.counted.iter().map(row));
        let shapes: Vec<String> = self
            .counted
            .iter()
            .map(|c| {
                let (steps, batch) = (c.published.steps / 1e3, c.published.batch);
                format!("- {}: {}; {steps} k steps of {batch}.", c.published.name, c.published.shape)
            })
            .collect();
        let check = |c: &Counted| {
            let (rate, device) = c.published_rate()?;
            Some(format!("{} TFLOP/s of a {device} for {}", short(rate / 1e12), c.published.name))
        };
        let checks: Vec<String> = self.counted.iter().filter_map(check).collect();
        let [plain, tuned] = UTILISATION.map(|share| format!("{:.0} %", 100.0 * share));
        format!(
            "## Training at 64, 256 and 512 px, on paper\n\
             days = steps x batch x FLOP per image / (FLOP/s x GPUs) / 86400, with the published steps and \
             batch, and the operations of our own network of the published shape, forward and backward (`ddpm \
             inspect work`). **This machine** is the best rate measured above, {} GFLOP/s ({best}). **H100** \
             is its dense bf16 peak, {:.0} TFLOP/s, times {tuned} to {plain}. That share and perfect scaling \
             over GPUs are assumptions, not measurements.\n\n{table}\n\nThe shapes:\n\n{}\n\n\
             Our network changes the resolution with one convolution, where Dhariwal & Nichol use residual \
             blocks, and has no variance output, so their rows count somewhat fewer operations than they ran. \
             A check of the arithmetic: with these operations, the published speeds imply {}.",
            short(rate / 1e9),
            H100_PEAK / 1e12,
            shapes.join("\n"),
            checks.join(", "),
        )
    }
}

/// The highest rate in operations per second, and the point that reached it.
pub(super) fn best_rate(measured: &[Measured]) -> (f64, String) {
    let best = measured.iter().max_by(|a, b| a.gflop_per_s().total_cmp(&b.gflop_per_s()));
    best.map_or((f64::NAN, String::new()), |best| {
        let point = best.point;
        let place = format!("batch {}, {} px, {} channels", point.batch, point.side, point.width);
        (1e9 * best.gflop_per_s(), place)
    })
}

/// `3.8e18` as `3.8 x 10^18`.
fn exponent(x: f64) -> String {
    let text = format!("{x:.1e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{digits} x 10^{power}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scaling::laws::laws;
    use crate::bench::scaling::paper;
    use crate::bench::scaling::plan::points;
    use serde_json::json;

    fn measured() -> Vec<Measured> {
        let measured = |point: super::super::plan::Point| {
            let work = point.size() * f64::from(point.width) / 32.0;
            let said = json!({
                "median_s": 0.006 + 0.08 * work, "peak_mib": 100.0 + 128.0 * point.size(), "gflop": 30.0 * work,
                "attention_gflop": 0.0,
            });
            Measured { point, said: vec![said] }
        };
        points(false).into_iter().map(measured).collect()
    }

    #[test]
    fn the_page_has_every_law_point_and_training() {
        let measured = measured();
        let laws = laws(&measured).unwrap();
        let counted =
            paper::counted(&mut |_| Ok(json!({ "training_gflop": 1000.0, "training_attention_gflop": 0.0 })))
                .unwrap();
        let head = json!({ "commit": "abc", "processor": "a CPU", "threads": 2, "rounds": 5, "quick": true,
                           "default_precision": "bf16" });
        let page = Page { head: &head, measured: &measured, laws: &laws, counted: &counted };
        let text = page.markdown();
        for law in &laws {
            assert!(text.contains(&law.formula()) && page.text().contains(&law.formula()), "{text}");
        }
        assert!(text.contains("commit abc, on a CPU, 2 threads, bf16") && text.contains("rough"), "{text}");
        // Every table has constant width; five headers and rules, and all rows.
        let rows = text.lines().filter(|line| line.starts_with('|')).count();
        assert_eq!(rows, 5 * 2 + 7 + measured.len() + 2 + counted.len());
        // 800,000 x 128 images of 10^12 operations each.
        assert!(
            text.contains("| CIFAR-10, 32 px (Ho et al. 2020, App. B) | 102 M | 1000 | 1.0 x 10^20 |"),
            "{text}"
        );
        let best = best_rate(&measured);
        assert!(text.contains(&best.1) && best.0 < 375e9 && best.0 > 370e9, "{best:?}");
    }
}
