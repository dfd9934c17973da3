//! Features that `scripts/make_metrics_goldens.py` makes in the same way.

use ndarray::Array2;

/// `[rows, columns]` that are correlated along a row, by a hash of the name and the place: SplitMix64's finish of
/// FNV-1a of the name plus the place.
///
pub(crate) fn features(name: &str, rows: usize, columns: usize, scale: f64, shift: f64) -> Array2<f32> {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let start = name.bytes().fold(0xCBF2_9CE4_8422_2325, fold);
    let uniform = |place: u64| {
        let mut z = start.wrapping_add(place).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    };
    let mut features = Array2::zeros((rows, columns));
    let mut place = 0;
    for mut row in features.outer_iter_mut() {
        let mut last = 0.0;
        for value in &mut row {
            last = 0.6 * last + 2.0 * (uniform(place) - 0.5);
            *value = (scale * last + shift) as f32;
            place += 1;
        }
    }
    features
}
