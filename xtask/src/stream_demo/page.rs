//! The results as JSON, and the table made of it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::shards::Made;
use crate::bench::median;
use crate::machine::Origin;

/// Bytes of memory that a streaming training may take.
pub(super) const MEMORY: u64 = 1_000_000_000;

/// The content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Demo {
    pub(super) set: Made,
    pub(super) preset: String,
    pub(super) steps: u64,
    pub(super) seed: u64,
    /// Images per second of each round.
    pub(super) streamed_images_per_s: Vec<f64>,
    pub(super) in_memory_images_per_s: Vec<f64>,
    /// Largest peak memory of the streaming trainings in bytes, if known.
    pub(super) peak_bytes: Option<u64>,
    /// The last logged step at each kill.
    pub(super) killed_at: Vec<u64>,
    /// Whether the killed training ended with the weights of the undisturbed one.
    pub(super) same_weights: bool,
    /// Images per second read without a network, by threads.
    pub(super) read: Vec<Read>,
    pub(super) origin: Origin,
}

/// The reader's rate on some threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Read {
    pub(super) threads: usize,
    pub(super) images_per_s: f64,
}

impl Demo {
    /// The speed of streaming training relative to training from memory.
    pub(super) fn ratio(&self) -> f64 {
        median(&self.streamed_images_per_s) / median(&self.in_memory_images_per_s)
    }

    /// Whether the memory stays within its limit and the weights are the same. An unknown peak is not within.
    pub(super) fn holds(&self) -> bool {
        self.same_weights && self.peak_bytes.is_some_and(|bytes| bytes <= MEMORY)
    }
}

/// The page as Markdown.
pub(super) fn page(demo: &Demo) -> anyhow::Result<String> {
    let Demo { set, preset, steps, seed, .. } = demo;
    let mut text = format!(
        "# Training on {:.2} GB\n\
         `cargo xtask stream-demo` wrote this page from [stream.json](stream.json). The set has {} noisy images of 28x28 grey \
         pixels in {} tar shards. Preset {preset}, {steps} steps, seed {seed}.\n\n\
         | what | measured | limit |\n|---|---|---|\n",
        set.bytes as f64 / 1e9,
        set.images,
        set.shards
    );
    let (streamed, kept) = (median(&demo.streamed_images_per_s), median(&demo.in_memory_images_per_s));
    writeln!(text, "| training on the set | {streamed:.1} images/s | |")?;
    writeln!(text, "| training on images in memory | {kept:.1} images/s | |")?;
    let rounds = files::counted(demo.streamed_images_per_s.len(), "round");
    writeln!(text, "| ratio of these medians of {rounds} in turns | {:.3} | |", demo.ratio())?;
    let peak = demo.peak_bytes.map_or("unknown".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    writeln!(text, "| peak memory of training on the set | {peak} | {} MB |", MEMORY / 1_000_000)?;
    let at: Vec<String> = demo.killed_at.iter().map(u64::to_string).collect();
    let same = if demo.same_weights { "the same bits" } else { "other bits" };
    writeln!(text, "| weights after kill -9 behind step {} | {same} | the same bits |", at.join(", "))?;
    for Read { threads, images_per_s } in &demo.read {
        let threads = files::counted(*threads, "thread");
        writeln!(text, "| reading on {threads}, without a network | {images_per_s:.0} images/s | |")?;
    }
    let Origin { commit, machine, date } = &demo.origin;
    writeln!(text, "\nMeasured on {machine} at commit {commit}, {date}.")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Demo {
        let text = |text: &str| text.to_owned();
        Demo {
            set: Made {
                seed: 1,
                asked: 20_000_000_000,
                bytes: 20_000_100_000,
                images: 7_812_500,
                shards: 75,
            },
            preset: text("fashion-28"),
            steps: 300,
            seed: 1,
            streamed_images_per_s: vec![90.0, 99.0, 110.0],
            in_memory_images_per_s: vec![100.0, 100.0, 120.0],
            peak_bytes: Some(600_000_000),
            killed_at: vec![75, 120],
            same_weights: true,
            read: vec![Read { threads: 1, images_per_s: 12_345.6 }, Read { threads: 2, images_per_s: 2e4 }],
            origin: Origin { commit: text("abc"), machine: text("a CPU"), date: text("2026-11-30") },
        }
    }

    #[test]
    fn the_table_has_every_measurement() {
        let page = page(&demo()).unwrap();
        for line in [
            "# Training on 20.00 GB",
            "| training on the set | 99.0 images/s | |",
            "| training on images in memory | 100.0 images/s | |",
            "| ratio of these medians of 3 rounds in turns | 0.990 | |",
            "| peak memory of training on the set | 600 MB | 1000 MB |",
            "| weights after kill -9 behind step 75, 120 | the same bits | the same bits |",
            "| reading on 1 thread, without a network | 12346 images/s | |",
            "| reading on 2 threads, without a network | 20000 images/s | |",
            "Measured on a CPU at commit abc, 2026-11-30.",
        ] {
            assert!(page.lines().any(|of_page| of_page == line), "{line}\n{page}");
        }
        let back: Demo = serde_json::from_str(&serde_json::to_string(&demo()).unwrap()).unwrap();
        assert_eq!(back, demo());
    }

    #[test]
    fn limits_are_judged() {
        assert!(demo().holds());
        assert!(!Demo { same_weights: false, ..demo() }.holds());
        assert!(!Demo { peak_bytes: Some(MEMORY + 1), ..demo() }.holds());
        assert!(!Demo { peak_bytes: None, ..demo() }.holds());
        let page = page(&Demo { same_weights: false, peak_bytes: None, ..demo() }).unwrap();
        assert!(page.contains("| other bits |") && page.contains("| unknown | 1000 MB |"), "{page}");
    }
}
