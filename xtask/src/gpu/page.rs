//! The page of results: where they were measured, how the stages ended, the speed beside diffusers with its goals, and the
//! errors against the CPU. A section without results is left out.

use std::fmt::Write;

use super::results::{Check, Head, Results, Speed};

/// Goals for the speed beside diffusers: the work begins with these words; factors beside diffusers as it is and beside
/// torch.compile.
pub(super) const GOALS: [(&str, [f64; 2]); 2] =
    [("train cifar10, 128 images", [2.0, 1.1]), ("sample cifar10, 16 images", [5.0, 1.3])];
/// Further goals of the same kinds of work.
const STRETCH: [[f64; 2]; 2] = [[3.0, 1.3], [8.0, 2.0]];
/// The names of our program and of these two peers.
const OURS: &str = "ours";
const PEERS: [&str; 2] = ["diffusers", "diffusers compiled"];

/// The page as Markdown.
pub(super) fn markdown(results: &Results) -> String {
    let mut page = String::from("# On a GPU\n\n");
    if let Some(head) = &results.head {
        page += &origin(head);
    }
    for part in [stages(results), goals(results), speed(results), compared(results), failed(results)] {
        if !part.is_empty() {
            page.push('\n');
            page += &part;
        }
    }
    if let Some(training) = &results.training {
        let _ = write!(
            page,
            "\n## Training\nThe last stage trained `ddpm-cifar10`: {} steps so far, loss {}, {:.0} images/s.\n",
            training.steps,
            number(training.loss),
            training.images_per_s
        );
    }
    page
}

fn origin(head: &Head) -> String {
    let memory = head.memory_mib.map(|mib| format!(" with {:.0} GiB", mib / 1024.0)).unwrap_or_default();
    let driver = head.driver.as_ref().map(|driver| format!(", driver {driver}")).unwrap_or_default();
    let device = match &head.gpu {
        Some(gpu) => format!("{gpu}{memory}{driver}"),
        None if head.device == "cpu" => "a trial on the CPU alone, without a GPU".to_owned(),
        None => "a GPU that nvidia-smi did not name".to_owned(),
    };
    format!(
        "Measured on {} by `cargo xtask gpu-kit` ([gpu-kit.md](gpu-kit.md)): {device}; {}; ddpm {}, commit {}.\n",
        head.date, head.processor, head.version, head.commit
    )
}

fn stages(results: &Results) -> String {
    let mut text = String::from("## Stages\n| stage | result | s | checks passed | failed | not tried |\n");
    text += "|---|---|---|---|---|---|\n";
    for stage in &results.stages {
        let count = |ok| {
            let of_stage = results.checks.iter().filter(|check| check.stage == stage.stage);
            of_stage.filter(|check| check.ok == ok).count()
        };
        let why = stage.why.as_ref().map(|why| format!(": {}", cell(why))).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {}{why} | {:.0} | {} | {} | {} |",
            stage.stage,
            stage.outcome,
            stage.seconds,
            count(Some(true)),
            count(Some(false)),
            count(None)
        );
    }
    text
}

/// The speed of two programs for the same work, as a ratio.
fn ratio(results: &Results, work: &str, peer: &str) -> Option<f64> {
    let of = |who: &str| results.speeds.iter().find(|speed| speed.work == work && speed.who == who);
    Some(of(OURS)?.images_per_s / of(peer)?.images_per_s)
}

fn goals(results: &Results) -> String {
    let mut rows = String::new();
    for ((work, goals), stretch) in GOALS.iter().zip(STRETCH) {
        for ((peer, goal), stretch) in PEERS.iter().zip(goals).zip(stretch) {
            if let Some(ratio) = ratio(results, work, peer) {
                let met = if ratio >= stretch {
                    "both met"
                } else if ratio >= *goal {
                    "goal met"
                } else {
                    "not met"
                };
                let _ = writeln!(rows, "| {work} | {peer} | {ratio:.2} | {goal} | {stretch} | {met} |");
            }
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "## Goals\nSpeed as a multiple of the peer's, both in bf16.\n\n\
         | work | peer | times as fast | goal | further goal | |\n\
         |---|---|---|---|---|---|\n{rows}"
    )
}

fn speed(results: &Results) -> String {
    if results.speeds.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "## Speed\nA step of training, or one network call of sampling. \"Waited\" is a step that waits for the GPU after \
         each part; in training it is also not recorded. nvidia-smi reports memory and load, for the whole GPU.\n\n\
         | work | program | precision | ms | waited, ms | images/s | share of peak | memory, MiB | GPU busy, % |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for one in &results.speeds {
        text += &speed_row(one);
    }
    text
}

