//! Recognises the format of an encoded image by its first bytes.

use image::ImageFormat;

/// The formats that [`crate::decode::decode`] reads.
pub(crate) const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Tiff,
];
/// The same for messages.
pub(crate) const ACCEPTED: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";

/// Whether these first bytes belong to an image that [`crate::decode::decode`] reads.
pub(crate) fn looks_like_image(start: &[u8]) -> bool {
    image::guess_format(start).is_ok_and(|format| FORMATS.contains(&format))
}

/// Like [`looks_like_image`] for a file whose name does not say what it is. Raw photos begin like TIFF, and often lie
/// beside the JPEG files that are meant.
pub(crate) fn is_image_of_any_name(start: &[u8]) -> bool {
    looks_like_image(start) && !image::guess_format(start).is_ok_and(|format| format == ImageFormat::Tiff)
}

/// The name of a format that phones and browsers write and that is not read: HEIC or AVIF (ISO/IEC 23008-12, by the
/// brand of the file).
pub(crate) fn unread_format(start: &[u8]) -> Option<&'static str> {
    if start.get(4..8) != Some(b"ftyp") {
        return None;
    }
    match start.get(8..12)? {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => Some("HEIC"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_photos_are_images_only_by_name() {
        for start in [&b"II*\0"[..], b"MM\0*"] {
            assert!(looks_like_image(start) && !is_image_of_any_name(start));
        }
        for start in [&b"GIF89a"[..], b"BM", b"\x89PNG\r\n\x1a\n"] {
            assert!(looks_like_image(start) && is_image_of_any_name(start));
        }
        assert!(!is_image_of_any_name(b"GIF8") && !is_image_of_any_name(b""));
    }

    #[test]
    fn formats_of_phones_have_names() {
        assert_eq!(unread_format(b"\0\0\0\x18ftypmif1"), Some("HEIC"));
        assert_eq!(unread_format(b"\0\0\0\x20ftypavis"), Some("AVIF"));
        // A film, and a file that ends early.
        assert_eq!(unread_format(b"\0\0\0\x20ftypisom"), None);
        assert_eq!(unread_format(b"\0\0\0\x20ftyp"), None);
    }
}
