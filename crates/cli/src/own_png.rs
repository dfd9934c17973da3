//! PNG files that the program recognises as its own: their last text chunk holds the SHA-256 of all chunks before it. A file
//! that anything else wrote or changed does not match, so it is never taken for one that may be removed.

use sha2::{Digest, Sha256};

/// The chunk that ends every PNG file.
const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82];
/// Type, keyword and first words of the text chunk.
const TEXT: &[u8] = b"tEXtSoftware\0ddpm sha256:";
/// Bytes of the text chunk: length, `TEXT`, the hash in hexadecimal, check sum.
const CHUNK: usize = 4 + TEXT.len() + 64 + 4;

/// A PNG file with the mark before its last chunk.
pub(crate) fn marked(mut png: Vec<u8>) -> Vec<u8> {
    if let Some(chunks) = png.strip_suffix(&END) {
        let (end, mark) = (chunks.len(), mark(chunks));
        png.truncate(end);
        png.extend(mark);
        png.extend(END);
    }
    png
}

/// Whether the program wrote this file, and nothing has changed it since.
pub(crate) fn is_marked(png: &[u8]) -> bool {
    let Some(chunks) = png.strip_suffix(&END) else { return false };
    let Some(end) = chunks.len().checked_sub(CHUNK) else { return false };
    let (before, found) = chunks.split_at(end);
    found == mark(before)
}

fn mark(chunks: &[u8]) -> Vec<u8> {
    let mut body = TEXT.to_vec();
    body.extend(Sha256::digest(chunks).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
    // A chunk's length does not count its type, 4 bytes.
    let length = (body.len() - 4) as u32;
    [&length.to_be_bytes()[..], &body[..], &crc32fast::hash(&body).to_be_bytes()[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::Fit;
    use ndarray::Array3;

    fn image() -> Array3<u8> {
        Array3::from_shape_fn((5, 4, 3), |(y, x, c)| (y * 50 + x * 9 + c) as u8)
    }

    #[test]
    fn a_marked_file_is_the_same_image() {
        let png = marked(dataset::encode_png(image().view()).unwrap());
        assert_eq!(dataset::parse_image("a.png", &png, None, None, Fit::Crop).unwrap(), image());
    }

    #[test]
    fn only_what_is_unchanged_is_its_own() {
        let plain = dataset::encode_png(image().view()).unwrap();
        let png = marked(plain.clone());
        assert!(is_marked(&png) && !is_marked(&plain) && !is_marked(b"") && !is_marked(&END));
        assert_eq!(png.len(), plain.len() + CHUNK);
        for place in 0..png.len() {
            let mut other = png.clone();
            other[place] ^= 1;
            assert!(!is_marked(&other), "byte {place}");
            assert!(!is_marked(&png[..place]), "{place} bytes");
        }
        // What is not PNG stays as it is.
        assert_eq!(marked(b"GIF89a".to_vec()), b"GIF89a");
    }
}
