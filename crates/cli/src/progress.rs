//! Progress bars on a terminal that can redraw them, plain lines elsewhere, nothing with `--quiet`.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::info;

use crate::diagnostics::{self, Diagnostics};
use crate::flags::Global;
use crate::rank_log;

/// All bars of the process, so that log lines can go above them.
fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(|| {
        MultiProgress::with_draw_target(match diagnostics::can_redraw() {
            true => ProgressDrawTarget::term_like(Box::new(Diagnostics)),
            false => ProgressDrawTarget::hidden(),
        })
    })
}

/// Interval of the progress lines that replace a bar.
const EVERY: Duration = Duration::from_secs(30);

/// A bar over `length` steps with rate and remaining time. Without a terminal the bar is hidden, and a line every half minute
/// shows the progress. `--quiet` shows neither.
pub(crate) fn bar(global: &Global, length: u64, what: &str) -> ProgressBar {
    if !shows_bars(global) {
        let bar = ProgressBar::hidden();
        bar.set_length(length);
        if !global.quiet {
            tell(&bar, what);
        }
        return bar;
    }
    let template = "{prefix} {wide_bar} {pos}/{len} [{elapsed}<{eta}, {per_sec}] {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars().add(ProgressBar::new(length).with_style(style).with_prefix(what.to_owned()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Logs the progress of a hidden bar until it is dropped.
fn tell(bar: &ProgressBar, what: &str) {
    let (bar, what) = (bar.downgrade(), what.to_owned());
    let _ = thread::spawn(move || {
        loop {
            thread::sleep(EVERY);
            let Some(bar) = bar.upgrade().filter(|bar| !bar.is_finished()) else { return };
            info!("{what}: {} of {}", bar.position(), bar.length().unwrap_or(0));
        }
    });
}

/// Whether bars are drawn. If not, the caller prints lines.
pub(crate) fn shows_bars(global: &Global) -> bool {
    !global.quiet && !global.json && diagnostics::can_redraw()
}

/// A writer to standard error for the log, above the bars; or to the log of a rank.
pub(crate) fn log_writer() -> impl Write {
    LogWriter
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if rank_log::write(bytes) {
            return Ok(bytes.len());
        }
        bars().suspend(|| Diagnostics.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Diagnostics.flush()
    }
}
