//! What is compared: kinds of work, and the programs that do each, ours first.

/// Programs that do the same work and take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The name for `--only`.
    pub(super) name: &'static str,
    /// Arguments for all its programs: the task, the network, the batch, the number of steps.
    pub(super) common: Vec<String>,
    pub(super) programs: Vec<Program>,
}

/// One way to do the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) who: Who,
    pub(super) args: &'static [&'static str],
}

/// The programs; a row of the table names two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    /// In the precision that the program chooses itself.
    Ours,
    OursBf16,
    DiffusersF32,
    DiffusersBf16,
    DiffusersF32ChannelsLast,
    DiffusersBf16ChannelsLast,
    DiffusersBf16Frozen,
    DiffusersBf16Compiled,
    Lucidrains,
}

impl Who {
    /// The name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursBf16 => "ours bf16",
            Self::DiffusersF32 => "diffusers f32",
            Self::DiffusersBf16 => "diffusers bf16 autocast",
            Self::DiffusersF32ChannelsLast => "diffusers f32 channels_last",
            Self::DiffusersBf16ChannelsLast => "diffusers bf16 channels_last",
            Self::DiffusersBf16Frozen => "diffusers frozen bf16 TorchScript",
            Self::DiffusersBf16Compiled => "diffusers bf16 torch.compile",
            Self::Lucidrains => "lucidrains",
        }
    }

    /// Whether it is the program of this workspace.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursBf16)
    }

    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Ours => &["--precision", "auto"],
            Self::OursBf16 | Self::DiffusersBf16 => &["--precision", "bf16"],
            Self::DiffusersF32 => &["--precision", "f32"],
            Self::DiffusersF32ChannelsLast => &["--precision", "f32", "--channels-last"],
            Self::DiffusersBf16ChannelsLast => &["--precision", "bf16", "--channels-last"],
            Self::DiffusersBf16Frozen => &["--precision", "bf16", "--torchscript"],
            Self::DiffusersBf16Compiled => &["--precision", "bf16", "--compile"],
            Self::Lucidrains => &["--peer", "lucidrains"],
        }
    }
}

/// The names of all blocks for `--only`, including those that [`super::whole`] measures.
pub(super) const NAMES: [&str; 6] =
    ["train-small32", "train-cifar10", "sample-small32", "sample-cifar10", "whole-run", "images"];

/// The choices that determine the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    /// Run few steps.
    pub(super) quick: bool,
    /// Include torch.compile, whose first step takes minutes.
    pub(super) compile: bool,
    /// Whether our default precision is bf16, so that bf16 need not be run as well.
    pub(super) auto_is_bf16: bool,
}

/// The blocks, in the order of the table.
pub(super) fn blocks(choice: Choice) -> Vec<Block> {
    use Who::{
        DiffusersBf16 as Bf16, DiffusersBf16ChannelsLast as Bf16Last, DiffusersBf16Frozen as Frozen,
        DiffusersF32 as F32, DiffusersF32ChannelsLast as F32Last, Lucidrains,
    };
    // Name, task, network, images, timed steps: full and quick.
    type Row = (&'static str, &'static str, &'static str, u32, [u32; 2], &'static [Who]);
    let rows: [Row; 4] = [
        ("train-small32", "train", "small32", 64, [10, 3], &[F32, Bf16, F32Last, Bf16Last, Lucidrains]),
        ("train-cifar10", "train", "cifar10", 8, [5, 2], &[F32, Bf16, Bf16Last]),
        ("sample-small32", "sample", "small32", 16, [30, 8], &[F32, Bf16, Bf16Last, Frozen]),
        ("sample-cifar10", "sample", "cifar10", 8, [10, 3], &[F32, Bf16, Bf16Last, Frozen]),
    ];
    let block = |(name, task, config, batch, steps, peers): Row| {
        let (steps, warmup) = if choice.quick { (steps[1], 1) } else { (steps[0], 2) };
        let numbers = [("--batch", batch), ("--steps", steps), ("--warmup", warmup)];
        let mut common = [task, "--config", config].map(str::to_owned).to_vec();
        common.extend(numbers.iter().flat_map(|(flag, n)| [(*flag).to_owned(), n.to_string()]));
        let mut who = vec![Who::Ours];
        who.extend((!choice.auto_is_bf16).then_some(Who::OursBf16));
        who.extend(peers);
        who.extend((choice.compile && name == "train-small32").then_some(Who::DiffusersBf16Compiled));
        let programs = who.into_iter().map(|who| Program { who, args: who.args() }).collect();
        Block { name, common, programs }
    };
    rows.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: Choice = Choice { quick: false, compile: false, auto_is_bf16: true };

    #[test]
    fn the_work_is_that_of_the_goals() {
        let blocks = blocks(CHOICE);
        let lines: Vec<String> = blocks.iter().map(|block| block.common[..5].join(" ")).collect();
        let want = [
            "train --config small32 --batch 64",
            "train --config cifar10 --batch 8",
            "sample --config small32 --batch 16",
            "sample --config cifar10 --batch 8",
        ];
        assert_eq!(lines, want);
        assert!(blocks.iter().all(|block| NAMES.contains(&block.name)));
        assert!(blocks.iter().all(|block| block.programs[0].who == Who::Ours));
    }

    #[test]
    fn what_is_not_asked_for_or_not_needed_is_not_run() {
        let has = |choice, who| {
            blocks(choice).iter().any(|block| block.programs.iter().any(|program| program.who == who))
        };
        assert!(!has(CHOICE, Who::OursBf16) && !has(CHOICE, Who::DiffusersBf16Compiled));
        assert!(has(Choice { auto_is_bf16: false, ..CHOICE }, Who::OursBf16));
        assert!(has(Choice { compile: true, ..CHOICE }, Who::DiffusersBf16Compiled));
        let quick = blocks(Choice { quick: true, ..CHOICE });
        assert_eq!(quick[0].common[5..], ["--steps", "3", "--warmup", "1"]);
    }
}
