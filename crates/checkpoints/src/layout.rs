//! Names of a checkpoint of format version 1 and of its files.

/// The files of a checkpoint, without the manifest.
pub const FILES: [&str; 5] = [MODEL, EMA, OPTIMIZER, CONFIG, STATE];
/// The weights as trained.
pub const MODEL: &str = "model.safetensors";
/// Their moving average, which is used for sampling.
pub const EMA: &str = "ema.safetensors";
/// Adam's moments, `m.NAME` and `v.NAME` for each weight, and the optimiser's `step`.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// Further averages, `PROFILE.NAME` for each weight, if the run keeps any.
pub const AVERAGES: &str = "averages.safetensors";
/// The resolved configuration of the run.
pub const CONFIG: &str = "config.toml";
/// The state of the run: [`crate::State`].
pub const STATE: &str = "state.json";
/// Sizes and hashes of the other files: [`crate::Manifest`].
pub const MANIFEST: &str = "manifest.json";

/// Prefix of a folder under construction or about to be removed.
const TEMPORARY: &str = ".tmp-";

/// Folder name of a step, for example `step-00001000`. Sort by number, never as text.
#[must_use]
pub fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The step of a name that [`folder_name`] gives. `None` for any other name: `step-7` and `step-+0000007` are not ours.
#[must_use]
pub fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

/// The hidden name of a checkpoint under construction, `.tmp-PID-step-00001000`, or of one being removed, with `-old`
/// appended.
pub(crate) fn temporary_name(step: u64, old: bool) -> String {
    let end = if old { "-old" } else { "" };
    format!("{TEMPORARY}{}-{}{end}", std::process::id(), folder_name(step))
}

/// Whether a name is a temporary name of any process.
pub(crate) fn is_temporary(name: &str) -> bool {
    let rest = name.strip_prefix(TEMPORARY).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(pid, rest)| {
        pid.parse::<u32>().is_ok() && step_of(rest.strip_suffix("-old").unwrap_or(rest)).is_some()
    })
}

/// The name of a damaged checkpoint that was moved aside.
pub(crate) fn damaged_name(step: u64) -> String {
    format!("damaged-{}", folder_name(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_steps_map_one_to_one() {
        for step in [0, 7, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(step_of(&folder_name(step)), Some(step));
        }
        for name in
            ["step-", "step-7", "step-+0000007", "step-000000007", "step--0000001", "Step-00000007", ""]
        {
            assert_eq!(step_of(name), None, "{name}");
        }
    }

    #[test]
    fn only_hidden_names_are_recognised() {
        assert!(is_temporary(&temporary_name(7, false)) && is_temporary(&temporary_name(7, true)));
        for name in
            [".tmp-notes", ".tmp-1-step-7", ".tmp-x-step-00000007", "tmp-1-step-00000007", "step-00000007"]
        {
            assert!(!is_temporary(name), "{name}");
        }
    }
}
