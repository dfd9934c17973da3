//! `ddpm bench` on several ranks.

use anyhow::{Context, ensure};
use tests::Place;

use super::launch;

#[test]
fn steps_and_sums_are_timed_over_ranks() -> anyhow::Result<()> {
    let place = Place::new()?;
    let line = "bench sums --bytes 64,4096,10000 --bucket 4096 --steps 3 --warmup 1 --json";
    for (flags, kind) in [("--nproc 2", "f32"), ("--nproc 2 --reduce bf16", "bf16")] {
        let said = launch(&place, flags, line)?.json();
        ensure!(said["ranks"] == 2 && said["reduce"] == kind && said["bucket"] == 4096, "{said}");
        let sums = said["sums"].as_array().context("sums")?;
        for (sum, (bytes, messages)) in sums.iter().zip([(64, 1), (4096, 1), (10_000, 3)]) {
            ensure!(sum["bytes"] == bytes && sum["messages"] == messages, "{said}");
            let seconds = |key: &str| sum[key].as_f64().with_context(|| format!("{key}: {said}"));
            ensure!(0.0 < seconds("min_s")? && seconds("min_s")? <= seconds("median_s")?, "{said}");
        }
        ensure!(sums.len() == 3, "{said}");
    }

    // Training steps: the ranks divide the batch, and the sums are a part of the step.
    let line = "bench train --preset tiny-16 --batch 4 --steps 2 --warmup 1 --json";
    let (alone, said) = (place.ddpm(line)?.json(), launch(&place, "--nproc 2", line)?.json());
    let in_turn = launch(&place, "--nproc 2", &format!("{line} --no-overlap"))?.json();
    for (said, ranks) in [(&alone, 1), (&said, 2), (&in_turn, 2)] {
        ensure!(said["ranks"] == ranks && said["batch"] == 4 && said["gflop"] == alone["gflop"], "{said}");
        let reduce = said["parts"]["reduce"].as_f64();
        ensure!(reduce.is_some_and(|seconds| seconds > 0.0) == (ranks == 2), "{said}");
    }

    // Sums that there are not.
    for command in ["train", "sample"] {
        let output = place.ddpm(&format!("bench {command} --preset tiny-16 --no-overlap"))?.expect_code(2);
        ensure!(
            output.errors()[0].contains("--no-overlap: expected several ranks, found one"),
            "{}",
            output.stderr
        );
    }

    // What several processes would only repeat.
    for command in ["bench sample --preset tiny-16", "bench solvers --preset tiny-16"] {
        let output = launch(&place, "--nproc 2", command)?.expect_code(2);
        ensure!(output.errors()[0].contains("expected a single process, found 2 ranks"), "{}", output.stderr);
    }
    Ok(())
}
