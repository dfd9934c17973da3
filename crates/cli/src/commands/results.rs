//! The images of a sampling run, saved as they are drawn: however the program ends, the finished batches are on disk.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dataset::{AnyArray, GrowingNpy};
use figures::Canvas;
use ndarray::{Array1, Array4, Axis, concatenate};

use crate::commands::image_files::{self, Earlier};
use crate::commands::partial_files;
use crate::conditioning::Conditioning;
use crate::output::{self, Form};
use crate::{own_png, paths};

/// The picture of all images.
const GRID: &str = "grid.png";
/// The archive of all images.
const ARCHIVE: &str = "samples.npz";

/// Takes images batch by batch. Keeps them in memory only for a grid.
pub(crate) struct Results<'a> {
    folder: PathBuf,
    forms: &'a [Form],
    conditioning: &'a Conditioning,
    class_names: &'a [String],
    /// The number of the first image.
    first: usize,
    count: usize,
    /// Whether images of other numbers in the folder stay.
    continues: bool,
    /// Images that were in the folder before, from the first batch on.
    earlier: Option<Earlier>,
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
        Form::Npz => vec![ARCHIVE.to_owned(), partial_files::name(first)],
        Form::Png => vec![image_files::name(first, None, &[])],
    });
    names.collect()
}

