//! A rectangle in an image, as a user specifies it: `X,Y,W,H`.

use std::fmt;
use std::str::FromStr;

use ndarray::Array2;

/// Columns `x..x + width` and rows `y..y + height`, counted from the upper left corner.
///
/// ```
/// let region: dataset::Region = "1,0,2,2".parse()?;
/// region.check((3, 4))?;
/// assert_eq!(region.mask((3, 4)).iter().filter(|&&inside| inside).count(), 4);
/// # Ok::<(), dataset::RegionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

/// Why a rectangle cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The text is not four numbers.
    #[error("expected X,Y,W,H, four whole numbers such as 4,4,10,8")]
    NotFourNumbers,
    /// The rectangle contains no pixel.
    #[error("expected a width and a height of 1 or more")]
    Empty,
    /// The rectangle is partly or wholly outside the image.
    #[error("reaches beyond the image, which has {columns} columns and {rows} rows")]
    Outside {
        /// Columns of the image.
        columns: usize,
        /// Rows of the image.
        rows: usize,
    },
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        // Collect no more numbers than needed, whatever the text.
        let numbers: Option<Vec<usize>> =
            text.split(',').take(5).map(|word| word.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, width, height]) => Ok(Self { x, y, width, height }),
            _ => Err(RegionError::NotFourNumbers),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

impl Region {
    /// Refuses a rectangle that is empty or not within an image of `rows` and `columns`.
    ///
    /// # Errors
    /// [`RegionError::Empty`], [`RegionError::Outside`].
    pub fn check(&self, (rows, columns): (usize, usize)) -> Result<(), RegionError> {
        if self.width == 0 || self.height == 0 {
            return Err(RegionError::Empty);
        }
        let beyond =
            |start: usize, length: usize, side: usize| start.checked_add(length).is_none_or(|end| end > side);
        if beyond(self.x, self.width, columns) || beyond(self.y, self.height, rows) {
            return Err(RegionError::Outside { columns, rows });
        }
        Ok(())
    }

    /// Whether each pixel of an image of `rows` and `columns` is inside the rectangle. If it reaches beyond the image,
    /// only the part inside counts.
    #[must_use]
    pub fn mask(&self, (rows, columns): (usize, usize)) -> Array2<bool> {
        let (down, right) = (self.y.saturating_add(self.height), self.x.saturating_add(self.width));
        Array2::from_shape_fn((rows, columns), |(y, x)| {
            (self.y..down).contains(&y) && (self.x..right).contains(&x)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_are_four_numbers() {
        let region: Region = "1, 2,3,4".parse().unwrap();
        assert_eq!(region, Region { x: 1, y: 2, width: 3, height: 4 });
        assert_eq!(region.to_string().parse::<Region>().unwrap(), region);
        for wrong in ["", "1,2,3", "1,2,3,4,5", "1,2,3,4,", "1,2,3,-4", "1,2,3,4.5", "a,b,c,d"] {
            assert_eq!(wrong.parse::<Region>(), Err(RegionError::NotFourNumbers), "{wrong}");
        }
    }

    #[test]
    fn rectangles_lie_within() {
        let check = |text: &str| text.parse::<Region>().unwrap().check((4, 6));
        check("0,0,6,4").unwrap();
        check("5,3,1,1").unwrap();
        for empty in ["0,0,0,1", "0,0,1,0"] {
            assert_eq!(check(empty), Err(RegionError::Empty), "{empty}");
        }
        for outside in ["0,0,7,4", "0,0,6,5", "6,0,1,1", "18446744073709551615,0,2,1"] {
            assert_eq!(check(outside), Err(RegionError::Outside { columns: 6, rows: 4 }), "{outside}");
        }
    }

    #[test]
    fn masks_are_true_inside() {
        let mask = Region { x: 1, y: 2, width: 3, height: 2 }.mask((4, 6));
        assert_eq!(mask.iter().filter(|&&inside| inside).count(), 6);
        assert!(mask[[2, 1]] && mask[[3, 3]] && !mask[[1, 1]] && !mask[[2, 4]]);
        let beyond = Region { x: 5, y: 3, width: usize::MAX, height: usize::MAX }.mask((4, 6));
        assert_eq!(beyond.iter().filter(|&&inside| inside).count(), 1);
    }
}
