//! The page: what was measured on this machine, with the laws fitted to it.

use super::cluster::Cluster;
use super::forecast;
use super::laws::{Law, laws, of_two_ranks};
use super::measure::All;
use super::plan::{
    BUCKET, BUCKETS, HELD_OUT, Kind, Network, PRESETS, RANKS, SIZES, STEPS, THREADS, Work, size,
};
use super::predict::Training;
use crate::bench::markdown::{short, table};
use crate::machine::Origin;

/// Everything the page reports.
pub(super) struct Page<'a> {
    pub(super) origin: &'a Origin,
    pub(super) rounds: u64,
    pub(super) quick: bool,
    pub(super) networks: &'a [Network],
    pub(super) all: &'a All,
    pub(super) cluster: &'a Cluster,
    pub(super) trainings: &'a [Training],
}

impl Page<'_> {
    /// As Markdown.
    ///
    /// # Errors
    /// Something was not measured.
    pub(super) fn markdown(&self) -> anyhow::Result<String> {
        let laws = laws(self.all)?;
        let parts = [
            self.introduction(),
            self.sizes(&laws)?,
            self.gradients(&laws)?,
            self.buckets()?,
            self.steps()?,
            forecast::markdown(self.cluster, self.trainings),
        ];
        Ok(parts.join("\n\n") + "\n")
    }

    fn introduction(&self) -> String {
        let Origin { commit, machine, date } = self.origin;
        let quick = if self.quick { " Few and short rounds (`--quick`): rough." } else { "" };
        format!(
            "# What several ranks cost\n\n\
             `cargo xtask bench --ranks` on {date}, commit {commit}, on {machine}: medians of {}. Each call runs in \
             processes of its own, and every other round runs backwards.{quick} The ranks are processes of this \
             machine and meet on its loopback, each with one thread; four ranks share its cores. The second half \
             predicts GPUs, which were not measured. [scale.md](scale.md) says how to start ranks.",
            files::counted(self.rounds, "round")
        )
    }

    fn sizes(&self, laws: &[Law]) -> anyhow::Result<String> {
        let columns: Vec<(u32, Kind)> =
            Kind::ALL.into_iter().flat_map(|kind| RANKS.map(|ranks| (ranks, kind))).collect();
        let mut header = vec!["bytes".to_owned()];
        header.extend(columns.iter().map(|(ranks, kind)| format!("{}, {ranks} ranks", kind.name())));
        let row = |bytes: u64| {
            let mark = if HELD_OUT.contains(&bytes) { " (held out)" } else { "" };
            let mut cells = vec![size(bytes) + mark];
            for &(ranks, kind) in &columns {
                cells.push(format!("{} ms", milliseconds(self.all.sum(Work::Sizes(ranks, kind), bytes)?.0)));
            }
            Ok(cells)
        };
        let rows = SIZES.into_iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let measured = table(&header, rows);
        let law = |law: &Law| {
            let [latency, speed, fitted, held_out] = match law.link {
                Some(link) => [
                    format!("{} us", short(1e6 * link.latency_s)),
                    format!("{} GB/s", short(link.bytes_per_s / 1e9)),
                    percent(link.worst(&law.fitted)),
                    percent(link.worst(&law.held_out)),
                ],
                None => ["no fit", "", "", ""].map(str::to_owned),
            };
            vec![law.kind.name().to_owned(), law.ranks.clone(), latency, speed, fitted, held_out]
        };
        let header = ["type", "ranks", "a", "b", "largest error, fitted", "largest error, held out"];
        Ok(format!(
            "## One sum\n\
             The time of one sum (all-reduce) of a buffer, from the moment when all ranks begin.\n\n{measured}\n\n\
             In a ring, each of r ranks sends an r-th of the n bytes 2 (r - 1) times (Patarasuk & Yuan 2009), so \
             `t = 2 (r - 1) (a + n / (r b))` with a latency a of a message and a speed b. Both are fitted by least \
             squares of relative errors to the sizes that are not held out.\n\n{}",
            table(&header, laws.iter().map(law))
        ))
    }

    fn gradients(&self, laws: &[Law]) -> anyhow::Result<String> {
        let link = of_two_ranks(laws);
        let row = |network: &Network| {
            let mut cells =
                vec![network.preset.clone(), format!("{} M", short(network.parameters as f64 / 1e6))];
            for kind in Kind::ALL {
                for ranks in RANKS {
                    let (seconds, _) = self.all.sum(Work::Gradients(ranks, kind), network.bytes(kind))?;
                    cells.push(format!("{} ms", milliseconds(seconds)));
                }
            }
            let bytes = network.bytes(Kind::F32);
            let sums = bytes.div_ceil(BUCKET) as f64;
            let predicted = link.map(|link| milliseconds(link.seconds(bytes as f64, 2.0, sums)) + " ms");
            cells.push(predicted.unwrap_or_default());
            Ok(cells)
        };
        let rows = self.networks.iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
        let header = [
            "preset",
            "parameters",
            "f32, 2 ranks",
            "f32, 4 ranks",
            "bf16, 2 ranks",
            "bf16, 4 ranks",
            "the law for f32, 2 ranks",
        ];
        Ok(format!(
            "## The gradients of a step\n\
             The sums of the gradients of the presets, in the program's buckets of {}.\n\n{}",
            size(BUCKET),
            table(&header, rows)
        ))
    }

    fn buckets(&self) -> anyhow::Result<String> {
        let Some(largest) = self.networks.iter().map(|network| network.bytes(Kind::F32)).max() else {
            anyhow::bail!("no networks");
        };
        let whole = BUCKETS.map(|bucket| self.all.sum(Work::Bucket(bucket), largest));
        let measured = whole.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let program = BUCKETS.iter().position(|&bucket| bucket == BUCKET).unwrap_or_default();
        let row = |(bucket, (seconds, messages)): (u64, &(f64, u64))| {
            let relative = seconds / measured[program].0;
            vec![
                size(bucket),
                messages.to_string(),
                format!("{} ms", milliseconds(*seconds)),
                format!("{relative:.2}"),
            ]
        };
        let header = [
            "bucket".to_owned(),
            "sums".to_owned(),
            "time".to_owned(),
            format!("relative to {}", size(BUCKET)),
        ];
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        Ok(format!(
            "## Size of the buckets\n\
             The f32 gradient of {} over two ranks, in buckets of several sizes. A training uses {}.\n\n{}",
            PRESETS[PRESETS.len() - 1],
            size(BUCKET),
            table(&header, BUCKETS.into_iter().zip(&measured).map(row))
        ))
    }

    fn steps(&self) -> anyhow::Result<String> {
        let row = |(index, (preset, batch)): (usize, (&str, u32))| {
            let (alone, _) = self.all.step(Work::Step(index, 1))?;
            let (together, sums) = self.all.step(Work::Step(index, 2))?;
            Ok(vec![
                preset.to_owned(),
                batch.to_string(),
                format!("{} ms", milliseconds(alone)),
                format!("{} ms", milliseconds(together)),
                format!("{} ms", milliseconds(sums)),
                percent(alone / together),
            ])
        };
        let rows = STEPS.into_iter().enumerate().map(row).collect::<anyhow::Result<Vec<_>>>()?;
        let threads = files::counted(THREADS, "thread");
        let alone = format!("1 rank, {threads}");
        let header =
            ["preset", "batch", alone.as_str(), "2 ranks, 1 thread each", "waiting and sums", "efficiency"];
        Ok(format!(
            "## Steps\n\
             A whole training step of the same batch on the same {THREADS} cores: one rank with {threads}, and two \
             ranks that take half of the batch each. Efficiency is the ratio of the two.\n\n{}",
            table(&header, rows)
        ))
    }
}

