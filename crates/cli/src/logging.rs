//! The log goes to standard error, so that standard output has only results.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::{FormatFields, format};

use crate::diagnostics;
use crate::flags::Global;
use crate::progress;

/// Starts the log: warnings and information by default, debug with `-v`, everything with `-vv`, errors only with
/// `--quiet`. The variable `DDPM_LOG` takes filters such as `trainer=debug`.
pub(crate) fn start(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let filter =
        EnvFilter::builder().with_default_directive(level.into()).with_env_var("DDPM_LOG").from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(progress::log_writer)
        .with_ansi(diagnostics::has_colours(true))
        .with_target(global.verbose > 0)
        .without_time()
        .fmt_fields(printable_fields())
        .finish();
    // A second call would be a bug in this program; there is only one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Formats an event as one line without control characters: messages quote file names and file contents.
fn printable_fields() -> impl for<'a> FormatFields<'a> + 'static {
    let write = |out: &mut format::Writer<'_>, field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
        let text = format!("{value:?}");
        let text = files::printable_line(&text);
        if field.name() == "message" { write!(out, "{text}") } else { write!(out, "{}={text}", field.name()) }
    };
    format::debug_fn(write).delimited(" ")
}
