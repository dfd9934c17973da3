//! Small images of every supported kind.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use super::{Seeds, named};
use crate::archive::{Claims, of_one};
use crate::image_tar::REPAIR;
use crate::npz::{CLAIMS, ENTRY};
use crate::png::{chunk, png, zlib};
use crate::tar::{archive, header, member};
use crate::tiff::{SHORT, grey, tiff};

const KINDS: [(&str, ImageFormat); 4] = [
    ("png", ImageFormat::Png),
    ("jpeg", ImageFormat::Jpeg),
    ("webp", ImageFormat::WebP),
    ("bmp", ImageFormat::Bmp),
];

fn encode(image: &DynamicImage, format: ImageFormat) -> Option<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).ok()?;
    Some(bytes.into_inner())
}

pub(crate) fn image() -> Seeds {
    let grey = GrayImage::from_fn(6, 4, |x, y| Luma([(x * 40 + y) as u8]));
    let rgb = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 80, 7]));
    let rgba = RgbaImage::from_fn(9, 7, |x, y| Rgba([x as u8 * 9, y as u8, 3, x as u8 * 20]));
    let deep = ImageBuffer::from_fn(2, 2, |x, y| Luma([(x * 60_000 + y) as u16]));
    let images: [(&str, DynamicImage); 4] = [
        ("grey", grey.into()),
        ("rgb", rgb.into()),
        ("rgba", rgba.into()),
        ("deep", DynamicImage::ImageLuma16(deep)),
    ];
    let mut seeds = Vec::new();
    for (name, image) in &images {
        for (kind, format) in KINDS {
            seeds.extend(encode(image, format).map(|bytes| (format!("{name}-{kind}"), bytes)));
        }
    }
    seeds.extend(named(by_hand()));
    seeds
}

pub(crate) fn image_zip() -> Seeds {
    let image = GrayImage::from_fn(4, 4, |x, y| Luma([(x * 40 + y) as u8]));
    let Some(png) = encode(&image.into(), ImageFormat::Png) else { return Vec::new() };
    let [low, high] = (png.len() as u16).to_le_bytes();
    let claims = |method: u8, flags: u8, size: [u8; 3]| {
        let fields = [CLAIMS, method, flags, low, high, size[0], size[1], size[2]];
        [&fields[..], &png].concat()
    };
    let honest = Claims::honest(&png);
    named([
        ("entry", [&[ENTRY], &png[..]].concat()),
        ("claims-honest", claims(0, 0, [low, high, 0])),
        ("claims-16-mib", claims(0, 0, [0xff; 3])),
        ("claims-deflated", claims(8, 0, [low, high, 0])),
        ("claims-locked", claims(0, 1, [low, high, 0])),
        ("archive", of_one("cat/a.png", &png, honest)),
        ("outside", of_one("../a.png", &png, honest)),
        ("hidden", of_one(".a.png", &png, honest)),
        ("text", of_one("a.txt", &png, honest)),
    ])
}

pub(crate) fn image_tar() -> Seeds {
    let image = GrayImage::from_fn(4, 4, |x, y| Luma([(x * 40 + y) as u8]));
    let Some(png) = encode(&image.into(), ImageFormat::Png) else { return Vec::new() };
    let file = |name: &str, data: &[u8]| member(name, b'0', data);
    let image = |name: &str| file(name, &png);
    let long = format!("cat/{}.png\0", "x".repeat(120));
    let mut unsigned = archive(&[file("1.cls", b"3"), image("1.png")]);
    unsigned[148..156].fill(0);
    named([
        ("samples", archive(&[file("1.cls", b"1"), image("1.png"), image("2.png"), file("2.cls", b"0\n")])),
        ("folders", archive(&[member("set/", b'5', b""), image("set/cat/1.png"), image("set/dog/2.png")])),
        ("parts", archive(&[image("train/1.png"), image("test/2.png")])),
        ("pax", archive(&[member("pax", b'x', b"20 path=cat/a.b.png\n"), image("short")])),
        ("long-name", archive(&[member("long", b'L', long.as_bytes()), image("short")])),
        ("links", archive(&[member("a.png", b'2', b""), member("b.png", b'6', b""), image("c.png")])),
        ("outside", archive(&[image("../1.png")])),
        ("text-as-class", archive(&[file("1.cls", b"cat"), image("1.png")])),
        ("sparse", archive(&[member("1.png", b'S', &png)])),
        ("claims-8-gib", header("1.png", b'0', 0o77_777_777_777)),
        ("no-end", image("1.png")),
        ("unsigned", [&[REPAIR], &unsigned[..]].concat()),
    ])
}

