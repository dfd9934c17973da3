//! A sample of the synthetic set: an image of the embedded set, darkened, with noise that does not compress, and its class.

use std::io::{self, Write};

use flate2::{Compression, Crc, write::ZlibEncoder};

use super::embedded::{Embedded, SIDE};
use crate::draws::Draws;

/// Bytes of a block of a tar archive.
const BLOCK: usize = 512;
/// The noise has values below this. The image is darkened to a maximum of 189, so that the sum fits.
const NOISE: u8 = 64;

/// The files of a sample as parts of a tar archive: `NUMBER.cls` and `NUMBER.png`.
pub(super) fn files(embedded: &Embedded, number: u64, draws: &mut Draws) -> io::Result<Vec<u8>> {
    let (pixels, label) = embedded.image(draws.below(embedded.len() as u64) as usize);
    let mut noisy = Vec::with_capacity(pixels.len());
    for part in pixels.chunks(8) {
        let noise = draws.draw().to_le_bytes();
        let add = |(&pixel, noise): (&u8, u8)| pixel / 4 * 3 + noise % NOISE;
        noisy.extend(part.iter().zip(noise).map(add));
    }
    let mut bytes = Vec::with_capacity(6 * BLOCK);
    file(&mut bytes, &format!("{number:09}.cls"), label.to_string().as_bytes());
    file(&mut bytes, &format!("{number:09}.png"), &png(&noisy)?);
    Ok(bytes)
}

/// The end of an archive.
pub(super) fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// Appends a file with its header (POSIX.1-1988 ustar).
fn file(bytes: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    // The checksum counts its own bytes as spaces.
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes.extend(header);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// A PNG file of 8-bit grey values.
fn png(pixels: &[u8]) -> io::Result<Vec<u8>> {
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::fast());
    for row in pixels.chunks(SIDE) {
        // No filter: noise has no neighbours to predict it from.
        rows.write_all(&[0])?;
        rows.write_all(row)?;
    }
    let side = (SIDE as u32).to_be_bytes();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut bytes, b"IHDR", &[&side[..], &side, &[8, 0, 0, 0, 0]].concat());
    chunk(&mut bytes, b"IDAT", &rows.finish()?);
    chunk(&mut bytes, b"IEND", &[]);
    Ok(bytes)
}

fn chunk(bytes: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(kind);
    bytes.extend(data);
    bytes.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::embedded::tests::two;
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read;

    #[test]
    fn a_sample_is_a_class_and_a_picture_with_noise() {
        let bytes = files(&two(), 7, &mut Draws::new(1, 2)).unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        assert!(bytes.starts_with(b"000000007.cls\0") && [b'3', b'4'].contains(&bytes[512]));
        let picture = &bytes[2 * BLOCK..];
        assert!(picture.starts_with(b"000000007.png\0"));
        let size = std::str::from_utf8(&picture[124..135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        let png = &picture[BLOCK..BLOCK + size];
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xae\x42\x60\x82"));
        // Signature 8, header chunk 25, then length and name of the data.
        let length = u32::from_be_bytes(png[33..37].try_into().unwrap()) as usize;
        let mut rows = Vec::new();
        ZlibDecoder::new(&png[41..41 + length]).read_to_end(&mut rows).unwrap();
        assert_eq!(rows.len(), SIDE * (SIDE + 1));
        assert!(rows.chunks(SIDE + 1).all(|row| row[0] == 0));
        // 6 of 8 bits of a pixel are noise.
        assert!(length > SIDE * SIDE * 6 / 8 - 50, "{length}");
        let mut values: Vec<u8> = rows.chunks(SIDE + 1).flat_map(|row| &row[1..]).copied().collect();
        values.sort_unstable();
        values.dedup();
        assert!(values.len() > 40, "{values:?}");
    }
}
