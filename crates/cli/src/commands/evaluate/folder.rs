//! Where an evaluation is stored: in its run, one file per checkpoint, or in a folder that the user names.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dataset::AnyArray;
use features::Extracted;
use ndarray::Array4;

use crate::commands::evaluate::rows;
use crate::commands::evaluation::Evaluation;
use crate::paths;

/// Where an evaluation is written.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    json: String,
    picture: String,
    /// Files for the images and for their features.
    arrays: Option<[&'static str; 2]>,
}

impl Folder {
    /// The user's folder: fixed names, and the arrays.
    pub(crate) fn of_out(path: &Path) -> Self {
        let [json, picture] = ["evaluation.json", "nearest.png"].map(str::to_owned);
        Self { path: path.to_owned(), json, picture, arrays: Some(["samples.npz", "features.npz"]) }
    }

    /// A run's folder: one file per checkpoint.
    pub(crate) fn of_run(run: &Path, step: u64) -> Self {
        let path = run.join("evaluations");
        Self {
            path,
            json: format!("step-{step:08}.json"),
            picture: format!("nearest-step-{step:08}.png"),
            arrays: None,
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let arrays = self.arrays.into_iter().flatten().map(str::to_owned);
        [self.json.clone(), self.picture.clone()].into_iter().chain(arrays).collect()
    }

    /// Moves an earlier evaluation of the same checkpoint to `earlier/N-NAME`. It may cover other samples or metrics.
    fn set_aside(&self) -> anyhow::Result<()> {
        if self.path.join(&self.json).symlink_metadata().is_err() {
            return Ok(());
        }
        let earlier = self.path.join("earlier");
        files::make_folder(&earlier).with_context(|| earlier.display().to_string())?;
        let free =
            |number: &usize| earlier.join(format!("{number}-{}", self.json)).symlink_metadata().is_err();
        let number = (1..100_000).find(free).unwrap_or(100_000);
        for name in [&self.json, &self.picture] {
            let (from, to) = (self.path.join(name), earlier.join(format!("{number}-{name}")));
            match std::fs::rename(&from, &to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                moved => moved.with_context(|| from.display().to_string())?,
            }
        }
        Ok(())
    }

    /// Writes what there is. Returns the paths as text.
    pub(crate) fn write(
        &self,
        evaluation: &Evaluation,
        picture: Option<&[u8]>,
        (images, rows): (Option<&Array4<u8>>, Option<&Extracted>),
    ) -> anyhow::Result<Vec<String>> {
        files::make_folder(&self.path).with_context(|| self.path.display().to_string())?;
        if self.arrays.is_none() {
            self.set_aside()?;
        }
        let mut written = Vec::new();
        let mut write = |name: &str, bytes: &[u8]| {
            let path = self.path.join(name);
            files::write_output(&path, bytes).with_context(|| path.display().to_string())?;
            written.push(paths::text(&path));
            anyhow::Ok(())
        };
        let mut json = serde_json::to_string_pretty(evaluation)?;
        json.push('\n');
        write(&self.json, json.as_bytes())?;
        if let Some(picture) = picture {
            write(&self.picture, picture)?;
        }
        if let Some([of_images, of_features]) = self.arrays {
            if let Some(images) = images {
                let path = self.path.join(of_images);
                dataset::write_npz(&path, &[("images", AnyArray::from(images.clone()))])?;
                written.push(paths::text(&path));
            }
            if let Some(rows) = rows {
                let path = self.path.join(of_features);
                rows::write(&path, rows)?;
                written.push(paths::text(&path));
            }
        }
        Ok(written)
    }
}
