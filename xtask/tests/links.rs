//! Every relative link and picture in the Markdown files exists, and so does every heading that a link names.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders with pages, besides the root. A clone may hold other folders, with data or runs.
const FOLDERS: [&str; 9] =
    ["assets", "crates", "docs", "examples", "fuzz", "recipes", "scripts", "tests", "xtask"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Adds the Markdown files of a folder, and with `deep` those below it.
fn find_pages(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && deep && entry.file_name() != "target" {
            find_pages(&path, true, found);
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    find_pages(root(), false, &mut found);
    for folder in FOLDERS {
        find_pages(&root().join(folder), true, &mut found);
    }
    found.sort();
    found
}

/// The lines outside fenced code.
fn lines(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !is_fence && !in_code
    })
}

/// The text outside fences and backticks.
fn prose(page: &str) -> String {
    let text = lines(page).collect::<Vec<_>>().join("\n");
    // Every other part is between backticks.
    text.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of `[text](target)`, `src="target"`, `srcset="target"` and `href="target"`.
fn targets(prose: &str) -> Vec<&str> {
    let marks = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')];
    let after = move |(start, end): (&'static str, char)| {
        prose.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
    };
    marks.into_iter().flat_map(after).filter(|target| !target.contains("://")).collect()
}

/// The anchors of the headings, as GitHub makes them: lower case, without punctuation, hyphens for spaces.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = lines(page).filter(|line| line.starts_with('#'));
    let name = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(name).collect()
}

/// What is wrong with the links of a page.
fn mistakes(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut wrong = Vec::new();
    for target in targets(&prose(&text)) {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if path.is_empty() { page.to_owned() } else { page.parent().unwrap().join(path) };
        if !file.exists() {
            wrong.push(format!("{}: {target}: no such file", page.display()));
        } else if !anchor.is_empty() && !anchors(&fs::read_to_string(&file).unwrap()).contains(anchor) {
            wrong.push(format!("{}: {target}: no such heading", page.display()));
        }
    }
    wrong
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let pages = pages();
    for known in ["README.md", "docs/learn.md", "crates/sampler/README.md", "assets/models/fashion-28.md"] {
        assert!(pages.contains(&root().join(known)), "{known} is not in {pages:?}");
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let readme = prose(&readme);
    for known in ["docs/learn.md", "assets/figures/15-guidance.png", "assets/figures/dark/15-guidance.png"] {
        assert!(targets(&readme).contains(&known), "{known} is not in {:?}", targets(&readme));
    }
    let wrong: Vec<String> = pages.iter().flat_map(|page| mistakes(page)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With an odd number the text after the last backtick would be taken for code, and its links not be checked.
#[test]
fn backticks_come_in_pairs() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let count: usize = lines(&text).map(|line| line.matches('`').count()).sum();
        assert!(count.is_multiple_of(2), "{}: {count} backticks outside fences", page.display());
    }
}

#[test]
fn the_index_lists_every_page_of_the_documentation() {
    let index = prose(&fs::read_to_string(root().join("docs/README.md")).unwrap());
    let listed: BTreeSet<&str> = targets(&index).into_iter().collect();
    let mut there = Vec::new();
    find_pages(&root().join("docs"), false, &mut there);
    assert!(there.len() > 20, "{there:?}");
    for page in there {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || listed.contains(name), "docs/README.md: expected a link to {name}");
    }
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let text = "# A `key`, or two\n[a](#a-key-or-two) [b](#a-key) [c](other.md) [d](https://x.org/y) [e](page.md#no)\n\
                `[f](code.md)` <img src=\"p.png\">\n```\n# In code\n[g](fenced.md)\n```\n[h](#in-code)\n";
    fs::write(&page, text).unwrap();
    let expected = [
        "#a-key: no such heading",
        "other.md: no such file",
        "page.md#no: no such heading",
        "#in-code: no such heading",
        "p.png: no such file",
    ];
    let found = mistakes(&page);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.ends_with(&format!("page.md: {expected}")), "{found}: expected {expected}");
    }
}
