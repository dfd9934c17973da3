//! Finds the shards of a set by their names: the tar files of a folder, or those of a pattern such as
//! `train-{000..146}.tar`. Files of other formats that hold many images are found and chosen in the same way.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DatasetError;
use crate::scan::{is_hidden, named_as_image};
use crate::split::Split;

/// Maximum number of shards.
const MAX_SHARDS: usize = 100_000;
/// Maximum length of a pattern in bytes; paths are not longer.
const MAX_PATTERN: usize = 4096;

/// Whether a text names several shards by a range in braces.
///
/// ```
/// assert!(dataset::is_shard_pattern("photos/train-{000..146}.tar"));
/// assert!(!dataset::is_shard_pattern("photos"));
/// ```
#[must_use]
pub fn is_shard_pattern(spec: &str) -> bool {
    spec.ends_with(".tar") && spec.contains('{') && spec.contains("..")
}

/// The paths that a pattern names, in order. `{008..012}` counts with as many digits as its first number has. The error
/// gives the reason.
pub(crate) fn expand(pattern: &str) -> Result<Vec<PathBuf>, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("expected a pattern of at most {MAX_PATTERN} bytes, found {}", pattern.len()));
    }
    let mut texts = vec![pattern.to_owned()];
    while let Some(open) = texts.first().and_then(|text| text.find('{')) {
        let wrong = || format!("expected ranges such as {{000..012}} in {pattern}");
        let close = texts[0][open..].find('}').map(|length| open + length).ok_or_else(wrong)?;
        let (first, last) = texts[0][open + 1..close].split_once("..").ok_or_else(wrong)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(first) || !digits(last) {
            return Err(wrong());
        }
        let width = first.len();
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { return Err(wrong()) };
        let count = (last as usize + 1).checked_sub(first as usize).filter(|&count| count > 0);
        let count = count.ok_or_else(|| format!("the range {{{first}..{last}}} is empty"))?;
        if texts.len().saturating_mul(count) > MAX_SHARDS {
            return Err(format!("expected at most {MAX_SHARDS} shards in {pattern}"));
        }
        // Every text has the same ranges at its end.
        let with = |text: &String| -> Vec<String> {
            let (before, behind) = split_range(text);
            (first..=last).map(|number| format!("{before}{number:0width$}{behind}")).collect()
        };
        texts = texts.iter().flat_map(with).collect();
    }
    Ok(texts.into_iter().map(PathBuf::from).collect())
}

/// What is before and behind the first range of a text.
fn split_range(text: &str) -> (&str, &str) {
    let (before, rest) = text.split_once('{').unwrap_or((text, ""));
    (before, rest.split_once('}').map_or("", |(_, behind)| behind))
}

/// The files of a folder whose names end with `.ending`, sorted; `None` if it has none, or has folders or images too,
/// which are then the dataset.
pub(crate) fn in_folder(folder: &Path, ending: &str) -> Result<Option<Vec<PathBuf>>, DatasetError> {
    let mut shards = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| DatasetError::io(folder, "list", e))? {
        let path = entry.map_err(|e| DatasetError::io(folder, "list", e))?.path();
        if is_hidden(&path.file_name().unwrap_or_default().to_string_lossy()) {
            continue;
        }
        if path.is_dir() || named_as_image(&path) {
            return Ok(None);
        }
        if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)) {
            shards.push(path);
        }
    }
    shards.sort();
    if shards.len() > MAX_SHARDS {
        let (expected, found) = (format!("at most {MAX_SHARDS} shards"), shards.len().to_string());
        return Err(DatasetError::unsuitable(&folder.display().to_string(), expected, found));
    }
    Ok(Some(shards).filter(|shards| !shards.is_empty()))
}

/// The shards of one part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) shards: Vec<PathBuf>,
    pub(crate) note: Option<String>,
    /// Whether the names of the shards have decided the part.
    pub(crate) decided: bool,
}

