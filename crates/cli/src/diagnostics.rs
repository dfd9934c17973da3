//! Standard error, for diagnostics. A failed diagnostic must not cost work: if it cannot be written, as on a full disk
//! or to a closed pipe, it is lost and the work continues. This module also decides for the whole program whether
//! colours and bars are shown.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;
use indicatif::TermLike;

/// What the environment says about colours and the terminal.
struct Wishes {
    no_color: Option<OsString>,
    term: Option<OsString>,
}

impl Wishes {
    fn of_environment() -> Self {
        Self { no_color: std::env::var_os("NO_COLOR"), term: std::env::var_os("TERM") }
    }

    /// Whether the terminal understands escape sequences; assumed not if TERM is missing.
    fn allow_escapes(&self) -> bool {
        self.term.as_ref().is_some_and(|term| !term.is_empty() && term != "dumb")
    }

    /// <https://no-color.org>: any value but an empty one means no colour.
    fn allow_colours(&self) -> bool {
        self.allow_escapes() && self.no_color.as_ref().is_none_or(|value| value.is_empty())
    }
}

/// Whether lines on standard error can be redrawn, as bars need.
pub(crate) fn can_redraw() -> bool {
    io::stderr().is_terminal() && Wishes::of_environment().allow_escapes()
}

/// Whether to use colours on standard error.
pub(crate) fn has_colours() -> bool {
    io::stderr().is_terminal() && Wishes::of_environment().allow_colours()
}

/// The same for clap. clap itself checks for a terminal, since help goes to standard output.
pub(crate) fn clap_colours() -> ColorChoice {
    if Wishes::of_environment().allow_colours() { ColorChoice::Auto } else { ColorChoice::Never }
}

/// Standard error whose writes never fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Diagnostics;

impl Write for Diagnostics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

/// The same as a terminal for progress bars: indicatif panics if its own cannot be written.
impl TermLike for Diagnostics {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        moved(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        moved(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        moved(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        moved(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(Self, "{line}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(Self, "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        write!(Self, "\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Write::flush(&mut Self)
    }
}

/// A terminal takes a missing number as 1.
fn moved(n: usize, direction: char) -> io::Result<()> {
    if n == 0 { Ok(()) } else { write!(Diagnostics, "\x1b[{n}{direction}") }
}

/// Columns and rows; 80 and 24 if unknown.
fn size() -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let size = size.map(|size| (size.ws_col, size.ws_row)).filter(|&(columns, rows)| columns > 0 && rows > 0);
    size.unwrap_or((80, 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_term_are_respected() {
        let wishes = |no_color: Option<&str>, term: Option<&str>| {
            let wishes = Wishes { no_color: no_color.map(OsString::from), term: term.map(OsString::from) };
            (wishes.allow_escapes(), wishes.allow_colours())
        };
        assert_eq!(wishes(None, Some("xterm")), (true, true));
        assert_eq!(wishes(Some(""), Some("xterm")), (true, true));
        for value in ["1", "0", "false"] {
            assert_eq!(wishes(Some(value), Some("xterm")), (true, false));
        }
        for term in [None, Some(""), Some("dumb")] {
            assert_eq!(wishes(None, term), (false, false));
        }
    }
}
