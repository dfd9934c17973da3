//! Standard error, for diagnostics. A failed diagnostic must not cost work: if it cannot be written, as on a full disk
//! or to a closed pipe, it is lost and the work continues. This module also decides for the whole program whether
//! colours and bars are shown.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use indicatif::TermLike;

/// What the environment says about colours and the terminal.
struct Wishes {
    no_color: Option<OsString>,
    clicolor: Option<OsString>,
    clicolor_force: Option<OsString>,
    term: Option<OsString>,
}

impl Wishes {
    fn of_environment() -> Self {
        Self {
            no_color: std::env::var_os("NO_COLOR"),
            clicolor: std::env::var_os("CLICOLOR"),
            clicolor_force: std::env::var_os("CLICOLOR_FORCE"),
            term: std::env::var_os("TERM"),
        }
    }

    /// Whether the terminal understands escape sequences; assumed not if TERM is missing.
    fn allow_escapes(&self) -> bool {
        self.term.as_ref().is_some_and(|term| !term.is_empty() && term != "dumb")
    }

    /// Whether to use colours; `None` leaves it to whether the output is a terminal. <https://no-color.org>: any value but
    /// an empty one means no colour. <https://bixense.com/clicolors>: CLICOLOR_FORCE asks for colours everywhere, CLICOLOR=0
    /// for none.
    fn colours(&self) -> Option<bool> {
        let given = |value: &Option<OsString>| value.as_ref().is_some_and(|value| !value.is_empty());
        let forced = given(&self.clicolor_force) && self.clicolor_force.as_ref().is_some_and(|v| v != "0");
        let refused = self.clicolor.as_ref().is_some_and(|value| value == "0");
        match (given(&self.no_color), forced) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) if refused || !self.allow_escapes() => Some(false),
            (false, false) => None,
        }
    }
}

/// Whether lines on standard error can be redrawn, as bars need.
pub(crate) fn can_redraw() -> bool {
    io::stderr().is_terminal() && Wishes::of_environment().allow_escapes()
}

/// Whether to use colours on standard error, or else on standard output.
pub(crate) fn has_colours(on_stderr: bool) -> bool {
    let is_terminal = || if on_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    Wishes::of_environment().colours().unwrap_or_else(is_terminal)
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
    fn the_environment_decides_about_colours() {
        let wishes =
            |no_color: Option<&str>, clicolor: Option<&str>, force: Option<&str>, term: Option<&str>| {
                let [no_color, clicolor, clicolor_force, term] =
                    [no_color, clicolor, force, term].map(|value| value.map(OsString::from));
                let wishes = Wishes { no_color, clicolor, clicolor_force, term };
                (wishes.allow_escapes(), wishes.colours())
            };
        let (xterm, yes) = (Some("xterm"), Some("1"));
        assert_eq!(wishes(None, None, None, xterm), (true, None));
        assert_eq!(wishes(Some(""), yes, Some(""), xterm), (true, None));
        assert_eq!(wishes(None, Some("0"), Some("0"), xterm), (true, Some(false)));
        for value in ["1", "0", "false"] {
            assert_eq!(wishes(Some(value), None, None, xterm), (true, Some(false)));
            assert_eq!(wishes(Some(value), None, yes, xterm), (true, Some(false)));
        }
        for term in [None, Some(""), Some("dumb")] {
            assert_eq!(wishes(None, None, None, term), (false, Some(false)));
            // Colours that the user forces are no reason for a bar.
            assert_eq!(wishes(None, Some("0"), yes, term), (false, Some(true)));
        }
    }
}
