//! A finished figure: its picture, and what the report says about it.

use std::path::{Path, PathBuf};

use crate::canvas::Canvas;
use crate::error::FiguresError;
use crate::page::Page;
use crate::sheet::Sheet;

/// A figure of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name of the file without its ending, such as `01-schedules`. Names sort in the report's order.
    pub name: &'static str,
    /// The title, in a few words.
    pub title: &'static str,
    /// What the picture shows, for readers who cannot see it.
    pub alt: String,
    /// What it shows, in a sentence or two.
    pub caption: String,
    /// The equations it illustrates, one a line, in the plain notation of [`crate::equation_html`].
    pub equation: String,
    /// The picture.
    pub png: Vec<u8>,
    /// The same picture for dark pages.
    pub dark: Vec<u8>,
    /// How it was made, in a line; empty if that is not known. Commands are written between backquotes.
    pub about: String,
    /// Pixels per em of the smallest text, as a share of the picture's width; `None` without text.
    pub(crate) smallest_text: Option<f64>,
    /// The numbers behind the picture, if they are worth reading.
    pub table: Option<Table>,
}

/// Numbers in rows and columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Column headings.
    pub header: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

/// The texts of a figure.
pub(crate) struct Words {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    pub(crate) equation: &'static str,
    /// How to read the picture, in a line inside the picture.
    pub(crate) note: &'static str,
}

impl Words {
    /// An empty page with title and note.
    pub(crate) fn page(&self) -> Page {
        Page::new(self.title).note(self.note)
    }

    /// The figure that is one sheet of images under its title.
    pub(crate) fn sheet(self, sheet: Sheet<'_>) -> Result<Figure, FiguresError> {
        let picture = self.page().row(vec![sheet.in_page().draw()?]).draw()?;
        self.figure(&picture)
    }

    /// The figure of a drawn picture.
    pub(crate) fn figure(self, picture: &Canvas) -> Result<Figure, FiguresError> {
        let Self { name, title, caption, equation, note } = self;
        let smallest = picture.smallest_text().map(f64::from);
        Ok(Figure {
            name,
            title,
            alt: format!("{title}. {note}"),
            caption,
            equation: equation.into(),
            png: picture.compact_png()?,
            dark: picture.dark().compact_png()?,
            about: String::new(),
            smallest_text: smallest.map(|size| size / picture.width() as f64),
            table: None,
        })
    }
}

impl Figure {
    /// Its number in the report, which its name starts with: a report of some figures keeps their numbers.
    #[must_use]
    pub fn number(&self) -> &str {
        self.name.split('-').next().unwrap_or_default().trim_start_matches('0')
    }

    /// Pixels per em of the smallest text when the picture is shown `width` pixels across; `None` without text.
    #[must_use]
    pub fn smallest_text_at(&self, width: f64) -> Option<f64> {
        self.smallest_text.map(|share| share * width)
    }

    /// Writes the picture to `dir/name.png`, through a temporary file, and returns that path.
    ///
    /// # Errors
    /// [`FiguresError::Write`].
    pub fn save(&self, dir: &Path) -> Result<PathBuf, FiguresError> {
        self.write(dir, &self.png)
    }

    /// Writes the picture for dark pages likewise.
    ///
    /// # Errors
    /// [`FiguresError::Write`].
    pub fn save_dark(&self, dir: &Path) -> Result<PathBuf, FiguresError> {
        self.write(dir, &self.dark)
    }

    fn write(&self, dir: &Path, png: &[u8]) -> Result<PathBuf, FiguresError> {
        let path = dir.join(self.name).with_extension("png");
        FiguresError::writing(&path, files::write_output(&path, png))?;
        Ok(path)
    }
}
