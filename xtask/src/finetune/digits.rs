//! The images of one digit, from the IDX files of MNIST as downloaded, and IDX files of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use flate2::read::GzDecoder;

/// First bytes of a file of u8 images, and of one of u8 labels.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// Height and width of the images that the shipped model draws.
pub(super) const SIDE: usize = 28;
/// Bytes of an unpacked file at most; the training images of MNIST have 47 MB.
const MOST_BYTES: u64 = 100_000_000;

/// The first `count` images of a digit in one part of MNIST, `train` or `t10k`: 28x28 bytes each.
pub(super) fn read(folder: &Path, part: &str, digit: u8, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let images = unpacked(folder, &format!("{part}-images-idx3-ubyte"))?;
    let labels = unpacked(folder, &format!("{part}-labels-idx1-ubyte"))?;
    let (sizes, pixels) = parsed(&images, IMAGES, 3).with_context(|| format!("the images of {part}"))?;
    let (counts, labels) = parsed(&labels, LABELS, 1).with_context(|| format!("the labels of {part}"))?;
    ensure!(
        sizes[1..] == [SIDE, SIDE],
        "the images of {part}: expected {SIDE}x{SIDE} pixels, found {}x{}",
        sizes[2],
        sizes[1]
    );
    ensure!(
        sizes[0] == counts[0],
        "{part}: expected a label for each of {} images, found {}",
        sizes[0],
        counts[0]
    );
    let own = pixels.chunks_exact(SIDE * SIDE).zip(labels).filter(|(_, label)| **label == digit);
    let own: Vec<Vec<u8>> = own.take(count).map(|(image, _)| image.to_vec()).collect();
    ensure!(own.len() == count, "{part}: expected {count} images of digit {digit}, found {}", own.len());
    Ok(own)
}

/// The bytes of an IDX file of such images.
pub(super) fn idx(images: &[Vec<u8>]) -> Vec<u8> {
    let numbers = [IMAGES, images.len() as u32, SIDE as u32, SIDE as u32];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    images.iter().for_each(|image| bytes.extend(image));
    bytes
}

/// The content of a file, gzipped or not.
fn unpacked(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let (plain, packed) = (folder.join(name), folder.join(format!("{name}.gz")));
    let path = if plain.is_file() { &plain } else { &packed };
    let file = File::open(path).with_context(|| {
        format!("{}: expected the files of MNIST as downloaded, found no {name}", folder.display())
    })?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there are more.
    let read = match path == &plain {
        true => file.take(MOST_BYTES + 1).read_to_end(&mut bytes),
        false => GzDecoder::new(file).take(MOST_BYTES + 1).read_to_end(&mut bytes),
    };
    read.with_context(|| path.display().to_string())?;
    ensure!(bytes.len() as u64 <= MOST_BYTES, "{}: more than {MOST_BYTES} bytes", path.display());
    Ok(bytes)
}

/// The sizes and the data of an IDX file with this many dimensions.
fn parsed(bytes: &[u8], magic: u32, dimensions: usize) -> anyhow::Result<(Vec<usize>, &[u8])> {
    let header = 4 * (1 + dimensions);
    ensure!(bytes.len() >= header, "expected an IDX file, found {} bytes", bytes.len());
    let (header, data) = bytes.split_at(header);
    let mut numbers =
        header.chunks_exact(4).map(|four| four.iter().fold(0_u32, |n, &byte| (n << 8) | u32::from(byte)));
    let found = numbers.next().unwrap_or_default();
    ensure!(found == magic, "expected {magic:#06x} as the first bytes of an IDX file, found {found:#06x}");
    let sizes: Vec<usize> = numbers.map(|number| number as usize).collect();
    match sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)) {
        Some(length) if length == data.len() => Ok((sizes, data)),
        _ => bail!("expected the data of sizes {sizes:?}, found {} bytes", data.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::fs;
    use std::io::Write;

    fn labels(labels: &[u8]) -> Vec<u8> {
        [&LABELS.to_be_bytes()[..], &(labels.len() as u32).to_be_bytes()[..], labels].concat()
    }

    /// Images of one brightness each.
    fn images(levels: &[u8]) -> Vec<u8> {
        idx(&levels.iter().map(|&level| vec![level; SIDE * SIDE]).collect::<Vec<_>>())
    }

    fn levels(found: &[Vec<u8>]) -> Vec<u8> {
        assert!(found.iter().all(|image| image.len() == SIDE * SIDE));
        found.iter().map(|image| image[SIDE]).collect()
    }

    #[test]
    fn the_images_of_a_digit_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write("train-images-idx3-ubyte", images(&[10, 11, 12, 13]));
        write("train-labels-idx1-ubyte", labels(&[3, 1, 3, 3]));
        let read = |part: &str, digit, count| read(folder.path(), part, digit, count);
        assert_eq!(levels(&read("train", 3, 2).unwrap()), [10, 12]);
        assert_eq!(levels(&read("train", 1, 1).unwrap()), [11]);
        let error = read("train", 3, 4).unwrap_err().to_string();
        assert!(error.contains("expected 4 images of digit 3, found 3"), "{error}");
        let error = read("t10k", 3, 1).unwrap_err().to_string();
        assert!(error.contains("found no t10k-images-idx3-ubyte"), "{error}");
        // As downloaded.
        let packed = |bytes: Vec<u8>| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        };
        write("t10k-images-idx3-ubyte.gz", packed(images(&[7, 8])));
        write("t10k-labels-idx1-ubyte.gz", packed(labels(&[0, 9])));
        assert_eq!(levels(&read("t10k", 9, 1).unwrap()), [8]);
    }

    #[test]
    fn files_that_contradict_themselves_are_refused() {
        let whole = images(&[1, 2]);
        assert_eq!(parsed(&whole, IMAGES, 3).unwrap().0, [2, SIDE, SIDE]);
        let huge = [IMAGES.to_be_bytes(), [255; 4], [255; 4], [255; 4]].concat();
        for (bytes, words) in [
            (&whole[..whole.len() - 1], "found 1567 bytes"),
            (&whole[..15], "found 15 bytes"),
            (&labels(&[1])[..], "expected an IDX file"),
            (&[labels(&[1]), vec![0; 16]].concat()[..], "found 0x0801"),
            (&huge[..], "found 0 bytes"),
        ] {
            let error = parsed(bytes, IMAGES, 3).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write("train-images-idx3-ubyte", images(&[1, 2]));
        write("train-labels-idx1-ubyte", labels(&[1]));
        let error = read(folder.path(), "train", 1, 1).unwrap_err().to_string();
        assert!(error.contains("a label for each of 2 images, found 1"), "{error}");
    }
}
