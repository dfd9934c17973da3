//! The images of a sampling run, saved as they are drawn: however the program ends, the finished batches are on disk.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dataset::{AnyArray, GrowingNpy};
use figures::Canvas;
use ndarray::{Array1, Array4, Axis, concatenate};

use crate::conditioning::Conditioning;
use crate::output::{self, Form};
use crate::paths;

/// The picture of all images.
const GRID: &str = "grid.png";
/// The archive of all images.
const ARCHIVE: &str = "samples.npz";

/// Takes images batch by batch. Keeps them in memory only for a grid.
pub(crate) struct Results<'a> {
    folder: PathBuf,
    forms: &'a [Form],
    conditioning: &'a Conditioning,
    /// The number of the first image.
    first: usize,
    count: usize,
    kept: Vec<Array4<u8>>,
    growing: Option<GrowingNpy>,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Number of files.
    pub(crate) files: usize,
    /// The file to look at: the grid, else the archive, else the first image.
    pub(crate) first: Option<PathBuf>,
}

impl Written {
    /// The first file as text.
    pub(crate) fn shown(&self) -> Option<String> {
        self.first.as_deref().map(paths::text)
    }
}

/// The file names of these forms at the start of a sampling run.
pub(crate) fn names(forms: &[Form], first: usize) -> Vec<String> {
    let names = forms.iter().flat_map(|form| match form {
        Form::Grid => vec![GRID.to_owned()],
        Form::Npz => vec![ARCHIVE.to_owned(), growing_name(first)],
        Form::Png => vec![png_name(first)],
    });
    names.collect()
}

fn png_name(index: usize) -> String {
    format!("{index:05}.png")
}

fn growing_name(first: usize) -> String {
    format!("samples.partial-{first:05}.npy")
}

impl<'a> Results<'a> {
    /// Saves into a folder, which is created with the first images. `first` is the number of the first image.
    pub(crate) fn new(
        folder: &Path,
        forms: &'a [Form],
        conditioning: &'a Conditioning,
        first: usize,
    ) -> Self {
        let folder = folder.to_owned();
        Self { folder, forms, conditioning, first, count: 0, kept: Vec::new(), growing: None }
    }

    /// Number of images so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Saves a batch, u8 `[b, h, w, c]`.
    pub(crate) fn add(&mut self, pixels: Array4<u8>) -> anyhow::Result<()> {
        files::make_folder(&self.folder).with_context(|| format!("--out {}", self.folder.display()))?;
        let next = self.first + self.count;
        if self.forms.contains(&Form::Png) {
            for (index, image) in pixels.axis_iter(Axis(0)).enumerate() {
                dataset::save_png(&self.folder.join(png_name(next + index)), image)?;
            }
        }
        if self.forms.contains(&Form::Npz) {
            let growing = match &mut self.growing {
                Some(growing) => growing,
                none => {
                    let (_, height, width, channels) = pixels.dim();
                    let path = self.folder.join(growing_name(self.first));
                    none.insert(GrowingNpy::create(&path, [height, width, channels])?)
                }
            };
            growing.append(pixels.view())?;
        }
        self.count += pixels.len_of(Axis(0));
        if self.forms.contains(&Form::Grid) {
            self.kept.push(pixels);
        }
        Ok(())
    }