fn speed_row(speed: &Speed) -> String {
    let or_none = |value: Option<f64>, digits: usize| {
        value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
    };
    format!(
        "| {} | {} | {} | {:.2} | {} | {:.0} | {} | {} | {} |\n",
        speed.work,
        speed.who,
        speed.precision.as_deref().unwrap_or_default(),
        speed.median_s * 1e3,
        or_none(speed.waited_s.map(|seconds| seconds * 1e3), 2),
        speed.images_per_s,
        or_none(speed.share_of_peak, 2),
        or_none(speed.gpu_mib, 0),
        or_none(speed.gpu_busy_percent, 0),
    )
}

/// The checks with a number, each beside its limit.
fn compared(results: &Results) -> String {
    let mut rows = String::new();
    for check in &results.checks {
        if let (Some(value), Some(limit)) = (check.value, check.limit) {
            let why = check.why.as_ref().map(|why| format!(" ({})", cell(why))).unwrap_or_default();
            let (name, unit) = (cell(&check.name), cell(&check.unit));
            let _ = writeln!(rows, "| {name}{why} | {} | {} | {unit} |", number(value), number(limit));
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "## Against the CPU\nErrors against the CPU in f32, from the same weights, images and noise. Recorded steps and calls are \
         compared with the same ones without a recording, on the GPU.\n\n\
         | what | error | at most | |\n|---|---|---|---|\n{rows}"
    )
}

fn failed(results: &Results) -> String {
    let list = |ok: Option<bool>| -> String {
        results.checks.iter().filter(|check| check.ok == ok).map(line).collect()
    };
    let (failed, skipped) = (list(Some(false)), list(None));
    let section = |head: &str, lines: String| {
        if lines.is_empty() { lines } else { format!("## {head}\n{lines}") }
    };
    let both = [section("Failed", failed), section("Not tried", skipped)];
    both.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

fn line(check: &Check) -> String {
    let why = check.why.as_ref().map(|why| format!(": {}", cell(why))).unwrap_or_default();
    let found = match (check.value, check.limit) {
        (Some(value), Some(limit)) => format!(": {}, at most {}", number(value), number(limit)),
        _ => String::new(),
    };
    format!("- {}: {}{found}{why}\n", check.stage, cell(&check.name))
}

/// A text in a cell: of one line, and without what ends the cell.
fn cell(text: &str) -> String {
    files::printable_line(text).replace('|', "\\|")
}

/// Three significant digits.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e4).contains(&value.abs()) {
        let digits = if value == 0.0 { 0.0 } else { 2.0 - value.abs().log10().floor() };
        return format!("{value:.*}", digits.max(0.0) as usize);
    }
    format!("{value:.2e}")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{RECORDED, recorded};
    use super::*;

    #[test]
    fn a_recorded_run_is_a_page() {
        let page = markdown(&recorded(RECORDED).unwrap());
        for part in [
            "Measured on 2026-01-03 by",
            "G-100 with 80 GiB, driver 580.1; P; ddpm 0.1.0, commit abc1234.",
            "| compare | FAILED | 60 | 2 | 1 | 1 |",
            "| speed | cut: its time was used up | 100 | 0 | 0 | 0 |",
            "| train cifar10, 128 images | diffusers | 2.50 | 2 | 3 | goal met |",
            "| train cifar10, 128 images | diffusers compiled | 1.00 | 1.1 | 1.3 | not met |",
            "| train cifar10, 128 images | ours | bf16 | 20.00 | 40.00 | 6400 | 0.40 | 9000 | 98 |",
            "| tiny-16, f32: output | 1.25e-6 | 1.00e-4 | relative |",
            "| tiny-16, f32: worst gradient (mid.weight of 7 tensors) | 0.00200 | 0.0100 | relative |",
            "- compare: tiny-16, bf16: output: 0.250, at most 0.100\n",
            "- compare: solver heun \\| f32: there is no network\n",
            "4000 steps so far, loss 0.0310, 5900 images/s.",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("sample cifar10") && !page.contains("null"), "{page}");
    }

    #[test]
    fn what_was_not_measured_has_no_section() {
        let first: Vec<&str> = RECORDED.lines().take(3).collect();
        let page = markdown(&recorded(&first.join("\n")).unwrap());
        for absent in
            ["## Goals", "## Speed", "## Against", "## Failed", "## Not tried", "## Training", "\n\n\n"]
        {
            assert!(!page.contains(absent), "{absent}\n{page}");
        }
        assert!(page.contains("| doctor | ok | 4 | 1 | 0 | 0 |"), "{page}");
    }

    #[test]
    fn a_trial_without_a_gpu_says_so() {
        let text = RECORDED.replace("\"G-100\"", "null").replace("\"cuda\"", "\"cpu\"");
        assert!(markdown(&recorded(&text).unwrap()).contains("the CPU alone, without a GPU"));
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in
            [(0.0, "0"), (1.0, "1.00"), (0.0312, "0.0312"), (123.4, "123"), (1.5e-7, "1.50e-7")]
        {
            assert_eq!(number(value), text);
        }
    }
}
