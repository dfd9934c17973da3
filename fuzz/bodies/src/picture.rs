//! Encoded images and masks.

use dataset::{FileKind, Fit, encode_png, image_size, parse_image, to_mask};

/// Larger images are left to the bombs: a single one would take as long as a thousand small ones.
pub(crate) const PIXELS: usize = 64 * 64;

/// PNG, JPEG, WebP, BMP, GIF or TIFF: the header gives the size of the pixels, and PNG preserves them.
pub(crate) fn image(data: &[u8]) {
    let Ok((height, width)) = image_size("fuzz", data) else {
        assert!(parse_image("fuzz", data, None, None, Fit::Crop).is_err(), "decoded without a size");
        return;
    };
    if height * width > PIXELS {
        return;
    }
    let Ok(image) = parse_image("fuzz", data, None, None, Fit::Crop) else { return };
    assert_eq!((image.dim().0, image.dim().1), (height, width));
    assert!([1, 3].contains(&image.dim().2));
    let start = &data[..data.len().min(FileKind::START)];
    assert_eq!(FileKind::recognise(start, data.len() as u64), Some(FileKind::Image));

    let png = encode_png(image.view()).expect("an image should encode");
    let back = parse_image("fuzz", &png, None, Some(image.dim().2), Fit::Crop);
    assert_eq!(back.expect("written data should read back"), image);

    // The shape is the one asked for.
    let size = 1 + data.len() % 9;
    let fit = [Fit::Crop, Fit::Stretch, Fit::Pad][data.len() % 3];
    let channels = if data.len().is_multiple_of(2) { 1 } else { 3 };
    let fitted = parse_image("fuzz", data, Some(size), Some(channels), fit).expect("decoded before");
    assert_eq!(fitted.dim(), (size, size, channels));
}

/// A mask: two bytes for the requested size, then an image.
pub(crate) fn mask(data: &[u8]) {
    let [rows, columns, data @ ..] = data else { return };
    let asked = (usize::from(rows % 40), usize::from(columns % 40));
    match image_size("fuzz", data) {
        Ok((height, width)) if height * width <= PIXELS => {}
        _ => return,
    }
    let Ok(image) = parse_image("fuzz", data, None, Some(1), Fit::Crop) else { return };
    let (height, width, _) = image.dim();
    let same = to_mask(image.view(), height, width).expect("it has this size");
    assert!(same.iter().eq(image.iter().map(|&grey| grey >= 128).collect::<Vec<_>>().iter()));
    match to_mask(image.view(), asked.0, asked.1) {
        Ok(mask) => {
            assert_eq!(mask.dim(), asked);
            // A mask of one colour stays that colour.
            for white in [false, true] {
                let all = if white { image.iter().all(|&v| v == 255) } else { image.iter().all(|&v| v == 0) };
                assert!(!all || mask.iter().all(|&v| v == white));
            }
        }
        Err(_) => assert!(asked.0 == 0 || asked.1 == 0, "{asked:?} refused"),
    }
}
