//! User input: rectangles and data sources; and file names.

use std::path::Path;

use dataset::{Region, RegionError, Source};

/// `X,Y,W,H`, after two bytes for the image's rows and columns.
pub(crate) fn region(data: &[u8]) {
    let [rows, columns, text @ ..] = data else { return };
    let size = (usize::from(*rows), usize::from(*columns));
    let Ok(region) = String::from_utf8_lossy(text).parse::<Region>() else { return };
    assert_eq!(region.to_string().parse(), Ok(region));
    let inside = region.mask(size).iter().filter(|&&inside| inside).count();
    match region.check(size) {
        Ok(()) => assert_eq!(inside, region.width * region.height),
        Err(RegionError::Empty) => assert_eq!(inside, 0),
        Err(_) => assert!(region.width.checked_mul(region.height).is_none_or(|pixels| inside < pixels)),
    }
}

/// Image paths, one per line, as a folder would list them.
pub(crate) fn class_labels(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut paths: Vec<&Path> = text.lines().filter(|line| !line.is_empty()).map(Path::new).collect();
    paths.sort();
    let (names, labels) = dataset::class_labels(paths.iter().copied());
    if labels.is_empty() {
        assert!(names.is_empty());
        assert!(paths.is_empty() || paths.iter().any(|path| path.components().nth(1).is_none()));
        return;
    }
    assert_eq!(labels.len(), paths.len());
    assert!(labels.is_sorted() && labels[0] == 0);
    assert_eq!(names.len(), 1 + labels[labels.len() - 1] as usize);
    for (path, label) in paths.iter().zip(&labels) {
        assert_eq!(path.components().next().map(|c| c.as_os_str()), Some(names[*label as usize].as_ref()));
    }
    let mut known = names.clone();
    known.dedup();
    assert_eq!(known, names);
}

/// The text of `--data`: a recognised source, written back, is recognised as the same source.
pub(crate) fn source_spec(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // A fuzzer must not read the folders of the machine.
    if text.starts_with('/') || text.contains("..") {
        return;
    }
    match Source::detect(&text) {
        Ok(source) => assert_eq!(Source::detect(&source.to_string()).ok(), Some(source)),
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
}
