//! Tar archives (POSIX.1-1988 ustar) with every field free: a fuzzer cannot guess the checksum of a header.

pub(crate) const BLOCK: usize = 512;

/// A header of one block for `size` bytes of data; a kind of `b'0'` is a file.
pub(crate) fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    let name = &name.as_bytes()[..name.len().min(100)];
    header[..name.len()].copy_from_slice(name);
    let digits = format!("{size:011o}");
    header[124..124 + digits.len().min(12)].copy_from_slice(&digits.as_bytes()[..digits.len().min(12)]);
    header[156] = kind;
    header[257..262].copy_from_slice(b"ustar");
    sign(&mut header);
    header
}

/// A header and its data in whole blocks.
pub(crate) fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, data.len() as u64);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The archive: the members and an empty block.
pub(crate) fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; BLOCK]].concat()
}

/// Gives every header that a reader reaches the right checksum.
pub(crate) fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0_usize;
    while let Some(header) = bytes.get_mut(at..at.saturating_add(BLOCK)) {
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        sign(header);
        let digits: String =
            header[124..136].iter().take_while(|&&b| b != 0).map(|&b| char::from(b)).collect();
        let Ok(size) = usize::from_str_radix(digits.trim(), 8) else { break };
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    bytes
}

/// Writes the checksum, which counts its own bytes as spaces.
fn sign(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}
