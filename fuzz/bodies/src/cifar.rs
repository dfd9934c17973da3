//! CIFAR batches.

use dataset::{CifarKind, FileKind, parse_cifar, recognise_cifar};

/// Maximum number of records made from a few bytes.
const RECORDS: usize = 3;

/// A batch file. The first byte chooses whether the rest is used as it is, or repeated to whole records, which no
/// fuzzer would find.
pub(crate) fn body(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let kind = match mode % 4 {
        1 => CifarKind::Cifar10,
        2 => CifarKind::Cifar100,
        _ => return check(rest),
    };
    if rest.is_empty() {
        return;
    }
    let records = 1 + usize::from(mode / 4) % RECORDS;
    check(&rest.iter().copied().cycle().take(records * kind.record()).collect::<Vec<u8>>());
}

fn check(data: &[u8]) {
    let recognised = recognise_cifar(data);
    let batch = match parse_cifar("fuzz", data) {
        Ok(batch) => batch,
        Err(_) => return assert_eq!(recognised, None),
    };
    let kind = batch.kind;
    assert_eq!(recognised, Some(kind));
    assert_eq!(batch.images.dim(), (data.len() / kind.record(), 32, 32, 3));
    assert_eq!(batch.labels.len(), batch.images.dim().0);
    assert!(batch.labels.iter().all(|&label| (label as usize) < kind.classes()));
    // The blue plane, and the file, end with the last pixel of the last image.
    assert_eq!(batch.images.last(), data.last());
    let start = &data[..data.len().min(FileKind::START)];
    let is_idx = dataset::parse_idx("fuzz", data).is_ok();
    let want = if is_idx { FileKind::Idx } else { FileKind::Cifar };
    assert_eq!(FileKind::recognise(start, data.len() as u64), Some(want));
}
