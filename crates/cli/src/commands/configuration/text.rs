//! The reference as text for a terminal.

use super::entry::{Entry, Section};
use crate::screen;

/// The whole text in lines of at most `width` characters, without a newline at its end.
pub(super) fn page(preset: &str, objective: Option<&str>, sections: &[Section], width: usize) -> String {
    let over = objective.map(|name| format!(" with the objective {name}")).unwrap_or_default();
    let mut out = Lines { text: String::new(), width };
    out.fill(
        &format!(
            "Defaults are those of the preset {preset}{over}. Set a key with --set KEY=VALUE, or several in a file \
             for --config, which may also name its preset and objective: preset = \"images\"."
        ),
        0,
    );
    for Section { group, entries } in sections {
        out.text += "\n";
        match group.name {
            "" => out.fill(group.meaning, 0),
            name => out.fill(&format!("[{name}] {}", group.meaning), 0),
        }
        for entry in entries {
            out.text += "\n";
            out.describe(entry);
        }
    }
    out.text.trim_end().to_owned()
}

/// Text that grows by paragraphs.
struct Lines {
    text: String,
    width: usize,
}

impl Lines {
    fn describe(&mut self, entry: &Entry) {
        let key = entry.key;
        self.fill(&entry.path, 0);
        let mut facts = vec![key.values()];
        if key.settable {
            facts.push(format!("default: {}", entry.default));
        } else {
            facts.push("recorded by the program, cannot be set".to_owned());
        }
        if entry.may_change() {
            facts.push("may change on --resume".to_owned());
        }
        self.fill(&facts.join("; "), 4);
        let more = if key.more.is_empty() { String::new() } else { format!(" {}", key.more) };
        self.fill(&format!("{}.{more}", key.meaning), 4);
        let widest = key.choices().iter().map(|choice| choice.0.len()).max().unwrap_or_default();
        for (name, meaning) in key.choices() {
            self.fill(&format!("{name:<widest$}  {meaning}"), 8);
        }
    }

    /// Appends a paragraph, indented.
    fn fill(&mut self, paragraph: &str, indent: usize) {
        for line in screen::wrapped(paragraph, self.width.saturating_sub(indent)) {
            self.text.push_str(&" ".repeat(indent));
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::sections;
    use super::*;
    use crate::config::Defaults;

    fn of(preset: &str, objective: Option<&str>, wanted: Option<&str>) -> String {
        page(preset, objective, &sections(&Defaults::of(preset, objective).unwrap(), wanted), 100)
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
        assert!(text.lines().all(|line| line.chars().count() <= 100 && line == line.trim_end()), "{text}");
        let found = sections(&Defaults::of("images", None).unwrap(), None);
        let narrow = page("images", None, &found, 60);
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert!(narrow.split_whitespace().eq(text.split_whitespace()), "{narrow}");
        assert!(
            text.contains(
                "\ntrain.lr\n    number above 0, at most 1; default: 2e-4; may change on --resume\n"
            )
        );
    }
}
