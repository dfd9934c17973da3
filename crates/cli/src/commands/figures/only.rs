//! `--only 1,2,7-9`: which figures.

use std::collections::BTreeSet;

use anyhow::anyhow;

use crate::failure::usage;

/// The last figure of the report; numbers start at 1.
pub(super) const LAST: usize = 20;

/// The figure numbers in a list of numbers and ranges, in order; all figures without a list.
pub(super) fn parse(list: Option<&str>) -> anyhow::Result<BTreeSet<usize>> {
    let Some(list) = list else { return Ok((1..=LAST).collect()) };
    let mut wanted = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => wanted.extend(first..=last),
            _ => {
                return Err(usage(anyhow!(
                    "--only {list}: {part:?} is not a figure; expected numbers from 1 to {LAST}, such as 1,2,7-9"
                )));
            }
        }
    }
    Ok(wanted)
}

fn number(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|number| (1..=LAST).contains(number))
}

#[cfg(test)]
mod tests {
    use super::{LAST, parse};

    #[test]
    fn lists_and_ranges() {
        let numbers = |list| parse(list).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(numbers(None), (1..=LAST).collect::<Vec<_>>());
        assert_eq!(numbers(Some("7, 1,1,9-11")), [1, 7, 9, 10, 11]);
    }

    #[test]
    fn what_is_not_a_figure_is_named() {
        for wrong in ["0", "21", "", "x", "1,", "3-1", "1-21", "-1", "1.5", "99999999999999999999999"] {
            let error = parse(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("expected numbers from 1 to 20"), "{error}");
        }
    }
}
