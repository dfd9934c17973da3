//! Counts in messages: `1 image`, `3 images`.

use std::fmt::Display;

/// A count with its noun.
///
/// ```
/// assert_eq!(files::counted(1, "image"), "1 image");
/// assert_eq!(files::counted(0, "class"), "0 classes");
/// assert_eq!(files::counted(12_u64, "entry"), "12 entries");
/// ```
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let text = count.to_string();
    format!("{text} {}", noun_of(count, noun))
}

/// The noun alone, for a count that is written in another way, such as `1,234`. Knows nouns that take an s, and those in
/// -s, -x, -ch, -sh and -y.
///
/// ```
/// assert_eq!(files::noun_of(1, "image"), "image");
/// assert_eq!(files::noun_of(1234, "image"), "images");
/// ```
#[must_use]
pub fn noun_of<N: PartialEq + From<u8>>(count: N, noun: &str) -> String {
    if count == N::from(1) {
        return noun.to_owned();
    }
    if ["s", "x", "ch", "sh"].iter().any(|ending| noun.ends_with(ending)) {
        return format!("{noun}es");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        for (noun, many) in [
            ("step", "steps"),
            ("class", "classes"),
            ("batch", "batches"),
            ("box", "boxes"),
            ("entry", "entries"),
            ("day", "days"),
            ("held-out image", "held-out images"),
        ] {
            assert_eq!(counted(1_usize, noun), format!("1 {noun}"));
            for count in [0, 2, 21, 1001_u64] {
                assert_eq!(counted(count, noun), format!("{count} {many}"));
            }
            assert_eq!(noun_of(-1_i64, noun), many);
            assert_eq!(noun_of(1.0, noun), noun);
        }
    }
}
