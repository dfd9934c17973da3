//! SIGINT and SIGTERM: while there is something to save, the first asks for a clean end and the second ends at once;
//! before that, the first does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What the handlers set. They only set flags: saving in a handler could meet a half-written checkpoint.
pub(crate) struct Signals {
    /// A stop is asked for.
    pub(crate) stop: Arc<AtomicBool>,
    /// The next signal ends the process.
    at_once: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers. Until [`Signals::hold`] a signal ends the process at once: opening a large folder of
    /// images takes minutes, and there is nothing to save yet.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let signals =
            Self { stop: Arc::default(), at_once: Arc::new(AtomicBool::new(true)), which: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal after `hold` finds the flag unset and sets it, the second finds it set.
            flag::register_conditional_shutdown(signal, exit_code(signal), Arc::clone(&signals.at_once))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&signals.which), signal as usize))
                .and_then(|_| flag::register(signal, Arc::clone(&signals.at_once)))
                .and_then(|_| flag::register(signal, Arc::clone(&signals.stop)))
                .context("cannot install the signal handlers")?;
        }
        Ok(signals)
    }

    /// From here on the first signal asks for a clean end.
    pub(crate) fn hold(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// 130 after SIGINT, 143 after SIGTERM, as a shell would report them.
    pub(crate) fn exit_code(&self) -> u8 {
        exit_code(self.which.load(Ordering::Relaxed) as i32) as u8
    }
}

fn exit_code(signal: i32) -> i32 {
    128 + if signal == SIGTERM { SIGTERM } else { SIGINT }
}
