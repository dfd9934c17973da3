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
    /// What to look at, in a sentence or two.
    pub caption: String,
    /// The equations it illustrates, one a line, in the plain notation of [`crate::equation_html`].
    pub equation: String,
    /// The picture.
    pub png: Vec<u8>,
    /// Whether the picture has only curves and text: a dark page may invert its colours, which would spoil images.
    pub is_plot: bool,
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
    pub(crate) fn sheet(self, sheet: &Sheet<'_>) -> Result<Figure, FiguresError> {
        let picture = self.page().row(vec![sheet.draw()?]).draw()?;
        self.figure(&picture)
    }

    /// The figure of a drawn picture of curves and text.
    pub(crate) fn plot(self, picture: &Canvas) -> Result<Figure, FiguresError> {
        Ok(Figure { is_plot: true, ..self.figure(picture)? })
    }

    /// The figure of a drawn picture.
    pub(crate) fn figure(self, picture: &Canvas) -> Result<Figure, FiguresError> {
        let Self { name, title, caption, equation, note: _ } = self;
        Ok(Figure {
            name,
            title,
            caption,
            equation: equation.into(),
            png: picture.png()?,
            is_plot: false,
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

    /// Writes the picture to `dir/name.png`, through a temporary file, and returns that path.
    ///
    /// # Errors
    /// [`FiguresError::Write`].
    pub fn save(&self, dir: &Path) -> Result<PathBuf, FiguresError> {
        let path = dir.join(self.name).with_extension("png");
        FiguresError::writing(&path, files::write_output(&path, &self.png))?;
        Ok(path)
    }
}
