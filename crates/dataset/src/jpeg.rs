//! What a JPEG says of its components, read before the decoder sees it.
//!
//! The decoder takes any sampling factors, and some that no camera writes lead it beyond its own buffers. The file is
//! refused then, as one that is damaged.

/// Start-of-frame markers of the decoder's kinds: baseline, extended, progressive (ITU T.81, Table B.1).
const FRAMES: [u8; 3] = [0xc0, 0xc1, 0xc2];
const SCAN: u8 = 0xda;
const END: u8 = 0xd9;

/// Looks at every frame header; the error says what is odd. What is not whole is left to the decoder.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    while let Some((marker, after)) = next_marker(rest) {
        rest = after;
        if marker == END {
            break;
        }
        // Markers without a segment: restarts, TEM, and the start of the image.
        if matches!(marker, 0xd0..=0xd8 | 0x01) {
            continue;
        }
        let &[high, low, ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(segment) = rest.get(2..length) else { break };
        if FRAMES.contains(&marker) {
            frame(segment)?;
        }
        rest = &rest[length..];
        if marker == SCAN {
            rest = after_scan(rest);
        }
    }
    Ok(())
}

/// The next marker and what follows it. Between segments there is nothing but fill bytes in a sound file.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let at = bytes.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff))?;
    Some((bytes[at + 1], &bytes[at + 2..]))
}

/// Beyond the coded pixels: there FF is followed by 0 or is a restart marker.
fn after_scan(bytes: &[u8]) -> &[u8] {
    let ends = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff);
    bytes.windows(2).position(ends).map_or(&[], |at| &bytes[at..])
}

/// A frame header after its length: precision, height, width, number of components, and three bytes for each (T.81,
/// B.2.2). The first component is the one of the finest sampling, and the others fit into it.
fn frame(segment: &[u8]) -> Result<(), String> {
    let Some((&count, components)) = segment.get(5..).and_then(<[u8]>::split_first) else { return Ok(()) };
    let expected = usize::from(count) * 3;
    if !(1..=4).contains(&count) || components.len() != expected {
        return Err(format!(
            "expected 1 to 4 components of 3 bytes in a JPEG's frame header, found {count} in {} bytes",
            components.len()
        ));
    }
    let factors = |component: &[u8]| (component[1] >> 4, component[1] & 15);
    let first = factors(components);
    let is_power = |factor: u8| matches!(factor, 1 | 2 | 4);
    let fits = |(h, v): (u8, u8)| {
        is_power(h) && is_power(v) && first.0.is_multiple_of(h) && first.1.is_multiple_of(v)
    };
    match components.chunks_exact(3).map(factors).find(|&both| !fits(both)) {
        None => Ok(()),
        Some((h, v)) => Err(format!(
            "expected JPEG sampling factors 1, 2 or 4 that divide those of the first component, {}x{}, found {h}x{v}",
            first.0, first.1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start of image, a comment, a frame of these sampling factors, a scan of some bytes, the end.
    fn jpeg(marker: u8, factors: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xfe, 0, 6, 0xff, 0xc0, 1, 2, 0xff, 0xff, marker];
        bytes.extend((8 + 3 * factors.len() as u16).to_be_bytes());
        bytes.extend([8, 0, 16, 0, 16, factors.len() as u8]);
        for (id, factor) in (1..).zip(factors) {
            bytes.extend([id, *factor, 0]);
        }
        bytes.extend([0xff, 0xda, 0, 2, 7, 0xff, 0, 0xff, 0xd0, 9, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn what_cameras_write_passes() {
        for factors in
            [&[0x11][..], &[0x22, 0x11, 0x11], &[0x21, 0x11, 0x11], &[0x41, 0x11, 0x11], &[0x11; 4]]
        {
            for marker in FRAMES {
                check(&jpeg(marker, factors)).unwrap();
            }
        }
    }

    #[test]
    fn odd_sampling_is_refused_by_its_factors() {
        for (factors, found) in [
            (&[0x11, 0x11, 0x23][..], "found 2x3"),
            (&[0x11, 0x21, 0x11], "1x1, found 2x1"),
            (&[0x22, 0x11, 0x12, 0x01], "found 0x1"),
            (&[0x33], "found 3x3"),
            (&[], "found 0 in 0 bytes"),
            (&[0x11; 5], "found 5 in 15 bytes"),
        ] {
            let error = check(&jpeg(0xc2, factors)).unwrap_err();
            assert!(error.ends_with(found), "{error}");
        }
        let mut short = jpeg(0xc0, &[0x11, 0x11, 0x11]);
        // One component fewer than there are bytes for.
        let count = short.windows(2).rposition(|pair| pair == [3, 1]).unwrap();
        short[count] = 2;
        assert!(check(&short).is_err());
    }

    /// Frames behind a scan count, what only looks like one in a comment or among the pixels does not.
    #[test]
    fn every_frame_is_looked_at() {
        let (good, bad) = (jpeg(0xc0, &[0x11]), jpeg(0xc1, &[0x11, 0x44]));
        let two = [&good[..good.len() - 2], &bad[2..]].concat();
        assert!(check(&two).is_err());
        // After the end there may be anything.
        check(&[good.clone(), bad].concat()).unwrap();
        for end in 0..good.len() {
            check(&good[..end]).unwrap();
        }
    }
}
