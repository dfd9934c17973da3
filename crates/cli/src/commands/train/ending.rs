//! The last words of a training: where the run and its last grid are, and what to do next.

use std::path::Path;

use crate::progress::duration;

/// What happened to a run.
pub(super) struct Ending<'a> {
    pub(super) run: &'a Path,
    /// Steps done, of all.
    pub(super) steps: (u64, u64),
    /// Of this process.
    pub(super) seconds: f64,
    pub(super) last_grid: Option<&'a Path>,
}

impl Ending<'_> {
    /// The text, with the commands for a finished run.
    pub(super) fn text(&self) -> String {
        let ((done, all), run) = (self.steps, self.run.display());
        let mut lines = vec![format!("{run}: step {done} of {all}, {} of training", duration(self.seconds))];
        lines.extend(self.last_grid.map(|grid| format!("last grid: {}", grid.display())));
        if done >= all {
            let run = quoted(self.run);
            lines.push(format!("next: ddpm sample --run {run}"));
            lines.push(format!("      ddpm evaluate --run {run}"));
            lines.push(format!("      ddpm figures --run {run}"));
        }
        lines.join("\n")
    }
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_run_names_the_next_commands() {
        let (run, grid) = (Path::new("runs/my cat"), Path::new("runs/my cat/samples/step-00000010-ema.png"));
        let of = |done, last_grid| Ending { run, steps: (done, 10), seconds: 185.0, last_grid }.text();
        assert_eq!(
            of(10, Some(grid)),
            "runs/my cat: step 10 of 10, 3m 05s of training\n\
             last grid: runs/my cat/samples/step-00000010-ema.png\n\
             next: ddpm sample --run 'runs/my cat'\n      \
             ddpm evaluate --run 'runs/my cat'\n      \
             ddpm figures --run 'runs/my cat'"
        );
        assert_eq!(of(4, None), "runs/my cat: step 4 of 10, 3m 05s of training");
    }

    #[test]
    fn paths_are_words_of_a_shell() {
        for (path, word) in [
            ("runs/a-b_c.1", "runs/a-b_c.1"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("~x", "'~x'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
