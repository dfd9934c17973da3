//! Equations in a plain notation, as HTML.

/// An equation as HTML: `_` lowers and `^` raises the next letter or the group in braces, single Latin
/// letters are variables (italic), `&`, `<`, `>` and quotes are escaped, and a line break stays one.
///
/// ```
/// assert_eq!(figures::equation_html("x_t ~ N(0, I)"), "<i>x</i><sub><i>t</i></sub> ~ <i>N</i>(0, <i>I</i>)");
/// assert_eq!(figures::equation_html("x_{t−1}^2 < 1"), "<i>x</i><sub><i>t</i>−1</sub><sup>2</sup> &lt; 1");
/// ```
#[must_use]
pub fn equation_html(equation: &str) -> String {
    equation.lines().map(|line| part(&line.chars().collect::<Vec<_>>())).collect::<Vec<_>>().join("<br>\n")
}

fn part(letters: &[char]) -> String {
    let mut html = String::new();
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        match (letter, letters.get(at + 1)) {
            ('_' | '^', Some(_)) => {
                let (group, next) = group(letters, at + 1);
                let tag = if letter == '_' { "sub" } else { "sup" };
                html.push_str(&format!("<{tag}>{}</{tag}>", part(group)));
                at = next;
            }
            _ => {
                // A run of Latin letters: one is a variable, more are a name such as "cos".
                let run = letters[at..].iter().take_while(|letter| letter.is_ascii_alphabetic()).count();
                let word: String = letters[at..at + run.max(1)].iter().collect();
                html.push_str(&if run == 1 { format!("<i>{word}</i>") } else { escape(&word) });
                at += run.max(1);
            }
        }
    }
    html
}

/// The letters a `_` or `^` applies to, and where the text continues after them. A brace that is never closed extends
/// to the end; braces do not nest.
fn group(letters: &[char], at: usize) -> (&[char], usize) {
    if letters[at] != '{' {
        return (&letters[at..=at], at + 1);
    }
    match letters[at..].iter().position(|&letter| letter == '}') {
        Some(length) => (&letters[at + 1..at + length], at + length + 1),
        None => (&letters[at + 1..], letters.len()),
    }
}

/// Plain text as HTML, in which `` `commands` `` between backquotes are set as code.
pub(crate) fn text_html(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut html = escape(parts[0]);
    for (index, part) in parts.iter().enumerate().skip(1) {
        // An unpaired backquote stays a backquote.
        html.push_str(match (index % 2, index + 1 < parts.len()) {
            (1, true) => "<code>",
            (1, false) => "`",
            _ => "</code>",
        });
        html.push_str(&escape(part));
    }
    html
}

/// Escapes text for HTML, in an element and in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // Control characters, which a terminal that shows the page would obey. HTML has no such characters.
            other if other.is_control() && other != '\n' => {
                html.push_str(&files::printable(&other.to_string()))
            }
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::{equation_html, escape, text_html};
    use proptest::prelude::*;

    #[test]
    fn names_stay_upright_and_lines_stay_lines() {
        assert_eq!(equation_html("cos t\nᾱ_t"), "cos <i>t</i><br>\nᾱ<sub><i>t</i></sub>");
    }

    #[test]
    fn commands_stand_between_backquotes() {
        assert_eq!(text_html("a `b <c>` d"), "a <code>b &lt;c&gt;</code> d");
        assert_eq!(text_html("a `b` c ` d"), "a <code>b</code> c ` d");
        assert_eq!(text_html("`b`"), "<code>b</code>");
        assert_eq!([text_html(""), text_html("`"), text_html("``")], ["", "`", "<code></code>"]);
    }

    #[test]
    fn unfinished_groups_do_no_harm() {
        assert_eq!(equation_html("x_"), "<i>x</i>_");
        assert_eq!(equation_html("_{"), "<sub></sub>");
        assert_eq!(equation_html("^{ab"), "<sup>ab</sup>");
        assert_eq!(equation_html("_{a_b}"), "<sub><i>a</i><sub><i>b</i></sub></sub>");
    }

    proptest! {
        /// Whatever is put in, only our own tags come out.
        #[test]
        fn nothing_escapes(text in "[ -~ε]{0,40}") {
            let mut rest = equation_html(&text);
            for tag in ["<i>", "</i>", "<sub>", "</sub>", "<sup>", "</sup>", "<br>"] {
                rest = rest.replace(tag, "");
            }
            prop_assert!(!rest.contains(['<', '>', '"', '\'']), "{}", rest);
            prop_assert!(!escape(&text).contains(['<', '>', '"', '\'']));
            let rest = text_html(&text).replace("<code>", "").replace("</code>", "");
            prop_assert!(!rest.contains(['<', '>', '"', '\'']));
        }
    }
}
