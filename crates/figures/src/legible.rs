//! How large text must be: figures are also read on a phone and in a README's two columns, about 500 pixels across.

/// The widest page of a figure, margins included, in pixels.
pub(crate) const PAGE: usize = 1500;
/// White around a page.
pub(crate) const MARGIN: usize = 32;
/// The room inside the widest page.
pub(crate) const INSIDE: usize = PAGE - 2 * MARGIN;

/// Pixels across of a figure on a phone, and the least pixels per em that are legible there.
const NARROW: usize = 500;
const LEAST: usize = 8;

/// The least pixels per em in a picture of `width` pixels.
pub(crate) fn least_size(width: usize) -> u32 {
    u32::try_from((LEAST * width).div_ceil(NARROW)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{PAGE, least_size};

    #[test]
    fn shrunk_to_a_phone_eight_pixels_are_left() {
        assert_eq!((least_size(PAGE), least_size(500), least_size(0)), (24, 8, 0));
        for width in 1..4000 {
            assert!(f64::from(least_size(width)) * 500.0 / width as f64 >= 8.0, "{width}");
        }
    }
}
