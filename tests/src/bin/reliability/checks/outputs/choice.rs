//! What exists at the name of an output, and which of it a run tries with which flag.

use crate::context::Context;

/// What exists at the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Nothing, and its folder does not exist either.
    Nothing,
    Null,
    Full,
    Link,
    Dangling,
    Private,
    Pipe,
    // Refused for a file, like all that follow.
    Folder,
    BelowFile,
    ReadOnly,
}

use At::{BelowFile, Dangling, Folder, Full, Link, Nothing, Null, Pipe, Private, ReadOnly};

/// What exists when a flag is tried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trial {
    File(At),
    /// The files in a folder take the kinds of `WITHIN`, starting from this one.
    Files(usize),
    Refused(At),
}

/// Each file in the folder becomes one of these in turn, then the folder itself.
pub(super) const WITHIN: [At; 4] = [Null, Link, Private, Pipe];

/// The trials of the flag with this number, which names a file. A quick run has two that work and two that are refused.
pub(super) fn of_file(context: &Context, number: usize) -> Vec<Trial> {
    let works = [Nothing, Null, Full, Link, Dangling, Private, Pipe].map(Trial::File);
    let refused = [Folder, BelowFile, ReadOnly].map(Trial::Refused);
    [some(context, number, &works, 2), some(context, number, &refused, 2)].concat()
}

/// The same for a folder, with files of known names in it or without. A quick run tries its name once and its files once.
pub(super) fn of_folder(context: &Context, number: usize, has_files: bool) -> Vec<Trial> {
    let works = [Nothing, Link].map(Trial::File);
    let files: Vec<Trial> = (0..WITHIN.len()).filter(|_| has_files).map(Trial::Files).collect();
    let refused = [Private, Null, Dangling, BelowFile, ReadOnly].map(Trial::Refused);
    [some(context, number, &works, 1), some(context, number, &files, 1), some(context, number, &refused, 2)]
        .concat()
}

/// All trials, or in a quick run `few` of them: the next flag, and the next seed, go on behind them.
fn some(context: &Context, number: usize, all: &[Trial], few: usize) -> Vec<Trial> {
    if context.full || all.is_empty() {
        return all.to_vec();
    }
    let length = all.len();
    let first = (number + (context.seed % length as u64) as usize) * few;
    (first..first + few).map(|place| all[place % length]).collect()
}
