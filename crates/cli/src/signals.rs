//! SIGINT, SIGTERM and SIGHUP: once there is something to save, the first signal asks for a clean stop and a second
//! SIGINT or SIGTERM ends the process at once. Before that, the first signal does. SIGXFSZ becomes an error of the
//! write that caused it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// What the handlers set. They only set flags, since saving in a handler could hit a half-written checkpoint.
#[derive(Clone)]
pub(crate) struct Signals {
    /// A stop is requested.
    pub(crate) stop: Arc<AtomicBool>,
    /// The next SIGINT or SIGTERM ends the process.
    at_once: Arc<AtomicBool>,
    /// There is nothing to save yet.
    beginning: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers. Until [`Signals::hold`] a signal ends the process at once: opening a large folder of
    /// images takes minutes, and there is nothing to save yet.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let signals = Self::without_handlers();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal after `hold` finds the flag unset and sets it, the second finds it
            // set.
            signals
                .take(signal, &signals.at_once)
                .and_then(|()| flag::register(signal, Arc::clone(&signals.at_once)).map(drop))
                .context("cannot install the signal handlers")?;
        }
        // A closing terminal sends SIGHUP twice, once from the kernel and once from the shell, so the second must not
        // end the process.
        if may_take_hangup() {
            signals.take(SIGHUP, &signals.beginning).context("cannot install the signal handlers")?;
        }
        Ok(signals)
    }

    /// No signal reaches these. Handlers belong to the whole process, so a test that shares it with others uses these.
    pub(crate) fn without_handlers() -> Self {
        Self {
            stop: Arc::default(),
            at_once: Arc::new(AtomicBool::new(true)),
            beginning: Arc::new(AtomicBool::new(true)),
            which: Arc::default(),
        }
    }

    /// A signal ends the process if `at_once` is set, and asks for a stop otherwise.
    fn take(&self, signal: i32, at_once: &Arc<AtomicBool>) -> std::io::Result<()> {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(at_once))?;
        flag::register_usize(signal, Arc::clone(&self.which), signal as usize)?;
        flag::register(signal, Arc::clone(&self.stop)).map(drop)
    }

    /// From here on the first signal asks for a clean stop.
    pub(crate) fn hold(&self) {
        self.beginning.store(false, Ordering::SeqCst);
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// From here on a signal ends the process at once, as before [`Signals::hold`].
    fn release(&self) {
        self.beginning.store(true, Ordering::SeqCst);
        self.at_once.store(true, Ordering::SeqCst);
    }

    /// The signal that asked for a stop, if one did.
    pub(crate) fn caught(&self) -> Option<i32> {
        let which = self.which.load(Ordering::Relaxed);
        i32::try_from(which).ok().filter(|&signal| signal != 0)
    }

    /// The number of the signal that asked for a stop, for the other ranks; 0 if none did.
    pub(crate) fn number(&self) -> u8 {
        self.caught().and_then(|signal| u8::try_from(signal).ok()).unwrap_or(0)
    }

    /// Replaces the signal by the one on which all ranks agreed, so that all end with its exit code.
    pub(crate) fn adopt(&self, signal: u8) {
        self.which.store(signal.into(), Ordering::Relaxed);
    }

    /// The exit code as a shell would report it: 129 after SIGHUP, 130 after SIGINT, 143 after SIGTERM.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.which.load(Ordering::Relaxed) {
            0 => 128 + SIGINT as u8,
            signal => 128 + signal as u8,
        }
    }
}

/// Writes results to the end. They take moments, and half of them would be of no use, so the first signal changes nothing. A
/// second SIGINT or SIGTERM ends the process at once, and so does any signal afterwards. For commands that install no
/// handlers of their own.
pub(crate) fn undisturbed<T>(write: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    // One set of handlers for all calls: those of an earlier call would end the process during this one.
    static SIGNALS: Mutex<Option<Signals>> = Mutex::new(None);
    let signals = {
        let mut installed = SIGNALS.lock().unwrap_or_else(PoisonError::into_inner);
        match installed.as_ref() {
            Some(signals) => signals.clone(),
            None => installed.insert(Signals::install()?).clone(),
        }
    };
    signals.hold();
    let written = write();
    signals.release();
    written
}

/// Makes a write beyond the file size limit (`ulimit -f`) fail as on a full disk. By default the signal would end the
/// process.
pub(crate) fn survive_large_files() {
    // With any handler the write returns an error. If no handler can be installed, nothing changes.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// Whether a hangup would end this process. `nohup` makes it ignored, which must stay so. If that is unknown, as without
/// /proc, it is left alone for the same reason.
fn may_take_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    status.and_then(|status| is_ignored(&status, SIGHUP)) == Some(false)
}

/// Reads whether a signal is ignored from `/proc/self/status`: the mask has one bit per signal, with signal 1 the
/// lowest.
fn is_ignored(status: &str, signal: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u128::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_does_not_stop_what_is_being_written() {
        for _ in 0..2 {
            let written = undisturbed(|| {
                signal_hook::low_level::raise(SIGTERM)?;
                Ok("all of it")
            });
            assert_eq!(written.unwrap(), "all of it");
        }
        let failed = undisturbed(|| -> anyhow::Result<()> { anyhow::bail!("disk full") });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
    }

    #[test]
    fn the_exit_code_is_that_of_the_signal_of_all_ranks() {
        let signals = Signals::without_handlers();
        assert_eq!((signals.number(), signals.exit_code()), (0, 130));
        for (signal, code) in [(SIGHUP, 129), (SIGINT, 130), (SIGTERM, 143)] {
            signals.adopt(signal as u8);
            assert_eq!((signals.number(), signals.exit_code()), (signal as u8, code));
        }
    }

    #[test]
    fn ignored_signals_are_recognised() {
        let status =
            "Name:\tddpm\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000001001001\nSigCgt:\t0000000000000000\n";
        assert_eq!([1, 13, 25].map(|signal| is_ignored(status, signal)), [Some(true); 3]);
        assert_eq!([2, 12, 15].map(|signal| is_ignored(status, signal)), [Some(false); 3]);
        assert_eq!(is_ignored("Name:\tddpm\n", 1), None);
        assert_eq!(is_ignored("SigIgn:\tmany\n", 1), None);
    }
}
