//! The same numbers as in `scripts/hashed_weights.py`.

/// Numbers in [0, 1) for the elements of a tensor: SplitMix64's finaliser applied to FNV-1a of the name plus the index.
pub(crate) fn hashed(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let start = name.bytes().fold(0xCBF2_9CE4_8422_2325, fold);
    (0..count as u64).map(move |place| {
        let mut z = start.wrapping_add(place).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// A weight with this name and shape.
pub(crate) fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let (least, span) = match shape {
        // The weight of a normalisation.
        [_] if name.ends_with("weight") => (0.9, 0.2),
        [_] => (-0.2, 0.4),
        _ => {
            let most = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
            (-most, 2.0 * most)
        }
    };
    hashed(name, shape.iter().product()).map(|u| (least + span * u) as f32).collect()
}
