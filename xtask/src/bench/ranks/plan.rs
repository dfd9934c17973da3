//! What is measured: sums of many sizes, of gradients, in buckets of several sizes, and training steps.

/// Type of the summed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    Bf16,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Numbers of ranks.
pub(super) const RANKS: [u32; 2] = [2, 4];
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Sizes of single sums.
pub(super) const SIZES: [u64; 8] = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB];
/// Sizes that no law is fitted to.
pub(super) const HELD_OUT: [u64; 3] = [64 * KIB, 4 * MIB, 64 * MIB];
/// The program's own bucket (`trainer::Reduction`), and the largest that it takes: everything in one message.
pub(super) const BUCKET: u64 = 32 * MIB;
const WHOLE: u64 = 1 << 30;
/// Sizes of buckets.
pub(super) const BUCKETS: [u64; 5] = [MIB, 4 * MIB, 25 * MIB, BUCKET, WHOLE];
/// Presets whose gradients are summed; the buckets are those of the last.
pub(super) const PRESETS: [&str; 4] = ["tiny-16", "small-32", "fashion-28", "ddpm-cifar10"];
/// Presets whose steps are timed, with the batch.
pub(super) const STEPS: [(&str, u32); 3] = [("small-32", 64), ("fashion-28", 32), ("ddpm-cifar10", 8)];
/// Threads of a step, divided among its ranks.
pub(super) const THREADS: u32 = 2;

/// A size of a bucket in words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        WHOLE => "all".to_owned(),
        MIB.. => format!("{} MiB", bytes / MIB),
        _ => format!("{} KiB", bytes / KIB),
    }
}

/// A preset and the parameters of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) preset: String,
    pub(super) parameters: u64,
}

impl Network {
    /// Bytes of its gradient, as they are sent.
    pub(super) fn bytes(&self, kind: Kind) -> u64 {
        (self.parameters * kind.bytes()).next_multiple_of(4)
    }
}

/// One call of `ddpm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Single sums of all [`SIZES`].
    Sizes(u32, Kind),
    /// The gradients of all [`PRESETS`], in the program's buckets.
    Gradients(u32, Kind),
    /// The largest of them in buckets of this size, over two ranks.
    Bucket(u64),
    /// Training steps of one of [`STEPS`], on this many ranks.
    Step(usize, u32),
}

impl Work {
    /// Everything, in the order of the page.
    pub(super) fn all() -> Vec<Self> {
        let of_kinds = |work: fn(u32, Kind) -> Self| {
            RANKS.into_iter().flat_map(move |ranks| Kind::ALL.map(|kind| work(ranks, kind)))
        };
        let steps = (0..STEPS.len()).flat_map(|index| [Self::Step(index, 1), Self::Step(index, 2)]);
        of_kinds(Self::Sizes)
            .chain(of_kinds(Self::Gradients))
            .chain(BUCKETS.map(Self::Bucket))
            .chain(steps)
            .collect()
    }

    /// The name in files and on the screen.
    pub(super) fn name(self) -> String {
        match self {
            Self::Sizes(ranks, kind) => format!("sizes, {ranks} ranks, {}", kind.name()),
            Self::Gradients(ranks, kind) => format!("gradients, {ranks} ranks, {}", kind.name()),
            Self::Bucket(bucket) => format!("buckets, {}", size(bucket)),
            Self::Step(index, ranks) => format!("{}, {}", STEPS[index].0, files::counted(ranks, "rank")),
        }
    }

    /// The arguments of `ddpm`.
    pub(super) fn args(self, networks: &[Network], quick: bool) -> Vec<String> {
        let [warmup, steps] = if quick { [1, 3] } else { [3, 15] };
        let common = format!("--warmup {warmup} --steps {steps} --device cpu --json");
        let sums = |ranks: u32, kind: Kind, bytes: Vec<u64>, bucket: u64| {
            let bytes = bytes.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            format!(
                "launch --nproc {ranks} --reduce {} -- bench sums --bytes {bytes} --bucket {bucket} --threads 1",
                kind.name()
            )
        };
        let gradients = |kind: Kind| networks.iter().map(|network| network.bytes(kind)).collect::<Vec<_>>();
        let line = match self {
            Self::Sizes(ranks, kind) => sums(ranks, kind, SIZES.to_vec(), WHOLE),
            Self::Gradients(ranks, kind) => sums(ranks, kind, gradients(kind), BUCKET),
            Self::Bucket(bucket) => {
                let largest = gradients(Kind::F32).into_iter().max().unwrap_or(BUCKET);
                sums(2, Kind::F32, vec![largest], bucket)
            }
            Self::Step(index, ranks) => {
                let (preset, batch) = STEPS[index];
                let launch = if ranks == 1 { String::new() } else { format!("launch --nproc {ranks} -- ") };
                let threads = THREADS / ranks;
                format!("{launch}bench train --preset {preset} --batch {batch} --threads {threads}")
            }
        };
        line.split_whitespace().chain(common.split_whitespace()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn networks() -> Vec<Network> {
        let network =
            |(preset, parameters): (&&str, u64)| Network { preset: (*preset).to_owned(), parameters };
        PRESETS.iter().zip([1001, 10, 30, 35_746_307]).map(network).collect()
    }

    #[test]
    fn every_call_has_a_name_of_its_own() {
        let all = Work::all();
        let names: BTreeSet<String> = all.iter().map(|work| work.name()).collect();
        assert_eq!((all.len(), names.len()), (4 + 4 + 5 + 6, 19));
        assert_eq!(Work::Step(2, 1).name(), "ddpm-cifar10, 1 rank");
        assert_eq!([4096, 25 * MIB, WHOLE].map(size), ["4 KiB", "25 MiB", "all"]);
    }

    #[test]
    fn calls_are_those_of_the_program() {
        let line = |work: Work| work.args(&networks(), true).join(" ");
        let common = "--warmup 1 --steps 3 --device cpu --json";
        assert_eq!(
            line(Work::Gradients(4, Kind::Bf16)),
            format!(
                "launch --nproc 4 --reduce bf16 -- bench sums --bytes 2004,20,60,71492616 --bucket 33554432 \
                 --threads 1 {common}"
            )
        );
        assert!(line(Work::Bucket(MIB)).contains("--bytes 142985228 --bucket 1048576"));
        assert!(line(Work::Sizes(2, Kind::F32)).contains("--bytes 4096,16384,"));
        let step = "bench train --preset small-32 --batch 64";
        assert_eq!(line(Work::Step(0, 1)), format!("{step} --threads 2 {common}"));
        assert_eq!(line(Work::Step(0, 2)), format!("launch --nproc 2 -- {step} --threads 1 {common}"));
    }

    /// The sizes of the constants are those of the program.
    #[test]
    fn the_bucket_is_that_of_the_trainer() {
        let source = include_str!("../../../../crates/trainer/src/together/mod.rs");
        assert!(source.contains("bucket: 32 << 20"), "{source}");
        assert!(HELD_OUT.iter().all(|size| SIZES.contains(size)));
        assert!(SIZES.windows(2).all(|pair| pair[1] == 4 * pair[0]));
        for (preset, batch) in STEPS {
            assert!(PRESETS.contains(&preset) && batch.is_multiple_of(2));
        }
    }
}
