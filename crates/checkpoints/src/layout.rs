//! What a checkpoint of format version 1 is called, and what is in it.

/// What a checkpoint is made of, besides the manifest.
pub const FILES: [&str; 5] = [MODEL, EMA, OPTIMIZER, CONFIG, STATE];
/// The weights as trained.
pub const MODEL: &str = "model.safetensors";
/// Their moving average: what to sample with.
pub const EMA: &str = "ema.safetensors";
/// Adam's moments, `m.NAME` and `v.NAME` for each weight, and its `step`.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// Further averages, `PROFILE.NAME` for each weight, of runs that keep any.
pub const AVERAGES: &str = "averages.safetensors";
/// The resolved configuration of the run.
pub const CONFIG: &str = "config.toml";
/// Where the run stands: [`crate::State`].
pub const STATE: &str = "state.json";
/// Sizes and hashes of the others: [`crate::Manifest`].
pub const MANIFEST: &str = "manifest.json";

/// A folder under construction, or about to be removed, begins with this.
const TEMPORARY: &str = ".tmp-";

/// `step-00001000`: sorted by number, never as text.
#[must_use]
pub fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The step of a folder name that [`folder_name`] gives, and of no other: `step-7` and `step-+0000007` are
/// somebody else's.
#[must_use]
pub fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

/// The hidden name of a checkpoint that is not there yet or no longer: `.tmp-PID-step-00001000`, and with
/// `-old` at the end for one that is on its way out.
pub(crate) fn temporary_name(step: u64, old: bool) -> String {
    let end = if old { "-old" } else { "" };
    format!("{TEMPORARY}{}-{}{end}", std::process::id(), folder_name(step))
}

/// Whether a name is one of those, of any process.
pub(crate) fn is_temporary(name: &str) -> bool {
    let rest = name.strip_prefix(TEMPORARY).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(pid, rest)| {
        pid.parse::<u32>().is_ok() && step_of(rest.strip_suffix("-old").unwrap_or(rest)).is_some()
    })
}

/// The name of a checkpoint that is damaged and out of the way.
pub(crate) fn damaged_name(step: u64) -> String {
    format!("damaged-{}", folder_name(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_step_and_a_step_of_one_name() {
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
    fn hidden_names_are_known_again_and_no_others() {
        assert!(is_temporary(&temporary_name(7, false)) && is_temporary(&temporary_name(7, true)));
        for name in
            [".tmp-notes", ".tmp-1-step-7", ".tmp-x-step-00000007", "tmp-1-step-00000007", "step-00000007"]
        {
            assert!(!is_temporary(name), "{name}");
        }
    }
}
