//! Makes text from files and file names safe to print on a terminal. A control character could move the cursor, hide
//! text or write to the clipboard (OSC 52).

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes every control character except the line break, as `\u001b` for example, which JSON reads as the same
/// character.
///
/// ```
/// assert_eq!(files::printable("a\u{1b}]52;c;aGk=\u{7}"), "a\\u001b]52;c;aGk=\\u0007");
/// assert_eq!(files::printable("two\nlines, größer"), "two\nlines, größer");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_control(c))
}

/// Like [`printable`], with line breaks escaped as well: for a name in a table or a line of a log.
#[must_use]
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hides(c) {
            // Writing to a string does not fail. All of these are below U+10000.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// C0, DEL and C1; the line and paragraph separators; and the characters that change text direction (Unicode Annex 9),
/// which can make one name look like another.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..=0x2070).filter_map(char::from_u32).collect();
        let line = printable_line(&all);
        assert!(!line.contains(is_control) && line.chars().all(|c| !c.is_control()));
        assert_eq!(printable(&all).matches('\n').count(), 1);
        assert_eq!(printable_line("a\nb\tc\u{9b}\u{202e}"), "a\\u000ab\\u0009c\\u009b\\u202e");
        assert!(matches!(printable("plain 画像"), Cow::Borrowed(_)));
    }
}
