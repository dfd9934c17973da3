//! At most 256 colours for a frame: its own if there are no more, else a palette fitted to it.

use std::collections::BTreeSet;

use color_quant::NeuQuant;

/// Colours of a palette.
const MOST: usize = 256;
/// The palette is fitted to about this many pixels, evenly thinned, but to at least one in `MOST_SPARSE`.
const TAUGHT: usize = 1 << 16;
const MOST_SPARSE: usize = 30;

/// A frame as a GIF stores it.
pub(super) struct Indexed {
    /// RGB one after another.
    pub(super) palette: Vec<u8>,
    /// The palette index of each pixel.
    pub(super) indices: Vec<u8>,
}

/// RGB pixels with a palette. No dithering: in pictures where noise goes away, it would be noise that stays.
pub(super) fn indexed(rgb: &[u8]) -> Indexed {
    let colours = rgb.chunks_exact(3).map(|colour| [colour[0], colour[1], colour[2]]);
    let mut distinct = BTreeSet::new();
    for colour in colours.clone() {
        distinct.insert(colour);
        if distinct.len() > MOST {
            return fitted(colours);
        }
    }
    let palette: Vec<[u8; 3]> = distinct.into_iter().collect();
    // Every colour is in the palette.
    let place = |colour| palette.binary_search(&colour).unwrap_or_default() as u8;
    Indexed { indices: colours.map(place).collect(), palette: palette.concat() }
}

/// A palette that a neural network learns from the colours (Dekker 1994). The network draws no random numbers, so
/// the same colours give the same palette.
fn fitted(colours: impl Iterator<Item = [u8; 3]> + Clone) -> Indexed {
    // White lies between the images of a grid: a near-white there would flicker from frame to frame.
    let white = [u8::MAX; 3];
    let has_white = colours.clone().any(|colour| colour == white);
    let rgba: Vec<u8> = colours
        .clone()
        .filter(|&colour| colour != white)
        .flat_map(|[red, green, blue]| [red, green, blue, u8::MAX])
        .collect();
    let sparse = (rgba.len() / 4 / TAUGHT).clamp(1, MOST_SPARSE);
    let learned = if has_white { MOST - 1 } else { MOST };
    let network = NeuQuant::new(sparse as i32, learned, &rgba);
    let mut palette = network.color_map_rgb();
    if has_white {
        palette.extend(white);
    }
    let place = |[red, green, blue]: [u8; 3]| {
        if [red, green, blue] == white { learned } else { network.index_of(&[red, green, blue, u8::MAX]) }
    };
    Indexed { indices: colours.map(|colour| place(colour) as u8).collect(), palette }
}

#[cfg(test)]
mod tests {
    use super::indexed;

    fn back(rgb: &[u8]) -> Vec<u8> {
        let indexed = indexed(rgb);
        assert!(indexed.palette.len() <= 3 * 256);
        let colour = |&place: &u8| &indexed.palette[3 * usize::from(place)..][..3];
        indexed.indices.iter().flat_map(colour).copied().collect()
    }

    /// `n` colours, all different.
    fn colours(n: usize) -> Vec<u8> {
        (0..n).flat_map(|i| [(i % 256) as u8, (i / 256) as u8, (i * 7 % 251) as u8]).collect()
    }

    #[test]
    fn as_many_colours_as_fit_are_kept() {
        for n in [0, 1, 2, 255, 256] {
            assert_eq!(back(&colours(n)), colours(n));
        }
        let twice = colours(256).repeat(2);
        assert_eq!(back(&twice), twice);
    }

    #[test]
    fn one_colour_more_is_close() {
        for n in [257, 300, 2000] {
            let (rgb, white) = (colours(n), [255; 300]);
            let with_white = [&white[..], &rgb].concat();
            for (rgb, got) in [(&rgb, back(&rgb)), (&with_white, back(&with_white))] {
                let off: u64 = rgb.iter().zip(&got).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                assert!(off as f64 / (rgb.len() as f64) < 8.0, "{n}: {off}");
            }
            assert_eq!(back(&with_white)[..300], white);
        }
    }
}