impl<'a> Results<'a> {
    /// Saves into a folder, which is created with the first images. `first` is the number of the first image. PNG files of an
    /// earlier sampling that nobody has changed, and what a killed one left, are removed from the folder with the first images.
    pub(crate) fn new(
        folder: &Path,
        forms: &'a [Form],
        (conditioning, class_names): (&'a Conditioning, &'a [String]),
        first: usize,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            forms,
            conditioning,
            class_names,
            first,
            count: 0,
            continues: false,
            earlier: None,
            kept: Vec::new(),
            growing: None,
        }
    }

    /// The same, but continues an earlier sampling: its images stay.
    pub(crate) fn continuing(self) -> Self {
        Self { continues: true, ..self }
    }

    /// Refuses a folder in which the first PNG file of a class cannot be written. [`names`] cannot name it, because the
    /// classes are in the model.
    pub(crate) fn try_first(&self) -> anyhow::Result<()> {
        let name = self.png_name(self.first);
        if self.forms.contains(&Form::Png) && !names(&[Form::Png], self.first).contains(&name) {
            output::try_folder("--out", &self.folder, &[name])?;
        }
        Ok(())
    }

    /// Refuses to write over files that are read, before `count` images are drawn.
    pub(crate) fn check_inputs(&self, count: usize) -> anyhow::Result<()> {
        output::refuse_input("--out", &self.folder)?;
        for (form, name) in [(Form::Grid, GRID), (Form::Npz, ARCHIVE)] {
            if self.forms.contains(&form) {
                output::refuse_input("--out", &self.folder.join(name))?;
            }
        }
        if self.forms.contains(&Form::Png) {
            let (earlier, new) = (Earlier::find(&self.folder), self.first..self.first + count);
            for (_, name) in earlier.within(&new).filter(|(number, name)| self.png_name(*number) == *name) {
                output::refuse_input("--out", &self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Number of images so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Saves a batch, u8 `[b, h, w, c]`.
    pub(crate) fn add(&mut self, pixels: Array4<u8>) -> anyhow::Result<()> {
        files::make_folder(&self.folder).with_context(|| format!("--out {}", self.folder.display()))?;
        if self.count == 0 {
            partial_files::remove_leftovers(&self.folder, self.first, !self.continues)?;
        }
        if self.forms.contains(&Form::Png) {
            self.save_each(&pixels)?;
        }
        if self.forms.contains(&Form::Npz) {
            let growing = match &mut self.growing {
                Some(growing) => growing,
                none => {
                    let (_, height, width, channels) = pixels.dim();
                    let path = self.folder.join(partial_files::name(self.first));
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

    /// Saves each image of a batch in its own file.
    fn save_each(&mut self, pixels: &Array4<u8>) -> anyhow::Result<()> {
        let next = self.first + self.count;
        let range = next..next + pixels.len_of(Axis(0));
        let names: Vec<String> = range.clone().map(|number| self.png_name(number)).collect();
        let earlier = self.earlier.get_or_insert_with(|| Earlier::find(&self.folder));
        earlier.make_way(&self.folder, (&range, &names), !self.continues)?;
        for (name, image) in names.iter().zip(pixels.axis_iter(Axis(0))) {
            let path = self.folder.join(name);
            let png = own_png::marked(dataset::encode_png(image)?);
            files::write_output(&path, &png).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The name of the file of an image, with its class.
    fn png_name(&self, number: usize) -> String {
        let class = self.conditioning.drawn_labels(number..number + 1).first().copied();
        image_files::name(number, class, self.class_names)
    }

    /// Writes the grid of the images so far, as `picture` draws it, and the archive, with more arrays after images and
    /// labels.
    pub(crate) fn finish(
        mut self,
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
        if let Some(growing) = self.growing.take() {
            let path = self.folder.join(ARCHIVE);
            if !self.conditioning.classes().is_empty() {
                let labels = self.conditioning.drawn_labels(self.first..self.first + self.count);
                arrays.insert(0, ("labels", AnyArray::from(Array1::from(labels))));
            }
            growing.into_npz(&path, &arrays).with_context(|| {
                format!("the images are in {}", self.folder.join(partial_files::name(self.first)).display())
            })?;
            written.push(path);
        }
        let mut files = written.len();
        if self.forms.contains(&Form::Png) && self.count > 0 {
            files += self.count;
            written.push(self.folder.join(self.png_name(self.first)));
            if let Some(earlier) = &self.earlier {
                let new = self.first..self.first + self.count;
                let is_new =
                    |number: usize, name: &str| new.contains(&number) && self.png_name(number) == name;
                earlier.warn_of_foreign(&self.folder, is_new);
            }
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
        let names = ["Hat", "Bag", "T-shirt/top"].map(str::to_owned);
        let mut kept: Option<Vec<(String, Vec<u8>)>> = None;
        for batch in [1, 3, 7] {
            let folder = tempfile::tempdir().unwrap();
            let mut results = Results::new(folder.path(), &ALL, (&conditioning, &names), 3);
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
            assert_eq!([&*found[0].0, &*found[1].0], ["00003-t-shirt-top.png", "00004-bag.png"]);
            assert_eq!(found[6].0, "00009-t-shirt-top.png");
            assert!(*kept.get_or_insert_with(|| found.clone()) == found, "batches of {batch}");
        }
    }

    /// As if the program were killed: `finish` is never called.
    #[test]
    fn finished_batches_are_on_disk() {
        let (folder, conditioning) = (tempfile::tempdir().unwrap(), Conditioning::none());
        let mut results = Results::new(folder.path(), &ALL, (&conditioning, &[]), 0);
        results.add(images()).unwrap();
        std::mem::forget(results);
        let read = dataset::read_npy(&folder.path().join("samples.partial-00000.npy")).unwrap();
        assert_eq!(read, AnyArray::U8(images().into_dyn()));
        assert!(folder.path().join("00006.png").is_file());
    }

    /// A folder never mixes two samplings, unless one continues the other.
    #[test]
    fn images_of_an_earlier_sampling_go() {
        let (folder, conditioning) = (tempfile::tempdir().unwrap(), Conditioning::none());
        let sample = |first: usize, count: usize, continues: bool| {
            let results = Results::new(folder.path(), &ALL[1..2], (&conditioning, &[]), first);
            let mut results = if continues { results.continuing() } else { results };
            for number in 0..count {
                results.add(images().slice_axis(Axis(0), (number..number + 1).into()).to_owned()).unwrap();
            }
            results.finish(Vec::new(), plain).unwrap();
            std::fs::read_dir(folder.path()).unwrap().count()
        };
        assert_eq!(sample(0, 5, false), 5);
        assert_eq!(sample(5, 2, true), 7);
        assert_eq!(sample(1, 3, true), 7);
        std::fs::write(folder.path().join("00004.png"), "mine").unwrap();
        assert_eq!(sample(0, 3, false), 4);
        assert_eq!(std::fs::read(folder.path().join("00004.png")).unwrap(), b"mine");
        assert_eq!(sample(0, 1, true), 4);
        // A killed one leaves its archive. Another may be at work beside one that continues.
        for first in [0, 9] {
            let mut killed = Results::new(folder.path(), &ALL[2..], (&conditioning, &[]), first).continuing();
            killed.add(images()).unwrap();
            std::mem::forget(killed);
        }
        assert_eq!(sample(0, 1, true), 5);
        assert!(folder.path().join("samples.partial-00009.npy").is_file());
        assert_eq!(sample(0, 3, false), 4);
    }

    #[test]
    fn without_a_grid_nothing_stays_in_memory() {
        let (folder, conditioning) = (tempfile::tempdir().unwrap(), Conditioning::none());
        let mut results = Results::new(folder.path(), &ALL[1..], (&conditioning, &[]), 0);
        results.add(images()).unwrap();
        assert!(results.kept.is_empty() && results.count() == 7);
    }
}
