//! Animations in one file: GIF, which every viewer shows, and animated PNG, which keeps every colour.

mod apng;
mod frames;
mod gif;
mod palette;

pub use frames::grid_frames;

use std::time::Duration;

use ndarray::{ArrayView3, ArrayView4};

use crate::canvas::PIXEL_LIMIT;
use crate::check;
use crate::error::FiguresError;

/// Browsers show anything shorter for 100 ms.
const SHORTEST: Duration = Duration::from_millis(20);
/// Well within the 16 bits that both formats have for it.
const LONGEST: Duration = Duration::from_secs(60);
/// The unit of time of a GIF, used for both formats so that both show the same.
const TICKS_PER_SECOND: u16 = 100;

/// Frames `[frames, h, w, c]` (u8, `c` 1 or 3), shown in a loop. The same frames give the same bytes.
///
/// ```
/// let frames = ndarray::Array4::from_shape_fn((8, 4, 4, 1), |(t, ..)| 255 - 30 * t as u8);
/// let gif = figures::Animation::new(frames.view()).scale(4).gif()?;
/// assert!(gif.starts_with(b"GIF89a"));
/// # Ok::<(), figures::FiguresError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Animation<'a> {
    frames: ArrayView4<'a, u8>,
    scale: usize,
    delay: Duration,
    hold: Duration,
}

/// What is needed for writing once everything is checked.
struct Sizes {
    /// Pixels of the file.
    width: usize,
    height: usize,
    /// Ticks that a frame is shown, and the last one.
    delay: u16,
    hold: u16,
}

impl<'a> Animation<'a> {
    /// Frames in their own size, for 100 ms each and 2 s for the last.
    #[must_use]
    pub fn new(frames: ArrayView4<'a, u8>) -> Self {
        Self { frames, scale: 1, delay: Duration::from_millis(100), hold: Duration::from_secs(2) }
    }

    /// Each pixel becomes a square of `scale` pixels.
    #[must_use]
    pub fn scale(self, scale: usize) -> Self {
        Self { scale, ..self }
    }

    /// How long each frame but the last is shown, 20 ms to 60 s in steps of 10 ms.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// How long the last frame is shown before the loop restarts.
    #[must_use]
    pub fn hold(self, hold: Duration) -> Self {
        Self { hold, ..self }
    }

    /// The animation as GIF.
    ///
    /// Grey frames keep all 256 levels, and a colour frame of at most 256 colours keeps them. Any other frame gets
    /// its own palette of 256 fitted colours, including white if the frame has it.
    ///
    /// # Errors
    /// [`FiguresError::Empty`] when there is no frame or `scale` is 0; [`FiguresError::Channels`] when `c` is
    /// neither 1 nor 3; [`FiguresError::Delay`]; [`FiguresError::Side`] above 65535 pixels a side;
    /// [`FiguresError::TooLarge`]; [`FiguresError::Gif`] when the encoder fails.
    pub fn gif(&self) -> Result<Vec<u8>, FiguresError> {
        gif::encode(self, &self.sizes("GIF", usize::from(u16::MAX))?)
    }

    /// The animation as PNG (PNG specification, third edition), whose first frame is what a viewer without
    /// animation shows. Every pixel is kept.
    ///
    /// # Errors
    /// As [`Animation::gif`], with [`FiguresError::Side`] above 2^31 - 1 pixels a side, and
    /// [`FiguresError::Apng`] when the encoder fails.
    pub fn apng(&self) -> Result<Vec<u8>, FiguresError> {
        apng::encode(self, &self.sizes("PNG", i32::MAX as usize)?)
    }

    fn sizes(&self, format: &'static str, limit: usize) -> Result<Sizes, FiguresError> {
        check::images("the frames", &self.frames.view().into_dyn())?;
        if self.scale == 0 {
            return Err(FiguresError::Empty { what: "the scale" });
        }
        let (_, height, width, _) = self.frames.dim();
        let (width, height) = (width.saturating_mul(self.scale), height.saturating_mul(self.scale));
        if width.max(height) > limit {
            return Err(FiguresError::Side { format, width, height, limit });
        }
        if width.saturating_mul(height) > PIXEL_LIMIT {
            return Err(FiguresError::TooLarge { width, height, limit: PIXEL_LIMIT });
        }
        Ok(Sizes { width, height, delay: ticks(self.delay)?, hold: ticks(self.hold)? })
    }