pub(super) fn milliseconds(seconds: f64) -> String {
    short(1e3 * seconds)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::super::measure::tests::{LINK, measured, networks};
    use super::super::predict::tests::counted;
    use super::*;

    fn page() -> String {
        let origin = Origin {
            commit: "abc".to_owned(),
            machine: "a CPU, 2 threads".to_owned(),
            date: "2026-01-02".to_owned(),
        };
        let (networks, all, cluster) = (networks(), measured(), Cluster::new(LINK));
        let (rounds, quick, trainings) = (3, true, counted());
        let page = Page {
            origin: &origin,
            rounds,
            quick,
            networks: &networks,
            all: &all,
            cluster: &cluster,
            trainings: &trainings,
        };
        page.markdown().unwrap()
    }

    #[test]
    fn the_page_has_every_number() {
        let page = page();
        for text in [
            "on 2026-01-02, commit abc, on a CPU, 2 threads: medians of 3 rounds",
            "rough",
            // 2 (50 us + 4 KiB / 2 / 1 GB/s), and 6 (50 us + 4 KiB / 4 / 1 GB/s).
            "| 4 KiB | 0.104 ms | 0.306 ms | 0.104 ms | 0.306 ms |",
            "| 64 KiB (held out) |",
            "| f32 | 2 and 4 | 50.0 us | 1.00",
            // 143 MB in five sums, over two ranks 0.5 + 143 ms; half of the bytes in three.
            "| ddpm-cifar10 | 35.7 M | 143 ms | 216 ms | 71.8 ms | 108 ms | 143 ms |",
            "| 1 MiB | 137 | 157 ms | 1.09 |",
            "| all | 1 | 143 ms | 1.00 |",
            "| small-32 | 64 | 100 ms | 125 ms | 20.0 ms | 80 % |",
        ] {
            assert!(page.contains(text), "{text} is not in\n{page}");
        }
        let tables: Vec<&str> = page.split("\n\n").filter(|part| part.contains("|---|")).collect();
        for table in &tables {
            let lines = table.lines().filter(|line| line.starts_with('|'));
            let widths: Vec<usize> = lines.map(|line| line.matches('|').count()).collect();
            assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
        }
        assert!(tables.len() >= 8 && !page.contains("NaN") && !page.contains(" inf "), "{page}");
    }
}
