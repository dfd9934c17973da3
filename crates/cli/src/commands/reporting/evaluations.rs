//! The files of `ddpm evaluate` in a run folder: `evaluations/step-NNNNNNNN.json`, and the pictures beside it. The folder
//! may come from someone else, so sizes are bounded and no link is followed: a link could lead to a private picture, which
//! would then be in a page that its reader passes on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use figures::Canvas;

use crate::commands::evaluation::Evaluation;

/// The folder in a run.
const FOLDER: &str = "evaluations";
/// Most bytes of an evaluation: the bits of a thousand t take 30 kB.
const MOST_BYTES: u64 = 4 << 20;
/// Most bytes of a picture.
const MOST_PICTURE: u64 = 8 << 20;
/// Most entries of the folder that are read, and most entries of the lists in a file.
const MOST_ENTRIES: usize = 10_000;
const MOST_METRICS: usize = 100;
/// Most characters of a text.
const MOST_LETTERS: usize = 300;

/// The newest evaluation of a run, by step; `None` if there is none.
///
/// # Errors
/// The file cannot be read or is not an evaluation. The error names the file.
pub(in crate::commands) fn newest(run: &Path) -> anyhow::Result<Option<Evaluation>> {
    let Some(path) = newest_file(run) else { return Ok(None) };
    read(&path)
        .map(Some)
        .with_context(|| format!("{}: not an evaluation; `ddpm evaluate --run` rewrites it", path.display()))
}

/// `step-NNNNNNNN.json` of the largest step. Ignores links.
fn newest_file(run: &Path) -> Option<PathBuf> {
    let folder = run.join(FOLDER);
    if !fs::symlink_metadata(&folder).ok()?.is_dir() {
        return None;
    }
    let step = |name: &str| name.strip_prefix("step-")?.strip_suffix(".json")?.parse::<u64>().ok();
    let entries = fs::read_dir(folder).ok()?.take(MOST_ENTRIES).flatten();
    let found = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let steps = found.filter_map(|entry| Some((step(entry.file_name().to_str()?)?, entry.path())));
    steps.max().map(|(_, path)| path)
}

fn read(path: &Path) -> anyhow::Result<Evaluation> {
    let evaluation: Evaluation = serde_json::from_slice(&files::read_regular(path, MOST_BYTES)?)?;
    check(&evaluation)?;
    Ok(evaluation)
}

/// Refuses what no evaluation contains. JSON has no numbers that are not finite.
fn check(evaluation: &Evaluation) -> anyhow::Result<()> {
    let count = evaluation.metrics.len();
    ensure!(count <= MOST_METRICS, "metrics: expected at most {MOST_METRICS}, found {count}");
    let count = evaluation.references.len();
    ensure!(count <= MOST_METRICS, "references: expected at most {MOST_METRICS}, found {count}");
    for metric in &evaluation.metrics {
        if let (Some(low), Some(high)) = (metric.low, metric.high) {
            ensure!(low <= high, "metric {:?}: expected low <= high, found {low} and {high}", metric.name);
        }
    }
    if let Some(bits) = &evaluation.bits {
        ensure!(bits.by_t.is_sorted_by(|a, b| a.0 < b.0), "bits.by_t: expected ascending t");
    }
    for text in texts(evaluation) {
        let letters = text.chars().count();
        ensure!(letters <= MOST_LETTERS, "a text of {letters} characters: expected at most {MOST_LETTERS}");
    }
    Ok(())
}

fn texts(evaluation: &Evaluation) -> impl Iterator<Item = &String> {
    let Evaluation { features, references, metrics, .. } = evaluation;
    let features = features.iter().flat_map(|f| [Some(&f.name), f.sha256.as_ref(), Some(&f.resize)]);
    let references = references.iter().flat_map(|r| [Some(&r.part), Some(&r.data), r.sha256.as_ref()]);
    let metrics = metrics.iter().flat_map(|m| [Some(&m.name), Some(&m.title), m.reference.as_ref()]);
    let own = [
        Some(&evaluation.machine),
        evaluation.weights.as_ref(),
        evaluation.sampler.as_ref(),
        evaluation.settings.as_ref(),
    ];
    own.into_iter().chain(features).chain(references).chain(metrics).flatten()
}

