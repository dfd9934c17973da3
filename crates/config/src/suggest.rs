//! "Did you mean": finds the nearest valid name.

/// A longer word is not a typo; the distance takes time in proportion to the product of both lengths.
const MAX_WORD: usize = 64;

/// The candidate with the smallest edit distance to `word`, if it is close enough to be a typo.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > MAX_WORD {
        return None;
    }
    // The distance is at least the difference in length.
    let most = (length / 2).max(2);
    let of_length = |name: &&str| name.chars().count().abs_diff(length) <= most;
    let best = candidates.into_iter().filter(of_length).map(|name| (distance(word, name), name)).min()?;
    (best.0 <= most).then_some(best.1)
}

/// The Levenshtein distance: insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["steps", "batch", "ema_decay"];
        assert_eq!(nearest("stesp", names), Some("steps"));
        assert_eq!(nearest("ema_deccay", names), Some("ema_decay"));
        assert_eq!(nearest("xyzzyxyzzy", ["steps"]), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), ["steps", &"x".repeat(1 << 20)]), None);
    }
}
