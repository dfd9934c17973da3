//! Progress bars on a terminal that can redraw them, plain lines elsewhere, nothing with `--quiet`.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
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
    let write = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let text = times(state.elapsed().as_secs_f64(), state.pos(), state.len().unwrap_or(0));
        // A bar has nobody to report an error to.
        let _ = out.write_str(&text);
    };
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} [{times}] {msg}");
    let style = style.map(|style| style.with_key("times", write));
    drawn(ProgressBar::new(length).with_prefix(what.to_owned()), style)
}

/// A bar over `length` steps whose caller writes all the rest as its message. Hidden where no bars are shown.
pub(crate) fn bare_bar(global: &Global, length: u64) -> ProgressBar {
    match shows_bars(global) {
        true => {
            drawn(ProgressBar::new(length), ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}"))
        }
        false => ProgressBar::hidden(),
    }
}

/// Draws a bar, and redraws it while nothing advances it.
fn drawn<E>(bar: ProgressBar, style: Result<ProgressStyle, E>) -> ProgressBar {
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars().add(bar.with_style(style));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// The time spent, and once there is a rate, the time left and the rate.
fn times(seconds: f64, done: u64, all: u64) -> String {
    let spent = duration(seconds);
    if done == 0 || seconds <= 0.0 {
        return spent;
    }
    let each = seconds / done as f64;
    let left = duration(each * all.saturating_sub(done) as f64);
    let rate = if each < 1.0 { format!("{:.1}/s", 1.0 / each) } else { format!("{each:.1} s each") };
    format!("{spent}, {left} left, {rate}")
}

/// A time span in two units at most: `7s`, `3m 05s`, `1h 02m` or `20d 4h`.
pub(crate) fn duration(seconds: f64) -> String {
    const DAYS: u64 = 1000;
    // NaN becomes 0.
    let seconds = seconds.round() as u64;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s:02}s"),
        (0, h, m, _) => format!("{h}h {m:02}m"),
        (d, h, ..) if d < DAYS => format!("{d}d {h}h"),
        _ => format!("over {DAYS} days"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (f64::NAN, "0s"),
            (7.2, "7s"),
            (59.4, "59s"),
            (59.6, "1m 00s"),
            (185.0, "3m 05s"),
            (3725.0, "1h 02m"),
            (86_399.0, "23h 59m"),
            (20.0 * 86_400.0 + 4.2 * 3600.0, "20d 4h"),
            (f64::INFINITY, "over 1000 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn the_time_left_is_known_after_the_first_step() {
        assert_eq!(times(12.0, 0, 100), "12s");
        assert_eq!(times(0.0, 0, 0), "0s");
        assert_eq!(times(10.0, 40, 100), "10s, 15s left, 4.0/s");
        assert_eq!(times(60.0, 40, 100), "1m 00s, 1m 30s left, 1.5 s each");
        assert_eq!(times(3600.0, 1, 1000), "1h 00m, 41d 15h left, 3600.0 s each");
        assert_eq!(times(10.0, 100, 100), "10s, 0s left, 10.0/s");
    }
}
