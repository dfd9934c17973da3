//! Measures the time and peak memory of one bomb in a separate process.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::all;

/// Not a bomb: the baseline cost of a process that does nothing.
pub const IDLE: &str = "idle";
/// Marks the child's line, in case something else prints too.
const MARK: &str = "bomb-cost";

/// What a bomb cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// The error, or `None` when the file was accepted.
    pub error: Option<String>,
    /// Seconds until the answer, without process start.
    pub seconds: f64,
    /// Peak resident memory of the process in MiB; `None` where the system does not report it.
    pub peak_mib: Option<f64>,
}

/// Runs in the child: sets a bomb off and returns the line for [`measure`], or `None` for an unknown name.
#[must_use]
pub fn serve(name: &str, folder: &Path) -> Option<String> {
    let begun = Instant::now();
    let result = if name == IDLE {
        Ok(())
    } else {
        let bomb = all().into_iter().find(|bomb| bomb.name == name)?;
        (bomb.set_off)(folder)
    };
    let seconds = begun.elapsed().as_secs_f64();
    let peak = peak_mib().map_or("-".to_owned(), |mib| mib.to_string());
    // Some errors quote the refused text.
    let error: String =
        result.err().unwrap_or_default().replace(['\n', '\t'], " ").chars().take(400).collect();
    Some(format!("{MARK}\t{seconds}\t{peak}\t{error}\n"))
}

/// Starts a child, which calls [`serve`], and parses its answer.
///
/// # Errors
/// When the child cannot be started, or dies, with its status and the last of its output.
pub fn measure(child: &mut Command) -> io::Result<Cost> {
    let output = child.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let cost = text.lines().find_map(parse);
    cost.filter(|_| output.status.success()).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("the process ended with {}: {}", output.status, said.trim()))
    })
}

fn parse(line: &str) -> Option<Cost> {
    // A test harness may have printed before it on the same line.
    let mut fields = line[line.find(MARK)?..].splitn(4, '\t').skip(1);
    let seconds = fields.next()?.parse().ok()?;
    let peak_mib = fields.next()?.parse().ok();
    let error = fields.next().filter(|error| !error.is_empty()).map(str::to_owned);
    Some(Cost { error, seconds, peak_mib })
}

/// Peak resident memory of this process so far, as Linux reports it.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