/// Selects the shards of a part by their names, such as `photos-train-000.tar`. If no name has a part, the paths within
/// the shards decide. A single shard that the user names is used whatever it is called.
pub(crate) fn choose(
    name: &str,
    mut shards: Vec<PathBuf>,
    part: Option<Split>,
) -> Result<Chosen, DatasetError> {
    let mut found: Vec<Split> = shards.iter().filter_map(|path| part_of(path)).collect();
    found.sort();
    found.dedup();
    if found.is_empty() || (part.is_none() && shards.len() == 1) {
        return Ok(Chosen { shards, note: None, decided: false });
    }
    let wanted = part.unwrap_or_default();
    if !found.contains(&wanted) {
        return Err(DatasetError::NoPart { file: name.to_owned(), asked: wanted, found });
    }
    let all = shards.len();
    shards.retain(|path| part_of(path) == Some(wanted));
    let left = all - shards.len();
    let note = (left > 0).then(|| format!("using the {wanted} part, {} of {all} shards", shards.len()));
    Ok(Chosen { shards, note, decided: true })
}

/// The part that a word of a shard's name says.
fn part_of(path: &Path) -> Option<Split> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    stem.split(|c: char| !c.is_ascii_alphabetic()).find_map(Split::named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn patterns_count_with_leading_zeros() {
        assert_eq!(
            names(&expand("a/x-{08..11}.tar").unwrap()),
            ["a/x-08.tar", "a/x-09.tar", "a/x-10.tar", "a/x-11.tar"]
        );
        assert_eq!(
            names(&expand("{0..1}/{5..6}.tar").unwrap()),
            ["0/5.tar", "0/6.tar", "1/5.tar", "1/6.tar"]
        );
        assert_eq!(names(&expand("plain.tar").unwrap()), ["plain.tar"]);
        assert!(expand(&"x".repeat(5000)).unwrap_err().contains("at most 4096 bytes"));
        for (pattern, reason) in [
            ("{a..b}.tar", "ranges such as {000..012}"),
            ("{1,2}.tar", "ranges such as"),
            ("{1..2.tar", "ranges such as"),
            ("{1..99999999999}.tar", "ranges such as"),
            ("{-1..2}.tar", "ranges such as"),
            ("{..}.tar", "ranges such as"),
            ("{5..4}.tar", "the range {5..4} is empty"),
            ("{0..4294967295}.tar", "at most 100000 shards"),
            ("{0..999}-{0..999}.tar", "at most 100000 shards"),
        ] {
            let error = expand(pattern).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_folder_of_shards_has_nothing_else_to_train_on() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(in_folder(folder.path(), "tar").unwrap(), None);
        for name in ["b.tar", "a.TAR", "sizes.json", ".hidden.tar"] {
            fs::write(at(name), "x").unwrap();
        }
        assert_eq!(in_folder(folder.path(), "tar").unwrap(), Some(vec![at("a.TAR"), at("b.tar")]));
        assert_eq!(in_folder(folder.path(), "json").unwrap(), Some(vec![at("sizes.json")]));
        fs::write(at("1.png"), "x").unwrap();
        assert_eq!(in_folder(folder.path(), "tar").unwrap(), None);
        assert!(in_folder(&at("none"), "tar").is_err());
    }

    #[test]
    fn names_select_a_part() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let all = paths(&["p-test-0.tar", "p-train-0.tar", "p-train-1.tar"]);
        let train = choose("p", all.clone(), None).unwrap();
        assert_eq!(names(&train.shards), ["p-train-0.tar", "p-train-1.tar"]);
        assert_eq!(train.note.as_deref(), Some("using the train part, 2 of 3 shards"));
        assert_eq!(choose("p", all.clone(), Some(Split::Test)).unwrap().shards, paths(&["p-test-0.tar"]));
        let error = choose("p", all, Some(Split::Validation)).unwrap_err().to_string();
        assert!(error.contains("found train and test"), "{error}");
        let lone = paths(&["p-test-0.tar"]);
        assert!(!choose("p", lone.clone(), None).unwrap().decided);
        assert!(choose("p", lone, Some(Split::Train)).is_err());
        // Without parts in the names, nothing is decided.
        let plain = choose("p", paths(&["000.tar", "trainer.tar"]), Some(Split::Test)).unwrap();
        assert_eq!((plain.shards.len(), plain.decided), (2, false));
    }
}
