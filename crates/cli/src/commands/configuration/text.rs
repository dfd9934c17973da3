//! The reference as text for a terminal.

use super::entry::{Entry, Section};

/// Width of the text.
const WIDTH: usize = 100;

/// The whole text, without a newline at its end.
pub(super) fn page(preset: &str, objective: Option<&str>, sections: &[Section]) -> String {
    let over = objective.map(|name| format!(" with the objective {name}")).unwrap_or_default();
    let mut out = String::new();
    fill(
        &mut out,
        &format!(
            "Defaults are those of the preset {preset}{over}. Set a key with --set KEY=VALUE, or several in a file \
             for --config, which may also name its preset and objective: preset = \"images\"."
        ),
        0,
    );
    for Section { group, entries } in sections {
        out += "\n";
        match group.name {
            "" => fill(&mut out, group.meaning, 0),
            name => fill(&mut out, &format!("[{name}] {}", group.meaning), 0),
        }
        for entry in entries {
            out += "\n";
            describe(&mut out, entry);
        }
    }
    out.trim_end().to_owned()
}

fn describe(out: &mut String, entry: &Entry) {
    let key = entry.key;
    fill(out, &entry.path, 0);
    let mut facts = vec![key.values()];
    if key.settable {
        facts.push(format!("default: {}", entry.default));
    } else {
        facts.push("recorded by the program, cannot be set".to_owned());
    }
    if entry.may_change() {
        facts.push("may change on --resume".to_owned());
    }
    fill(out, &facts.join("; "), 4);
    let more = if key.more.is_empty() { String::new() } else { format!(" {}", key.more) };
    fill(out, &format!("{}.{more}", key.meaning), 4);
    let widest = key.choices().iter().map(|choice| choice.0.len()).max().unwrap_or_default();
    for (name, meaning) in key.choices() {
        fill(out, &format!("{name:<widest$}  {meaning}"), 8);
    }
}

/// Appends a paragraph, indented, in lines of at most [`WIDTH`] characters.
fn fill(out: &mut String, paragraph: &str, indent: usize) {
    let (start, mut width) = (" ".repeat(indent), 0);
    for word in paragraph.split(' ') {
        let length = word.chars().count();
        if width == 0 {
            out.push_str(&start);
            width = indent;
        } else if width + 1 + length > WIDTH {
            let end = out.trim_end_matches(' ').len();
            out.truncate(end);
            out.push('\n');
            out.push_str(&start);
            width = indent;
        } else {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::entry::sections;
    use super::*;
    use crate::config::Defaults;

    fn of(preset: &str, objective: Option<&str>, wanted: Option<&str>) -> String {
        page(preset, objective, &sections(&Defaults::of(preset, objective).unwrap(), wanted))
    }

    #[test]
    fn a_key_is_explained() {
        let text = of("images", None, Some("train.lr_decay"));
        let want = "\
[train] How the network is trained

train.lr_decay
    constant, cosine or inverse-sqrt; default: constant
    What the learning rate does after the warm-up.
        constant      it stays constant (the paper)
        cosine        it falls to 0 at the last step along half a cosine
        inverse-sqrt  it falls as 1 / sqrt(step) from lr_decay_steps on (Karras et al. 2024)";
        assert!(text.ends_with(want), "{text}");
        let edm = of("images", Some("edm"), Some("train.prediction"));
        assert!(edm.starts_with("Defaults are those of the preset images with the objective edm."), "{edm}");
        assert!(edm.contains("\n    eps, x_0, v, edm or velocity; default: edm\n"), "{edm}");
    }

    #[test]
    fn lines_fit_and_keep_their_words() {
        let text = of("images", None, None);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line == line.trim_end()), "{text}");
        assert!(
            text.contains(
                "\ntrain.lr\n    number above 0, at most 1; default: 2e-4; may change on --resume\n"
            )
        );
        let mut out = String::new();
        fill(&mut out, "a  b", 2);
        assert_eq!(out, "  a  b\n");
    }
}
