//! The order of writing, read from the log of a program with the feature `faults`.

use std::collections::HashMap;

use anyhow::{Context, ensure};

/// The points of writing one file, in order.
const FILE: [&str; 5] = ["created", "half-written", "written", "synced", "renamed"];

/// Checks a log of "POINT PATH" lines. A file is synced after it is written and renamed after it is synced. A
/// checkpoint folder is renamed after all its files are renamed, the manifest last, and the folder synced. Only then
/// are older checkpoints removed. Any other order could lose a checkpoint in a power failure.
///
/// # Errors
/// For the first line that is out of order.
pub(crate) fn ensure_order(log: &str) -> anyhow::Result<()> {
    let mut files: HashMap<&str, usize> = HashMap::new();
    let (mut renamed, mut folder, mut checkpoints) = (Vec::new(), "folder-renamed", 0);
    for (number, line) in log.lines().enumerate() {
        let (point, path) = line.split_once(' ').with_context(|| format!("line {number}: {line}"))?;
        let before = folder;
        let in_order = match point {
            "created" => files.insert(path, 0).is_none_or(|last| last + 1 == FILE.len()),
            // Probes of file-system features occur in many places.
            "half-logged" | "lock" | "dir-sync" | "file-sync" => true,
            "folder-created" => {
                renamed.clear();
                ["folder-renamed", "half-rotated"].contains(&before)
            }
            "folder-written" => {
                before == "folder-created" && renamed.len() == 6 && renamed[5] == "manifest.json"
            }
            "folder-synced" => before == "folder-written",
            "folder-renamed" => before == "folder-synced",
            "rotation" => ["folder-renamed", "half-rotated"].contains(&before),
            "half-rotated" => before == "rotation",
            point => {
                let step = FILE.iter().position(|name| *name == point);
                let step = step.with_context(|| format!("line {number}: no point {point:?}"))?;
                if point == "renamed" {
                    renamed.push(path.rsplit('/').next().unwrap_or(path));
                }
                // Streamed files have no half-written point.
                files.insert(path, step).is_some_and(|last| last + 1 == step || (last, step) == (0, 2))
            }
        };
        ensure!(in_order, "line {number} is out of order: {line}");
        if point.starts_with("folder") || point.contains("rotat") {
            folder = point;
            checkpoints += usize::from(point == "folder-renamed");
        }
    }
    ensure!(files.values().all(|step| step + 1 == FILE.len()), "a file was never renamed");
    ensure!(checkpoints > 1 && folder != "rotation", "{checkpoints} checkpoints, and then {folder}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(step: u32) -> String {
        let file = |name: &str| {
            FILE.iter().map(|point| format!("{point} run/.tmp-{step}/{name}\n")).collect::<String>()
        };
        let files: String = ["model", "ema", "optimizer", "config.toml", "state.json", "manifest.json"]
            .iter()
            .map(|n| file(n))
            .collect();
        format!(
            "folder-created run/.tmp-{step}\n{files}folder-written run/.tmp-{step}\nfolder-synced run/.tmp-{step}\n\
             folder-renamed run/step-{step}\n"
        )
    }

    #[test]
    fn the_order_of_the_protocol_is_accepted_and_no_other() {
        let log = checkpoint(1)
            + "half-logged run/metrics.jsonl\n"
            + &checkpoint(2)
            + "rotation a\nhalf-rotated a\n";
        ensure_order(&log).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        let mut refused = 0;
        for at in 0..lines.len() - 1 {
            let mut other = lines.clone();
            other.swap(at, at + 1);
            // A log line and each file are independent, but no file can precede its folder.
            let own =
                |line: &str| FILE.iter().any(|point| line.starts_with(point)) || line.contains("logged");
            let (first, second) = (lines[at], lines[at + 1]);
            let path = |line: &str| line.split(' ').nth(1).map(str::to_owned);
            let independent = first.contains("logged")
                || second.contains("logged")
                || first.starts_with("folder-created")
                || (own(first) && own(second) && path(first) != path(second));
            assert!(independent || ensure_order(&other.join("\n")).is_err(), "{:?}", &other[at..at + 2]);
            refused += usize::from(!independent);
        }
        assert!(refused > 50, "{refused}");
        assert!(ensure_order("").is_err());
    }
}
