//! The width of the screen, and text in lines that fit it.

use std::ffi::OsStr;
use std::io;

/// The least width of prose, in columns.
const NARROWEST: usize = 40;
/// The greatest width of prose, in columns.
pub(crate) const WIDEST: usize = 100;

/// The width that COLUMNS asks for, within [40, 100].
pub(crate) fn asked() -> Option<usize> {
    columns(std::env::var_os("COLUMNS").as_deref())
}

/// The width for results on standard output: that of COLUMNS, else that of the terminal. `None` for a pipe or a file, where
/// scripts expect whole lines.
pub(crate) fn width() -> Option<usize> {
    let of_terminal = || {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        clamped(usize::from(size.ws_col))
    };
    asked().or_else(of_terminal)
}

fn columns(variable: Option<&OsStr>) -> Option<usize> {
    clamped(variable?.to_str()?.parse().ok()?)
}

/// A terminal that does not know its width says 0.
fn clamped(columns: usize) -> Option<usize> {
    (columns > 0).then(|| columns.clamp(NARROWEST, WIDEST))
}

/// A paragraph in lines of at most `width` characters, without spaces at their ends. A longer word has a line of its own, so
/// that paths and hashes can be copied.
pub(crate) fn wrapped(paragraph: &str, width: usize) -> Vec<String> {
    let mut words = paragraph.split(' ');
    let (mut lines, mut line) = (Vec::new(), words.next().unwrap_or_default().to_owned());
    for word in words {
        let whole = line.chars().count() + 1 + word.chars().count();
        if whole > width && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            word.clone_into(&mut line);
        } else if line.is_empty() && !lines.is_empty() {
            // The line was broken at several spaces.
            line.push_str(word);
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// A paragraph for a screen of this width; unchanged if the width is unknown.
pub(crate) fn fitted(paragraph: &str, width: Option<usize>) -> String {
    width.map_or_else(|| paragraph.to_owned(), |width| wrapped(paragraph, width).join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_is_that_of_columns() {
        let of = |text: &str| columns(Some(OsStr::new(text)));
        assert_eq!([of("80"), of("100"), of("120"), of("9")], [Some(80), Some(100), Some(100), Some(40)]);
        assert_eq!([of("0"), of(""), of("-3"), of("wide"), columns(None)], [None; 5]);
    }

    #[test]
    fn lines_are_as_long_as_they_may_be_and_keep_their_words() {
        let text = "Each of the words, some of them with ünïcödé, stays whole and in its place";
        for width in 1..80 {
            let lines = wrapped(text, width);
            assert_eq!(lines.join(" "), text);
            let length = |line: &str| line.chars().count();
            for (index, line) in lines.iter().enumerate() {
                assert!(length(line) <= width || !line.contains(' '), "{width}: {line}");
                let next = lines.get(index + 1).and_then(|next| next.split(' ').next());
                assert!(next.is_none_or(|word| length(line) + 1 + length(word) > width), "{width}: {line}");
            }
        }
        assert_eq!(wrapped("a  b", 80), ["a  b"]);
        assert_eq!(wrapped("  a   b ", 3), ["  a", "b"]);
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(fitted("one two", Some(4)), "one\ntwo");
        assert_eq!(fitted("one two", None), "one two");
    }
}
