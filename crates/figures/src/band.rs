//! Rows or columns of a sheet, in runs under one label, and the gaps between them.

use crate::check;
use crate::error::FiguresError;

/// White between neighbours, and before a band that stands apart, in pixels.
pub(crate) const GAP: usize = 4;
pub(crate) const WIDE_GAP: usize = 26;

/// A run of rows or of columns under one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    label: String,
    count: usize,
    apart: bool,
}

impl Band {
    /// One row or column.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), count: 1, apart: false }
    }

    /// The same label over `count` rows or columns.
    #[must_use]
    pub fn spanning(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// With a wide gap before it.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

/// Checks that there are no bands, or that they cover every line once.
pub(crate) fn cover(what: &'static str, bands: &[Band], lines: usize) -> Result<(), FiguresError> {
    if bands.iter().any(|band| band.count == 0) {
        return Err(FiguresError::Empty { what });
    }
    let covered = bands.iter().fold(0_usize, |sum, band| sum.saturating_add(band.count));
    if bands.is_empty() { Ok(()) } else { check::length(what, lines, covered) }
}

/// First and last line of each band.
pub(crate) fn extents(bands: &[Band]) -> impl Iterator<Item = (usize, usize)> + '_ {
    bands.iter().scan(0, |next, band| {
        let first = *next;
        *next += band.count;
        Some((first, *next - 1))
    })
}

/// Start of each line, when the first starts at `start` and each is `size` long.
pub(crate) fn edges(bands: &[Band], lines: usize, size: usize, start: usize) -> Vec<usize> {
    let wide: Vec<usize> =
        extents(bands).zip(bands).filter(|(_, band)| band.apart).map(|((first, _), _)| first).collect();
    let mut next = start;
    (0..lines)
        .map(|line| {
            if line > 0 {
                let gap = if wide.contains(&line) { WIDE_GAP } else { GAP };
                next = next.saturating_add(size).saturating_add(gap);
            }
            next
        })
        .collect()
}

/// Length of all lines together with the gaps between them.
pub(crate) fn span(bands: &[Band], lines: usize, size: usize) -> usize {
    edges(bands, lines, size, 0).last().map_or(0, |last| last.saturating_add(size))
}

#[cfg(test)]
mod tests {
    use super::{Band, GAP, WIDE_GAP, edges, extents, span};

    #[test]
    fn lines_follow_each_other_with_their_gaps() {
        let bands = [Band::new("a").spanning(2), Band::new("b").apart()];
        assert_eq!(extents(&bands).collect::<Vec<_>>(), [(0, 1), (2, 2)]);
        let (second, third) = (7 + 10 + GAP, 7 + 20 + GAP + WIDE_GAP);
        assert_eq!(edges(&bands, 3, 10, 7), [7, second, third]);
        assert_eq!(span(&bands, 3, 10), third + 10 - 7);
        assert_eq!(span(&[], 2, 10), 20 + GAP);
        assert_eq!(span(&[], 0, 10), 0);
    }
}
