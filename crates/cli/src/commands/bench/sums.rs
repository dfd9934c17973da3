//! `ddpm bench sums`: how long the ranks take to sum buffers of given sizes. Training sums gradients in the same way: the
//! sum of a message begins before that of the message before it has ended.

use std::time::Instant;

use clap::Args;
use distributed::{Begun, World};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::parts::finish;
use super::timing::Timings;
use crate::commands::inspect::table::Table;
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::{device, output, ranks};

/// The largest buffer, and what all sizes may take together.
const MOST_BYTES: u64 = 1 << 30;
const MOST_TOGETHER: u64 = 4 << 30;
/// The widest number that is summed.
const NUMBER: u64 = 4;

/// Sums buffers over all ranks, of every size in turn.
#[derive(Debug, Args)]
#[command(
    after_help = "It needs several ranks: ddpm launch, torchrun or srun; rank 0 times the sums. The numbers have the \
type of DDPM_REDUCE (launch --reduce). With --device cuda they travel as gradients do: between \
GPUs by NCCL, or through host memory (launch --transport).

Examples:
  ddpm launch --nproc 2 -- bench sums --bytes 4096,1048576
  ddpm launch --nproc 4 --reduce bf16 -- bench sums --json"
)]
pub(crate) struct BenchSums {
    /// Sizes in bytes, multiples of 4 up to 1 GiB
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "4096,65536,1048576,16777216")]
    bytes: Vec<u64>,
    /// Bytes per message; a larger size is sent in several [default: 33554432, as in training]
    #[arg(long, value_name = "N")]
    bucket: Option<u64>,
    /// Timed sums of each size
    #[arg(long, value_name = "N", default_value_t = 20)]
    steps: usize,
    /// Warm-up sums of each size before them, not timed
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: usize,
}

/// A size and its sums.
struct Row {
    bytes: u64,
    messages: usize,
    timings: Timings,
}

impl BenchSums {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        self.check()?;
        let reduction = ranks::reduction()?;
        let kind = if reduction.bf16 { Kind::BFloat16 } else { Kind::Float };
        let bucket = self.bucket.unwrap_or(reduction.bucket as u64);
        let device = device::select(global)?;
        let mut world = ranks::join()?;
        if world.is_alone() {
            bail_usage!(
                "bench sums: expected several ranks, found one; start it with ddpm launch --nproc 2 -- bench sums"
            );
        }
        ranks::choose_transport(&mut world, device)?;
        let rows = self.time(&world, (kind, device), bucket)?;
        if !world.is_first() {
            return Ok(());
        }
        let summary = json!({
            "what": "sums", "ranks": world.size(), "reduce": name(kind), "bucket": bucket,
            "threads": tch::get_num_threads(), "device": device::name(device), "warmup": self.warmup,
            "steps": self.steps, "sums": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        output::answer(global, &summary, || {
            format!("ddpm bench sums: {} ranks, {}\n\n{}", world.size(), name(kind), table(&rows))
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        for (flag, value, low) in [("steps", self.steps, 1), ("warmup", self.warmup, 0)] {
            if !(low..=100_000).contains(&value) {
                bail_usage!("--{flag} {value}: expected {low} to 100000");
            }
        }
        let is_size = |bytes: u64| bytes.is_multiple_of(NUMBER) && (NUMBER..=MOST_BYTES).contains(&bytes);
        for (flag, sizes) in [("bytes", &self.bytes[..]), ("bucket", self.bucket.as_slice())] {
            if let Some(bytes) = sizes.iter().find(|bytes| !is_size(**bytes)) {
                bail_usage!("--{flag} {bytes}: expected multiples of {NUMBER} from {NUMBER} to {MOST_BYTES}");
            }
        }
        let together: u64 = self.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes));
        if together > MOST_TOGETHER {
            bail_usage!("--bytes: expected at most {MOST_TOGETHER} bytes together, found {together}");
        }
        Ok(())
    }

    /// Sums every size once a round, from the first to the last and in the next round back.
    fn time(&self, world: &World, (kind, device): (Kind, Device), bucket: u64) -> anyhow::Result<Vec<Row>> {
        let numbers = |bytes: u64| bytes as i64 / kind.elt_size_in_bytes() as i64;
        // Zeros stay zeros, so no sum overflows. No two messages share memory: both may be under way.
        let buffer = |&bytes: &u64| -> anyhow::Result<Vec<Tensor>> {
            let (all, most) = (numbers(bytes), numbers(bucket));
            let message = |first: i64| Ok(Tensor::f_zeros([most.min(all - first)], (kind, device))?);
            (0..all).step_by(most as usize).map(message).collect()
        };
        let mut buffers = self.bytes.iter().map(buffer).collect::<anyhow::Result<Vec<_>>>()?;
        let mut seconds = vec![Vec::new(); buffers.len()];
        let mut one = Tensor::f_zeros([1], (kind, Device::Cpu))?;
        for round in 0..self.warmup + self.steps {
            for place in 0..buffers.len() {
                let index = if round % 2 == 0 { place } else { buffers.len() - 1 - place };
                // All ranks begin together.
                world.sum("the start of a sum", &mut one)?;
                let messages = std::mem::take(&mut buffers[index]);
                let begun = Instant::now();
                buffers[index] = sums(world, device, messages)?;
                finish(device);
                if round >= self.warmup {
                    seconds[index].push(begun.elapsed().as_secs_f64());
                }
            }
        }
        let row = |((&bytes, buffer), seconds): ((&u64, &Vec<Tensor>), Vec<f64>)| Row {
            bytes,
            messages: buffer.len(),
            timings: Timings { first_after: f64::NAN, seconds },
        };
        Ok(self.bytes.iter().zip(&buffers).zip(seconds).map(row).collect())
    }
}

/// Sums messages, at most two at a time, as training does with its buckets; returns the sums on the device.
fn sums(world: &World, device: Device, messages: Vec<Tensor>) -> anyhow::Result<Vec<Tensor>> {
    let mut sums = Vec::with_capacity(messages.len());
    let mut receive = |begun: Begun<'_>| -> anyhow::Result<()> {
        sums.push(begun.finish()?.f_to_device(device)?);
        Ok(())
    };
    let mut before: Option<Begun<'_>> = None;
    for message in messages {
        let begun = world.begin_sum("a timed sum", message)?;
        if let Some(before) = before.replace(begun) {
            receive(before)?;
        }
    }
    before.map_or(Ok(()), receive)?;
    Ok(sums)
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "bytes": self.bytes, "messages": self.messages, "median_s": self.timings.median(),
            "min_s": self.timings.min(),
        })
    }
}