/// The picture of samples and their nearest training images from the evaluation of a step, re-encoded; `None` if there
/// is none.
///
/// # Errors
/// The file cannot be read or is not a picture. The error names the file.
pub(in crate::commands) fn nearest(run: &Path, step: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let folder = run.join(FOLDER);
    let is = |path: &Path, wanted: fn(&fs::Metadata) -> bool| {
        fs::symlink_metadata(path).is_ok_and(|found| wanted(&found))
    };
    let names = [format!("nearest-step-{step:08}.png"), format!("nearest-step-{step}.png")];
    let found = names.into_iter().map(|name| folder.join(name)).find(|path| is(path, fs::Metadata::is_file));
    let Some(path) = found.filter(|_| is(&folder, fs::Metadata::is_dir)) else { return Ok(None) };
    let picture = || anyhow::Ok(Canvas::read_png(&files::read_regular(&path, MOST_PICTURE)?)?.png()?);
    picture().map(Some).with_context(|| format!("{}: not a picture", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn example() -> Value {
        json!({
            "what": "runs/x, step 30, ema", "run": "runs/x", "step": 30, "weights": "ema", "n": 100, "seed": 0,
            "sampler": "ddim", "steps": 30, "guidance": null,
            "features": {"name": "fashion features", "width": 128, "sha256": "ab", "resize": "none (28x28)"},
            "references": [{"part": "train", "data": "embedded fashion-mnist", "count": 10000, "sha256": "cd"}],
            "metrics": [
                {"name": "fd", "title": "FD (fashion features)", "reference": "train", "value": 12.3, "low": 11.9,
                 "high": 12.7, "better": "lower"},
                {"name": "bpd", "title": "bits/dim", "reference": "test", "value": 3.9, "low": null, "high": null,
                 "better": "lower"},
            ],
            "bits": {"reference": "test", "n": 500, "prior": 1e-5, "decoder": 0.4, "total": 3.9,
                     "by_t": [[0, 0.4], [1, 0.12]]},
            "copying": {"flagged": false, "share": 0.51, "p_value": 0.4, "alpha": 0.001},
            "seconds": 123.4, "machine": "Intel Xeon, 2 threads",
        })
    }

    fn with(run: &Path, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(run.join(FOLDER)).unwrap();
        fs::write(run.join(FOLDER).join(name), text).unwrap();
    }

    #[test]
    fn the_largest_step_is_the_newest() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(newest(run.path()).unwrap(), None);
        with(run.path(), "step-00000900.json", "no JSON");
        with(run.path(), "nearest-step-00009000.png", "");
        with(run.path(), "step-00001000.json", example().to_string());
        let found = newest(run.path()).unwrap().unwrap();
        assert_eq!((found.n, found.step, found.metrics.len()), (100, Some(30), 2));
        assert_eq!(found.metric("fd", Some("train")).unwrap().high, Some(12.7));
        assert_eq!(found.metric("fd", Some("test")), None);
        assert_eq!(found.bits.unwrap().by_t, [(0.0, 0.4), (1.0, 0.12)]);
    }

    /// Continuous paths have fractional t, and given features have no hash.
    #[test]
    fn what_is_written_is_read() {
        let run = tempfile::tempdir().unwrap();
        let mut whole: Evaluation = serde_json::from_value(example()).unwrap();
        whole.bits.as_mut().unwrap().by_t = vec![(-1.25, 0.4), (0.5, 0.1)];
        whole.features.as_mut().unwrap().sha256 = None;
        whole.references[0].sha256 = None;
        with(run.path(), "step-00000030.json", serde_json::to_string(&whole).unwrap());
        assert_eq!(newest(run.path()).unwrap(), Some(whole));
    }

    #[test]
    fn what_is_not_an_evaluation_is_named() {
        let changed = |path: &str, value: Value| {
            let mut whole = example();
            *whole.pointer_mut(path).unwrap() = value;
            whole.to_string()
        };
        let long = "x".repeat(MOST_LETTERS + 1);
        let many = vec![example()["metrics"][0].clone(); MOST_METRICS + 1];
        for (text, reason) in [
            (String::new(), "EOF"),
            ("[]".to_owned(), "invalid length 1"),
            (example().to_string().replace("12.3", "1e999"), "number out of range"),
            (changed("/n", json!(-1)), "invalid value"),
            (changed("/n", json!(null)), "invalid type: null"),
            (changed("/metrics/0/low", json!(13)), "low <= high"),
            (changed("/metrics", json!(many)), "at most 100, found 101"),
            (changed("/metrics/0/title", json!(long)), "a text of 301 characters"),
            (changed("/bits/by_t", json!([[1, 0.1], [1, 0.2]])), "ascending t"),
            (changed("/bits/by_t", json!([[1, 0.1, 3]])), "trailing"),
        ] {
            let run = tempfile::tempdir().unwrap();
            with(run.path(), "step-00000030.json", text);
            let error = format!("{:#}", newest(run.path()).unwrap_err());
            assert!(
                error.contains("step-00000030.json: not an evaluation") && error.contains(reason),
                "{error}"
            );
        }
        let run = tempfile::tempdir().unwrap();
        with(run.path(), "step-00000030.json", vec![b' '; MOST_BYTES as usize + 1]);
        assert!(format!("{:#}", newest(run.path()).unwrap_err()).contains("expected at most"));
    }

    #[test]
    fn the_nearest_images_are_a_picture_of_that_step() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(nearest(run.path(), 30).unwrap(), None);
        let png = Canvas::new(8, 5).unwrap().png().unwrap();
        with(run.path(), "nearest-step-00000030.png", &png);
        assert_eq!(nearest(run.path(), 30).unwrap(), Some(png));
        assert_eq!(nearest(run.path(), 31).unwrap(), None);
        with(run.path(), "nearest-step-00000031.png", "GIF89a");
        let error = format!("{:#}", nearest(run.path(), 31).unwrap_err());
        assert!(error.contains("nearest-step-00000031.png: not a picture"), "{error}");
    }

    /// A run from elsewhere must not show the targets of its links.
    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere() {
        use std::os::unix::fs::symlink;
        let (run, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let png = Canvas::new(8, 5).unwrap().png().unwrap();
        with(other.path(), "step-00000030.json", example().to_string());
        with(other.path(), "nearest-step-00000030.png", png);
        symlink(other.path().join(FOLDER), run.path().join(FOLDER)).unwrap();
        assert_eq!((newest(run.path()).unwrap(), nearest(run.path(), 30).unwrap()), (None, None));
        fs::remove_file(run.path().join(FOLDER)).unwrap();
        fs::create_dir(run.path().join(FOLDER)).unwrap();
        for name in ["step-00000030.json", "nearest-step-00000030.png"] {
            symlink(other.path().join(FOLDER).join(name), run.path().join(FOLDER).join(name)).unwrap();
        }
        assert_eq!((newest(run.path()).unwrap(), nearest(run.path(), 30).unwrap()), (None, None));
    }
}
