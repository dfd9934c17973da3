//! A rectangle of an image, as flags say it: `X,Y,W,H`.

use std::fmt;
use std::str::FromStr;

use anyhow::anyhow;
use ndarray::Array2;

use crate::failure::bail_usage;

/// Columns `x..x + width` and rows `y..y + height`, counted from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl FromStr for Region {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let numbers = text.split(',').map(|word| word.trim().parse().ok()).collect::<Option<Vec<usize>>>();
        match numbers.as_deref() {
            Some(&[x, y, width, height]) => Ok(Self { x, y, width, height }),
            _ => Err(anyhow!("expected X,Y,W,H, four whole numbers such as 4,4,10,8")),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

impl Region {
    /// Refuses an empty one and one that is not within an image of some rows and columns.
    pub(crate) fn check(&self, flag: &str, (rows, columns): (usize, usize)) -> anyhow::Result<()> {
        if self.width == 0 || self.height == 0 {
            bail_usage!("{flag} {self}: expected a width and a height of 1 or more");
        }
        let beyond =
            |start: usize, length: usize, side: usize| start.checked_add(length).is_none_or(|end| end > side);
        if beyond(self.x, self.width, columns) || beyond(self.y, self.height, rows) {
            bail_usage!(
                "{flag} {self}: reaches beyond the image, which has {columns} columns and {rows} rows for this network"
            );
        }
        Ok(())
    }

    /// Whether each pixel of an image of some rows and columns lies within.
    pub(crate) fn mask(&self, size: (usize, usize)) -> Array2<bool> {
        Array2::from_shape_fn(size, |(y, x)| {
            (self.y..self.y + self.height).contains(&y) && (self.x..self.x + self.width).contains(&x)
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
        for wrong in ["", "1,2,3", "1,2,3,4,5", "1,2,3,-4", "1,2,3,4.5", "a,b,c,d"] {
            assert!(wrong.parse::<Region>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rectangles_lie_within() {
        let check = |text: &str| text.parse::<Region>().unwrap().check("--box", (4, 6));
        check("0,0,6,4").unwrap();
        check("5,3,1,1").unwrap();
        for wrong in ["0,0,7,4", "0,0,6,5", "6,0,1,1", "0,0,0,1", "0,0,1,0", "18446744073709551615,0,2,1"] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--box {wrong}: ")), "{error}");
        }
        let mask = Region { x: 1, y: 2, width: 3, height: 2 }.mask((4, 6));
        assert_eq!(mask.iter().filter(|&&inside| inside).count(), 6);
        assert!(mask[[2, 1]] && mask[[3, 3]] && !mask[[1, 1]] && !mask[[2, 4]]);
    }
}
