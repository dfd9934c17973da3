//! Log lines to standard error, so that standard output carries results only.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::flags::Global;
use crate::progress;

/// Starts the log: warnings and information; `-v` debug, `-vv` everything; `--quiet` errors. The variable
/// `DDPM_LOG` takes filters such as `trainer=debug`.
pub(crate) fn start(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let filter =
        EnvFilter::builder().with_default_directive(level.into()).with_env_var("DDPM_LOG").from_env_lossy();
    let subscriber = fmt()
        .with_env_filter(filter)
        .with_writer(progress::log_writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(global.verbose > 0)
        .without_time()
        .finish();
    // A second call would be a mistake in this program; there is one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
