//! The reference as Markdown: `docs/configuration.md`, which a test compares with this program.

use super::entry::{Entry, Section};
use crate::config::{OBJECTIVES, PRESETS};

/// The whole page, without a newline at its end.
pub(super) fn page(preset: &str, objective: Option<&str>, sections: &[Section]) -> String {
    let over = objective.map(|name| format!(" with `--objective {name}`")).unwrap_or_default();
    let mut out = format!(
        "# Configuration\n\
         This page is the output of `ddpm config reference --markdown`. `ddpm config reference train.lr` explains one key,\n\
         `ddpm config reference train` one table, and `--json` is for programs.\n\n\
         Values come from a preset, an objective, a file (`--config mine.toml`) and `--set KEY=VALUE`; later ones win. A file\n\
         may name its preset and objective with the keys `preset` and `objective`. `ddpm train --dump-config` prints the\n\
         result with a comment behind each key, and `--config` reads it back.\n\n\
         The defaults below are those of `--preset {preset}`{over}. Other presets: `ddpm config reference --preset NAME`.\n"
    );
    out += &described("Presets", "--preset", PRESETS);
    out += &described("Objectives", "--objective", OBJECTIVES);
    for Section { group, entries } in sections {
        let title =
            if group.name.is_empty() { group.meaning.to_owned() } else { format!("[{}]", group.name) };
        out += &format!("\n## {title}\n");
        if !group.name.is_empty() {
            out += &format!("{}.\n\n", group.meaning);
        }
        out += "| key | value | default | meaning |\n|---|---|---|---|\n";
        entries.iter().for_each(|entry| out += &row(entry));
    }
    out.trim_end().to_owned()
}

fn described(title: &str, flag: &str, list: &[(&str, &str, &str)]) -> String {
    let rows = list.iter().map(|(name, description, _)| format!("| `{name}` | {} |\n", cell(description)));
    format!("\n## {title}\n| `{flag}` | |\n|---|---|\n{}", rows.collect::<String>())
}

fn row(entry: &Entry) -> String {
    let key = entry.key;
    let default = if entry.has_value() { format!("`{}`", entry.default) } else { entry.default.clone() };
    let mut meaning = format!("{}.", key.meaning);
    if !key.more.is_empty() {
        meaning += &format!(" {}", key.more);
    }
    if entry.may_change() {
        meaning += " May change on `--resume`.";
    }
    for (name, what) in key.choices() {
        meaning += &format!("<br>`{name}`: {what}");
    }
    format!("| `{}` | {} | {} | {} |\n", entry.path, cell(&key.values()), cell(&default), cell(&meaning))
}

/// Text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::entry::sections;
    use super::*;
    use crate::config::Defaults;

    #[test]
    fn a_row_has_four_cells() {
        let found = sections(&Defaults::of("images", None).unwrap(), None);
        for entry in found.iter().flat_map(|section| &section.entries) {
            let row = row(entry);
            assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
            assert!(row.ends_with(" |\n") && !row.trim_end().contains('\n'), "{row}");
        }
        let page = page("images", None, &found);
        assert!(page.contains(
            "| `train.lr` | number above 0, at most 1 | `2e-4` | Learning rate after the warm-up. May"
        ));
        assert!(page.contains("## [train]\nHow the network is trained.\n\n| key |"), "{page}");
    }
}
