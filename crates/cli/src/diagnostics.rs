//! Standard error, to which the program says what happens. Nothing said may cost work: where it cannot be written, as on
//! a full disk or into a pipe that nobody reads any more, it is lost and the work goes on.

use std::io::{self, Write};

use indicatif::TermLike;

/// Standard error without errors.
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

/// The same as a terminal for progress bars: indicatif panics where its own cannot be written.
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

/// A terminal takes no number as 1.
fn moved(n: usize, direction: char) -> io::Result<()> {
    if n == 0 { Ok(()) } else { write!(Diagnostics, "\x1b[{n}{direction}") }
}

/// Columns and rows; 80 and 24 where they are not known.
fn size() -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let size = size.map(|size| (size.ws_col, size.ws_row)).filter(|&(columns, rows)| columns > 0 && rows > 0);
    size.unwrap_or((80, 24))
}
