//! The commands on the pages for users and in the help texts: every `ddpm` line parses, and every training run on images that
//! this test can make has a valid configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use image::ImageFormat;
use tests::{Place, data};

/// What `cargo xtask` passes on to the program.
const PASSED_ON: [&str; 3] = ["train", "sample", "figures"];
/// Inputs that this test cannot make: trained weights, tar shards, files of a reader that is a feature.
const NOT_HERE: [&str; 4] = ["--init-from", "--resume", "shards", "parquet"];

/// README.md, the pages of `docs`, and the README of each crate.
fn pages() -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    for entry in fs::read_dir(root.join("crates"))? {
        found.push(entry?.path().join("README.md"));
    }
    found.retain(|path| path.is_file());
    Ok(found)
}

/// The lines of fenced blocks, and of blocks with this indentation; continued lines are joined.
fn block_lines(page: &str, indent: &str) -> Vec<String> {
    let (mut lines, mut in_fence, mut open) = (Vec::<String>::new(), false, false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        let Some(text) = (if in_fence { Some(line) } else { line.strip_prefix(indent) }) else { continue };
        let (text, goes_on) = match text.trim_end().strip_suffix('\\') {
            Some(text) => (text.trim_end(), true),
            None => (text.trim_end(), false),
        };
        match lines.last_mut().filter(|_| open) {
            Some(begun) => *begun += &format!(" {}", text.trim_start()),
            None => lines.push(text.to_owned()),
        }
        open = goes_on;
    }
    lines
}

/// The words after the program's name as a shell splits them, without a comment; `None` for another program.
fn words(line: &str) -> Option<Vec<String>> {
    // Comments, and the explanations in help texts, stand apart.
    let line = line.split("  ").next().unwrap_or_default();
    let line = match line.strip_prefix("cargo xtask ") {
        Some(rest) => Some(rest).filter(|rest| PASSED_ON.iter().any(|name| rest.starts_with(name))),
        None => line.strip_prefix("ddpm "),
    }?;
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => words.push(std::mem::take(&mut word)),
            None if word.is_empty() && "#|>".contains(c) => break,
            None => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    Some(words)
}

/// The calls of the program in a text. A launcher and what it starts, after `--`, are two calls.
fn calls(text: &str, indent: &str) -> Vec<Vec<String>> {
    let lines = block_lines(text, indent);
    let found = lines.iter().filter_map(|line| words(line));
    found
        .flat_map(|words| words.split(|word| word == "--").map(<[String]>::to_vec).collect::<Vec<_>>())
        .collect()
}

/// The calls on all pages.
fn of_pages() -> anyhow::Result<BTreeSet<Vec<String>>> {
    let mut found = BTreeSet::new();
    for path in pages()? {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        found.extend(calls(&text, "    "));
    }
    Ok(found)
}

/// The calls in the help of a command and of those below it.
fn of_help(place: &Place, command: &str, found: &mut BTreeSet<Vec<String>>) -> anyhow::Result<()> {
    let help = place.run(format!("{command} --help").trim())?.ok().stdout;
    found.extend(calls(&help, "  "));
    let Some((_, list)) = help.split_once("Commands:\n") else { return Ok(()) };
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        of_help(place, format!("{command} {name}").trim(), found)?;
    }
    Ok(())
}

/// What is wrong with a call, by the exit code and standard error.
fn failure(place: &Place, call: &[String], more: &[&str]) -> anyhow::Result<Option<String>> {
    let output = place.command("")?.args(call).args(more).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then(|| format!("ddpm {}: {told}", call.join(" "))))
}

/// A flag that does not exist is an error even where help is asked for, so `--help` checks a line without running it.
#[test]
fn every_command_parses() -> anyhow::Result<()> {
    let place = Place::new()?;
    for wrong in [&["sample", "--no-such-flag", "1"][..], &["sampel"]] {
        let call: Vec<String> = wrong.iter().map(|&word| word.to_owned()).collect();
        ensure!(failure(&place, &call, &["--help"])?.is_some(), "{wrong:?} was accepted");
    }
    let mut found = of_pages()?;
    let on_pages = found.len();
    of_help(&place, "", &mut found)?;
    ensure!(on_pages > 80 && found.len() > on_pages + 20, "{on_pages} and {} commands", found.len());
    let mut wrong = Vec::new();
    for call in &found {
        wrong.extend(failure(&place, call, &["--help"])?);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// `--dump-config` settles the configuration as training does, without training.
#[test]
fn every_training_run_has_a_valid_configuration() -> anyhow::Result<()> {
    let place = Place::new()?;
    for index in 0..10 {
        let file = data::colour_file(index, (80, 70), ImageFormat::Png)?;
        place.write(&format!("photos/{}/{index}.png", index % 5), file)?;
    }
    place.write("cifar-10-batches-bin/data_batch_1.bin", data::cifar10(20))?;
    let mut found = of_pages()?;
    of_help(&place, "train", &mut found)?;
    let (mut checked, mut wrong) = (0, Vec::new());
    for mut call in found {
        let not_here = call.iter().any(|word| NOT_HERE.iter().any(|name| word.contains(name)));
        if call.first().is_none_or(|command| command != "train") || not_here {
            continue;
        }
        call.retain(|word| !["--dry-run", "--dump-config"].contains(&word.as_str()));
        if let Some(at) = call.iter().position(|word| word == "--device") {
            call.drain(at..(at + 2).min(call.len()));
        }
        let few = ["--set", "data.limit=20", "--device", "cpu", "--dump-config"];
        wrong.extend(failure(&place, &call, &few)?);
        checked += 1;
    }
    ensure!(checked >= 16, "{checked} training runs on the pages");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn commands_are_found_in_a_page() {
    let page = "Prose about\nddpm train, in a line.\n\n    ddpm train --set 'a=[1, 2]'    # a comment\n\
                \x20   ddpm import a.safetensors \\\n      --schedule cosine --out b\n\
                \x20   ddpm sample --json | jq .\n    ddpm launch --nproc 2 -- train --run r\n```\ncargo xtask sample --count 3\n\
                cargo xtask setup\nddpm train > mine.toml\n```\n";
    let want = [
        &["train", "--set", "a=[1, 2]"][..],
        &["import", "a.safetensors", "--schedule", "cosine", "--out", "b"],
        &["sample", "--json"],
        &["launch", "--nproc", "2"],
        &["train", "--run", "r"],
        &["sample", "--count", "3"],
        &["train"],
    ];
    assert_eq!(calls(page, "    "), want);
    let help = "Examples:\n  ddpm train                what it is for\n          ddpm continues a sentence\n";
    assert_eq!(calls(help, "  "), [["train"]]);
}