    /// Writes the grid of the images so far, as `picture` draws it, and the archive, with more arrays after images and
    /// labels.
    pub(crate) fn finish(
        self,
        mut arrays: Vec<(&str, AnyArray)>,
        picture: impl FnOnce(&Array4<u8>, &Conditioning) -> anyhow::Result<Canvas>,
    ) -> anyhow::Result<Written> {
        let mut written = Vec::new();
        if !self.kept.is_empty() {
            let views: Vec<_> = self.kept.iter().map(Array4::view).collect();
            let path = self.folder.join(GRID);
            let png = picture(&concatenate(Axis(0), &views)?, self.conditioning)?.png()?;
            files::write_output(&path, &png).with_context(|| path.display().to_string())?;
            written.push(path);
        }
        if let Some(growing) = self.growing {
            let path = self.folder.join(ARCHIVE);
            if !self.conditioning.classes().is_empty() {
                let labels = self.conditioning.drawn_labels(self.first..self.first + self.count);
                arrays.insert(0, ("labels", AnyArray::from(Array1::from(labels))));
            }
            growing.into_npz(&path, &arrays).with_context(|| {
                format!("the images are in {}", self.folder.join(growing_name(self.first)).display())
            })?;
            written.push(path);
        }
        let mut files = written.len();
        if self.forms.contains(&Form::Png) && self.count > 0 {
            files += self.count;
            written.push(self.folder.join(png_name(self.first)));
        }
        Ok(Written { files, first: written.into_iter().next() })
    }
}

/// A grid of the images alone, with one row per class if the rows come out even.
pub(crate) fn plain(pixels: &Array4<u8>, conditioning: &Conditioning) -> anyhow::Result<Canvas> {
    output::class_grid(pixels, conditioning.classes().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampler::Guidance;

    const ALL: [Form; 3] = [Form::Grid, Form::Png, Form::Npz];

    fn images() -> Array4<u8> {
        Array4::from_shape_fn((7, 4, 4, 1), |(n, y, x, _)| (n * 30 + y * 4 + x) as u8)
    }

    /// The files do not depend on the batches.
    #[test]
    fn the_files_are_those_of_the_whole() {
        let conditioning = Conditioning::new(vec![1, 2], Guidance::new(1.0));
        let mut kept: Option<Vec<(String, Vec<u8>)>> = None;
        for batch in [1, 3, 7] {
            let folder = tempfile::tempdir().unwrap();
            let mut results = Results::new(folder.path(), &ALL, &conditioning, 3);
            for start in (0..7).step_by(batch) {
                let part = images().slice_axis(Axis(0), (start..(start + batch).min(7)).into()).to_owned();
                results.add(part).unwrap();
            }
            let written = results.finish(Vec::new(), plain).unwrap();
            assert_eq!((written.files, written.first), (9, Some(folder.path().join("grid.png"))));
            let mut npz = dataset::Npz::open(&folder.path().join("samples.npz")).unwrap();
            assert_eq!(npz.array("images").unwrap(), AnyArray::U8(images().into_dyn()));
            // Image 3 is the first.
            let labels = Array1::from(vec![2_i64, 1, 2, 1, 2, 1, 2]);
            assert_eq!(npz.array("labels").unwrap(), AnyArray::from(labels));
            let mut found: Vec<_> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
                .collect();
            found.sort();
            assert_eq!(found.len(), 9);
            assert!(found.iter().any(|(name, _)| name == "00003.png") && found[6].0 == "00009.png");
            assert!(*kept.get_or_insert_with(|| found.clone()) == found, "batches of {batch}");
        }
    }

    /// As if the program were killed: `finish` is never called.
    #[test]
    fn finished_batches_are_on_disk() {
        let (folder, conditioning) = (tempfile::tempdir().unwrap(), Conditioning::none());
        let mut results = Results::new(folder.path(), &ALL, &conditioning, 0);
        results.add(images()).unwrap();
        std::mem::forget(results);
        let read = dataset::read_npy(&folder.path().join("samples.partial-00000.npy")).unwrap();
        assert_eq!(read, AnyArray::U8(images().into_dyn()));
        assert!(folder.path().join("00006.png").is_file());
    }

    #[test]
    fn without_a_grid_nothing_stays_in_memory() {
        let (folder, conditioning) = (tempfile::tempdir().unwrap(), Conditioning::none());
        let mut results = Results::new(folder.path(), &ALL[1..], &conditioning, 0);
        results.add(images()).unwrap();
        assert!(results.kept.is_empty() && results.count() == 7);
    }
}
