//! What `ddpm evaluate` has left in a run folder: `evaluations/step-NNNNNNNN.json`, and the pictures beside it. The folder
//! may be a stranger's, so sizes are bounded and no link is followed: it could lead to a private picture, which would end
//! up in a page that its reader gives away.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use figures::Canvas;
use serde::Deserialize;

/// The folder in a run.
const FOLDER: &str = "evaluations";
/// Bytes of an evaluation: the bits of a thousand t take 30 kB.
const MOST_BYTES: u64 = 4 << 20;
/// Bytes of a picture.
const MOST_PICTURE: u64 = 8 << 20;
/// Entries of the folder that are looked at, and entries of the lists in a file.
const MOST_ENTRIES: usize = 10_000;
const MOST_METRICS: usize = 100;
/// Letters of a text.
const MOST_LETTERS: usize = 300;

/// An evaluation as it is on disk. Fields that later versions add are passed over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(in crate::commands) struct Evaluation {
    pub(in crate::commands) step: Option<u64>,
    /// `ema` or `raw`.
    pub(in crate::commands) weights: Option<String>,
    /// Samples.
    pub(in crate::commands) n: u64,
    pub(in crate::commands) seed: Option<u64>,
    pub(in crate::commands) sampler: Option<String>,
    pub(in crate::commands) steps: Option<u64>,
    pub(in crate::commands) guidance: Option<f64>,
    pub(in crate::commands) features: Option<Features>,
    #[serde(default)]
    pub(in crate::commands) references: Vec<Reference>,
    pub(in crate::commands) metrics: Vec<Metric>,
    pub(in crate::commands) bits: Option<Bits>,
    pub(in crate::commands) copying: Option<Copying>,
    pub(in crate::commands) seconds: Option<f64>,
    pub(in crate::commands) machine: Option<String>,
}

/// The network that gave the features.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::commands) struct Features {
    pub(in crate::commands) name: String,
    pub(in crate::commands) width: u64,
    pub(in crate::commands) sha256: String,
    pub(in crate::commands) resize: String,
}

/// Images that the samples were compared with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::commands) struct Reference {
    /// `train` or `test`.
    pub(in crate::commands) part: String,
    pub(in crate::commands) data: String,
    pub(in crate::commands) count: u64,
    pub(in crate::commands) sha256: String,
}

/// One number, with a 95 % interval where there is one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(in crate::commands) struct Metric {
    pub(in crate::commands) name: String,
    pub(in crate::commands) title: String,
    pub(in crate::commands) reference: Option<String>,
    pub(in crate::commands) value: f64,
    pub(in crate::commands) low: Option<f64>,
    pub(in crate::commands) high: Option<f64>,
    /// `lower` or `higher`.
    pub(in crate::commands) better: Option<String>,
}

/// The variational bound and its terms, in bits/dim.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(in crate::commands) struct Bits {
    pub(in crate::commands) reference: Option<String>,
    pub(in crate::commands) n: u64,
    pub(in crate::commands) prior: f64,
    pub(in crate::commands) total: f64,
    pub(in crate::commands) by_t: Vec<(usize, f64)>,
}

/// The test whether samples repeat training images.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(in crate::commands) struct Copying {
    pub(in crate::commands) flagged: bool,
    pub(in crate::commands) share: f64,
    pub(in crate::commands) p_value: f64,
    pub(in crate::commands) alpha: f64,
}

/// The newest evaluation of a run, the one of the latest step; `None` where there is none.
///
/// # Errors
/// One that names the file, when it cannot be read or is no evaluation.
pub(in crate::commands) fn newest(run: &Path) -> anyhow::Result<Option<Evaluation>> {
    let Some(path) = newest_file(run) else { return Ok(None) };
    read(&path).map(Some).with_context(|| {
        format!("{}: not an evaluation; `ddpm evaluate --run` writes it again", path.display())
    })
}

/// `step-NNNNNNNN.json` of the largest step. Links are passed over.
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
    evaluation.check()?;
    Ok(evaluation)
}

impl Evaluation {
    /// Refuses what no evaluation holds. JSON has no numbers that are not finite.
    fn check(&self) -> anyhow::Result<()> {
        let count = self.metrics.len();
        ensure!(count <= MOST_METRICS, "metrics: expected at most {MOST_METRICS}, found {count}");
        let count = self.references.len();
        ensure!(count <= MOST_METRICS, "references: expected at most {MOST_METRICS}, found {count}");
        for metric in &self.metrics {
            if let (Some(low), Some(high)) = (metric.low, metric.high) {
                ensure!(
                    low <= high,
                    "metric {:?}: expected low <= high, found {low} and {high}",
                    metric.name
                );
            }
        }
        if let Some(bits) = &self.bits {
            ensure!(bits.by_t.is_sorted_by(|a, b| a.0 < b.0), "bits.by_t: expected t that rise");
        }
        for text in self.texts() {
            let letters = text.chars().count();
            ensure!(letters <= MOST_LETTERS, "a text of {letters} letters: expected at most {MOST_LETTERS}");
        }
        Ok(())
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let features = self.features.iter().flat_map(|f| [&f.name, &f.sha256, &f.resize]);
        let references = self.references.iter().flat_map(|r| [&r.part, &r.data, &r.sha256]);
        let metrics = self.metrics.iter().flat_map(|m| [&m.name, &m.title].into_iter().chain(&m.reference));
        let own = [&self.weights, &self.sampler, &self.machine].into_iter().flatten();
        own.chain(features).chain(references).chain(metrics)
    }

    /// The metric of a name against a reference.
    pub(in crate::commands) fn metric(&self, name: &str, reference: Option<&str>) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name && metric.reference.as_deref() == reference)
    }
}

/// The picture of samples with the training images nearest to them, of the evaluation of a step, coded anew; `None`
/// where there is none.
///
/// # Errors
/// One that names the file, when it cannot be read or is no picture.
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
        assert_eq!(found.bits.unwrap().by_t, [(0, 0.4), (1, 0.12)]);
    }

    #[test]
    fn what_is_no_evaluation_is_named() {
        let changed = |path: &str, value: Value| {
            let mut whole = example();
            *whole.pointer_mut(path).unwrap() = value;
            whole.to_string()
        };
        let long = "x".repeat(MOST_LETTERS + 1);
        let many = vec![example()["metrics"][0].clone(); MOST_METRICS + 1];
        for (text, reason) in [
            (String::new(), "EOF"),
            ("[]".to_owned(), "invalid length 0"),
            (example().to_string().replace("12.3", "1e999"), "number out of range"),
            (changed("/n", json!(-1)), "invalid value"),
            (changed("/n", json!(null)), "invalid type: null"),
            (changed("/metrics/0/low", json!(13)), "low <= high"),
            (changed("/metrics", json!(many)), "at most 100, found 101"),
            (changed("/metrics/0/title", json!(long)), "a text of 301 letters"),
            (changed("/bits/by_t", json!([[1, 0.1], [1, 0.2]])), "t that rise"),
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

    /// A run from elsewhere must not show what its links lead to.
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