fn name(kind: Kind) -> &'static str {
    if kind == Kind::BFloat16 { "bf16" } else { "f32" }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[">bytes", ">messages", ">median, ms", ">fastest, ms", ">MB/s"]);
    for row in rows {
        let milliseconds = |seconds: f64| format!("{:.3}", seconds * 1e3);
        let (median, speed) = (row.timings.median(), row.bytes as f64 / row.timings.median() / 1e6);
        table.row([
            row.bytes.to_string(),
            row.messages.to_string(),
            milliseconds(median),
            milliseconds(row.timings.min()),
            format!("{speed:.0}"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(bytes: &[u64], bucket: Option<u64>) -> BenchSums {
        BenchSums { bytes: bytes.to_vec(), bucket, steps: 3, warmup: 1 }
    }

    /// A world of one has nothing to sum, but splits and counts in the same way.
    #[test]
    fn sizes_are_split_into_messages_and_every_sum_is_timed() {
        for (kind, of_last) in [(Kind::Float, 3), (Kind::BFloat16, 3)] {
            let rows =
                bench(&[4, 64, 2052], Some(1024)).time(&World::alone(), (kind, Device::Cpu), 1024).unwrap();
            let messages: Vec<usize> = rows.iter().map(|row| row.messages).collect();
            assert_eq!(messages, [1, 1, of_last], "{kind:?}");
            assert!(rows.iter().all(|row| row.timings.seconds.len() == 3));
        }
    }

    #[test]
    fn sums_come_back_in_the_order_of_their_messages() {
        let full = |n: i64| Tensor::f_full([n], n, (Kind::Float, Device::Cpu)).unwrap();
        for count in 0..4 {
            let sizes: Vec<i64> = (1..=count).collect();
            let messages = sizes.iter().copied().map(full).collect();
            let sums = sums(&World::alone(), Device::Cpu, messages).unwrap();
            assert_eq!(sums, sizes.iter().copied().map(full).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let refused = |bytes: &[u64], bucket| bench(bytes, bucket).check().unwrap_err().to_string();
        for bytes in [0, 3, 4098, MOST_BYTES + 4, u64::MAX] {
            assert!(refused(&[4096, bytes], None).starts_with(&format!("--bytes {bytes}: expected")));
            assert!(refused(&[4096], Some(bytes)).starts_with(&format!("--bucket {bytes}: expected")));
        }
        assert!(refused(&[MOST_BYTES; 5], None).contains("4294967296 bytes together, found 5368709120"));
        assert!(bench(&[4, MOST_BYTES], Some(4)).check().is_ok());
    }
}