pub(crate) fn mask() -> Seeds {
    let half = GrayImage::from_fn(8, 8, |x, _| Luma([if x < 4 { 0 } else { 255 }]));
    let hole = RgbaImage::from_fn(4, 4, |x, _| Rgba([0, 0, 0, if x == 1 { 0 } else { 255 }]));
    let white = GrayImage::from_pixel(3, 5, Luma([255]));
    let images: [(&str, DynamicImage); 3] =
        [("half", half.into()), ("hole", hole.into()), ("white", white.into())];
    let mut seeds = Vec::new();
    for (name, image) in &images {
        for (kind, format) in KINDS {
            let bytes = encode(image, format).map(|bytes| [&[16, 8], &bytes[..]].concat());
            seeds.extend(bytes.map(|bytes| (format!("{name}-{kind}"), bytes)));
        }
    }
    seeds
}

/// Files that the encoder does not write.
fn by_hand() -> Vec<(&'static str, Vec<u8>)> {
    let palette = chunk(b"PLTE", &[255, 0, 0, 0, 0, 255]);
    let transparent = chunk(b"tRNS", &[255, 0]);
    // A TIFF header with one entry: orientation (0x0112) 6.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let text = [&b"a\0\0"[..], &zlib(&b"text"[..])].concat();
    let profile = [&b"p\0\0"[..], &zlib(&[0; 128][..])].concat();
    vec![
        ("palette-png", png((2, 2), [8, 3], &[palette, transparent], &zlib(&[0, 0, 1, 0, 1, 0][..]))),
        ("bits-png", png((3, 1), [1, 0], &[], &zlib(&[0, 0b1010_0000][..]))),
        ("turned-png", png((2, 1), [8, 0], &[chunk(b"eXIf", exif)], &zlib(&[0, 10, 200][..]))),
        (
            "texts-png",
            png((1, 1), [8, 0], &[chunk(b"zTXt", &text), chunk(b"iCCP", &profile)], &zlib(&[0, 9][..])),
        ),
        ("gif", b"GIF89a\x01\0\x01\0\0\0\0".to_vec()),
        ("whole-gif", gif_of(1)),
        ("moving-gif", gif_of(2)),
        ("tiff", tiff(&grey((2, 1)), &[10, 200])),
        // Field 274: orientation 6.
        ("turned-tiff", {
            let mut fields = grey((2, 1)).to_vec();
            fields.insert(6, (274, SHORT, 1, 6));
            // One more field before the pixels.
            fields[5].3 += 12;
            tiff(&fields, &[10, 200])
        }),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec()),
    ]
}

/// A GIF of 2x1 pixels, black and red, with some equal frames.
fn gif_of(frames: usize) -> Vec<u8> {
    // A palette of two colours.
    let mut bytes = b"GIF89a\x02\0\x01\0\x80\0\0\0\0\0\xff\0\0".to_vec();
    for _ in 0..frames {
        bytes.extend(b",\0\0\0\0\x02\0\x01\0\0");
        // Codes of at least two bits, two bytes of them: clear, 1, 0, end.
        bytes.extend(b"\x02\x02\x0c\x0a\0");
    }
    bytes.push(b';');
    bytes
}