    /// Each frame with the ticks it is shown.
    fn timed<'b>(&'b self, sizes: &'b Sizes) -> impl Iterator<Item = (ArrayView3<'b, u8>, u16)> + 'b {
        let last = self.frames.dim().0 - 1;
        let shown = move |index| if index == last { sizes.hold } else { sizes.delay };
        self.frames.outer_iter().enumerate().map(move |(index, frame)| (frame, shown(index)))
    }
}

fn ticks(got: Duration) -> Result<u16, FiguresError> {
    if !(SHORTEST..=LONGEST).contains(&got) {
        return Err(FiguresError::Delay { got, shortest: SHORTEST, longest: LONGEST });
    }
    Ok((got.as_secs_f64() * f64::from(TICKS_PER_SECOND)).round() as u16)
}

/// Rows of `width` values, `channels` bytes each, with every value a square of `scale`.
fn enlarged(values: &[u8], width: usize, channels: usize, scale: usize) -> Vec<u8> {
    let mut large = Vec::with_capacity(values.len() * scale * scale);
    for row in values.chunks_exact(width * channels) {
        let start = large.len();
        for value in row.chunks_exact(channels) {
            (0..scale).for_each(|_| large.extend_from_slice(value));
        }
        let end = large.len();
        (1..scale).for_each(|_| large.extend_from_within(start..end));
    }
    large
}

/// The bytes of a frame, row by row.
fn bytes(frame: &ArrayView3<'_, u8>) -> Vec<u8> {
    frame.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::{Animation, enlarged};
    use crate::error::FiguresError;
    use ndarray::Array4;
    use std::time::Duration;

    #[test]
    fn every_value_becomes_a_square() {
        let large = [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4];
        assert_eq!(enlarged(&[1, 2, 3, 4], 2, 1, 2), large);
        assert_eq!(enlarged(&[1, 2, 3, 4, 5, 6], 2, 3, 1), [1, 2, 3, 4, 5, 6]);
        assert_eq!(enlarged(&[1, 2, 3], 1, 3, 2), [1, 2, 3].repeat(4));
    }

    #[test]
    fn refuses_what_no_file_can_hold() {
        let check = |frames: &Array4<u8>, scale: usize| {
            let animation = Animation::new(frames.view()).scale(scale);
            (animation.gif().unwrap_err(), animation.apng().unwrap_err())
        };
        let frames = |n, h, w, c| Array4::<u8>::zeros((n, h, w, c));
        for (frames, scale) in [(frames(0, 4, 4, 1), 1), (frames(2, 0, 4, 1), 1), (frames(2, 4, 4, 1), 0)] {
            let (gif, apng) = check(&frames, scale);
            assert!(matches!((gif, apng), (FiguresError::Empty { .. }, FiguresError::Empty { .. })));
        }
        let (gif, apng) = check(&frames(2, 4, 4, 4), 1);
        assert!(matches!(
            (gif, apng),
            (FiguresError::Channels { got: 4 }, FiguresError::Channels { got: 4 })
        ));
        let (gif, apng) = check(&frames(1, 2, 2, 1), 1 << 30);
        assert_eq!(gif.to_string(), "a GIF of 2147483648 x 2147483648 pixels: a side has at most 65535");
        assert!(matches!(apng, FiguresError::Side { limit: 0x7fff_ffff, .. }));
        let (gif, apng) = check(&frames(1, 20, 20, 1), 1000);
        assert!(matches!((gif, apng), (FiguresError::TooLarge { .. }, FiguresError::TooLarge { .. })));
        // One pixel too wide for a GIF, and not for a PNG.
        let wide = frames(1, 1, 65_536, 1);
        assert!(matches!(Animation::new(wide.view()).gif(), Err(FiguresError::Side { width: 65_536, .. })));
        assert!(Animation::new(wide.view()).apng().is_ok());
    }

    #[test]
    fn refuses_times_that_viewers_change() {
        let frames = Array4::<u8>::zeros((2, 4, 4, 1));
        let animation = Animation::new(frames.view());
        for wrong in [Duration::ZERO, Duration::from_millis(19), Duration::from_secs(61), Duration::MAX] {
            for animation in [animation.clone().delay(wrong), animation.clone().hold(wrong)] {
                assert!(matches!(animation.gif(), Err(FiguresError::Delay { got, .. }) if got == wrong));
                assert!(matches!(animation.apng(), Err(FiguresError::Delay { got, .. }) if got == wrong));
            }
        }
    }
}
