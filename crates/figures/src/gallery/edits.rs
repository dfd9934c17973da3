//! Figures 16 to 19: edits of given images.

use ndarray::{ArrayView5, Axis, concatenate};

use crate::band::Band;
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::sheet::Sheet;

/// A group of lines of a figure.
#[derive(Debug, Clone)]
pub struct EditRows<'a> {
    /// What they show.
    pub name: &'a str,
    /// `[lines, columns, h, w, c]`.
    pub cells: ArrayView5<'a, u8>,
}

/// Figure 16: interpolation. One column per share of the second image, between both originals.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::Mismatch`] when there are not two columns more than shares,
/// [`FiguresError::Shape`] when groups differ, [`FiguresError::Channels`], [`FiguresError::TooLarge`].
pub fn interpolation(shares: &[f64], rows: &[EditRows<'_>]) -> Result<Figure, FiguresError> {
    let words = Words {
        name: "16-interpolation",
        title: "Interpolation between two images",
        caption: "Left and right: the originals. Between them: their mixtures, by the share of the right one. Diffused: both \
                  are diffused to the same t with the same noise, mixed there and denoised. Encoded: both are encoded as \
                  noise along the deterministic flow, mixed on a great circle, and decoded."
            .into(),
        equation: "x_t = (1 − a) x_t^{(0)} + a x_t^{(1)};  \
                   x_T = (sin((1 − a)θ) x_T^{(0)} + sin(aθ) x_T^{(1)}) / sin θ",
        note: "Columns: share a of the image on the right.",
    };
    let mut columns = vec!["original".to_owned()];
    columns.extend(shares.iter().map(|share| format!("{share:.2}")));
    columns.push("original".to_owned());
    draw(words, &columns, rows)
}

/// Figure 17: inpainting. It shows the original, its known part, and `fills` ways to fill the rest.
///
/// # Errors
/// As [`interpolation`].
pub fn inpainting(fills: usize, rows: &[EditRows<'_>]) -> Result<Figure, FiguresError> {
    let words = Words {
        name: "17-inpainting",
        title: "Inpainting",
        caption: "The original, the part given to the program, and several fills of the rest, each from different noise \
                  (RePaint, Lugmayr et al. 2022). The network was never trained for this. Grey pixels are missing."
            .into(),
        equation: "x_{t−1} = m x_{t−1}^{unknown} + (1 − m) x_{t−1}^{known},  \
                   x_{t−1}^{known} ~ q(x_{t−1} | x_0)",
        note: "The given pixels of the filled images are exactly those of the original.",
    };
    let mut columns = vec!["original".to_owned(), "given".to_owned()];
    columns.extend((1..=fills).map(|fill| fill.to_string()));
    draw(words, &columns, rows)
}

/// Figure 18: encoding and decoding. `errors` are the root mean square errors of the lines, in grey levels of 255.
///
/// # Errors
/// As [`interpolation`]; [`FiguresError::Mismatch`] when there is not one error for each group.
pub fn encoding(rows: &[EditRows<'_>], errors: &[f64]) -> Result<Figure, FiguresError> {
    check::length("errors", rows.len(), errors.len())?;
    check::finite("errors", errors.iter().copied())?;
    let of_each: Vec<String> =
        rows.iter().zip(errors).map(|(rows, error)| format!("{}: {error:.1}", rows.name)).collect();
    let words = Words {
        name: "18-encoding",
        title: "Encoding to noise and decoding",
        caption: format!(
            "Each image is encoded as noise along the deterministic flow and decoded again. The noise is shown from −3 to 3. \
             For an ideal network it would be standard normal. Root mean square error of the decoded images in grey levels \
             of 255, over all images of a row: {}.",
            of_each.join("; ")
        ),
        equation: "x̂_{s} = x̂_t + (σ̂_s − σ̂_t) ε_θ(x_t, t),  s > t and then s < t",
        note: "The difference is enlarged four times around mid-grey.",
    };
    let columns = ["original", "noise", "decoded", "difference"].map(str::to_owned);
    draw(words, &columns, rows)
}

/// Figure 19: upscaling. It shows the original, the small image, and `fills` larger ones with its block means.
///
/// # Errors
/// As [`interpolation`].
pub fn upscaling(fills: usize, rows: &[EditRows<'_>]) -> Result<Figure, FiguresError> {
    let words = Words {
        name: "19-upscaling",
        title: "Upscaling",
        caption: "The original, the small image given to the program (enlarged here), and several larger ones, each from \
                  different noise. Their block means are those of the small image (after Choi et al. 2021)."
            .into(),
        equation: "x_{t−1} = x′_{t−1} + P (y_{t−1} − x′_{t−1}),  y_{t−1} ~ q(y_{t−1} | y_0)",
        note: "P replaces each block by its mean.",
    };
    let mut columns = vec!["original".to_owned(), "given".to_owned()];
    columns.extend((1..=fills).map(|fill| fill.to_string()));
    draw(words, &columns, rows)
}

/// Groups of lines below each other.
fn draw(words: Words, columns: &[String], rows: &[EditRows<'_>]) -> Result<Figure, FiguresError> {
    check::not_empty("the lines", rows)?;
    let shape = &rows[0].cells.shape()[1..];
    for group in rows {
        check::shape("a group of lines", shape, &group.cells.shape()[1..])?;
        check::not_empty("a group of lines", &vec![(); group.cells.len_of(Axis(0))])?;
    }
    check::length("columns", columns.len(), shape[0])?;
    let views: Vec<_> = rows.iter().map(|group| group.cells.view()).collect();
    let cells = concatenate(Axis(0), &views).map_err(|_| FiguresError::Empty { what: "the lines" })?;
    let bands = rows.iter().enumerate().map(|(index, group)| {
        let band = Band::new(group.name).spanning(group.cells.len_of(Axis(0)));
        if index == 0 { band } else { band.apart() }
    });
    let sheet =
        Sheet::new(cells.view()).rows(bands).columns(columns.iter().map(|column| Band::new(column.as_str())));
    words.sheet(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array5;

    #[test]
    fn draws_and_refuses() {
        let cells = |columns| Array5::<u8>::from_elem((2, columns, 8, 8, 1), 90);
        let (four, five) = (cells(4), cells(5));
        let rows = |cells| [EditRows { name: "a", cells }, EditRows { name: "b", cells }];
        let (of_four, of_five) = (rows(four.view()), rows(five.view()));
        let figures = [
            interpolation(&[0.25, 0.75], &of_four).unwrap(),
            inpainting(2, &of_four).unwrap(),
            encoding(&of_four, &[1.0, 2.0]).unwrap(),
            upscaling(3, &of_five).unwrap(),
        ];
        assert_eq!(figures[2], encoding(&of_four, &[1.0, 2.0]).unwrap());
        assert!(figures[2].caption.contains("a: 1.0; b: 2.0"));
        assert!(matches!(inpainting(2, &[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(inpainting(3, &of_four), Err(FiguresError::Mismatch { .. })));
        assert!(matches!(encoding(&of_four, &[1.0]), Err(FiguresError::Mismatch { .. })));
        let uneven = [of_four[0].clone(), of_five[0].clone()];
        assert!(matches!(inpainting(2, &uneven), Err(FiguresError::Shape { .. })));
    }
}
