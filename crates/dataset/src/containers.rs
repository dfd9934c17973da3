//! Recognises container formats that are not supported, to tell users what to do with them.

use std::io::Read;

use flate2::read::GzDecoder;

/// How many bytes are checked; the magic of a tar archive is far from the start.
pub(crate) const CONTAINER_START: usize = 512;

const UNPACK: &str = "unpack it and give the folder";
const CONVERT: &str = "save its images as a .npy or .npz array, or as files in a folder";

/// First bytes, description, advice.
const MAGICS: [(&[u8], &str, &str); 10] = [
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", UNPACK),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", CONVERT),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", CONVERT),
    (b"\x80\x02}", "a Python pickle, which is never read", CONVERT),
    (b"\x80\x03", "a Python pickle, which is never read", CONVERT),
    (b"\x80\x04\x95", "a Python pickle, which is never read", CONVERT),
];

/// What a file with this start is and what to do with it, if it is an unsupported container.
pub(crate) fn container(start: &[u8]) -> Option<String> {
    if is_tar(start) {
        return Some(format!("a tar archive; {UNPACK}"));
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        let mut inner = Vec::new();
        // The start of a file ends early; use what was inflated before that.
        let _ = GzDecoder::new(start).take(CONTAINER_START as u64).read_to_end(&mut inner);
        return is_tar(&inner).then(|| format!("a gzipped tar archive; {UNPACK}"));
    }
    let (_, what, todo) = MAGICS.iter().find(|(magic, ..)| start.starts_with(magic))?;
    Some(format!("{what}; {todo}"))
}

fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn tar_is_found_bare_and_gzipped() {
        let mut tar = vec![0; 1024];
        tar[..5].copy_from_slice(b"a.png");
        tar[257..262].copy_from_slice(b"ustar");
        assert!(container(&tar[..512]).unwrap().starts_with("a tar archive; unpack"));
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&tar).unwrap();
        // Long enough that the end is cut off.
        gz.write_all(&(0..100_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect::<Vec<_>>()).unwrap();
        let gz = gz.finish().unwrap();
        assert!(container(&gz[..512]).unwrap().starts_with("a gzipped tar archive; unpack"));
    }

    #[test]
    fn supported_formats_are_not_among_them() {
        for start in [
            &b"\x93NUMPY\x01\0"[..],
            b"PK\x03\x04",
            &[0, 0, 8, 3],
            &[0x1f, 0x8b, 8],
            b"\x89PNG\r\n\x1a\n",
            b"",
        ] {
            assert_eq!(container(start), None);
        }
    }
}
