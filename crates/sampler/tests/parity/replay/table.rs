//! The rows, what is wrong with them, and the table as text.

use std::collections::BTreeMap;

/// The largest distance between two samples that counts as rounding, over the norm of the peer's, both L2.
const TOLERANCE: f64 = 1e-5;

/// All runs, in the order of the goldens: by scheduler.
pub(crate) struct Table {
    /// The peer's packages and their versions.
    pub(crate) peer: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
}

/// One run next to the peer's.
#[derive(Debug)]
pub(crate) struct Row {
    /// Scheduler, steps and the arguments that are not the peer's defaults.
    pub(crate) name: String,
    /// Steps from noise to an image.
    pub(crate) steps: usize,
    /// Network calls.
    pub(crate) calls: usize,
    /// Distance between the samples over the norm of the peer's.
    pub(crate) error: f64,
    /// The same between the peer in f32 and in f64: that much of `error` is the peer's own.
    pub(crate) rounding: f64,
    /// Why the samples differ on purpose; `None` where they must not.
    pub(crate) reason: Option<&'static str>,
    pub(crate) way: Way,
}

/// Our intermediate values compared with the peer's.
#[derive(Debug)]
pub(crate) struct Way {
    /// Network calls of the peer.
    pub(crate) calls: usize,
    /// The largest difference in t of a call.
    pub(crate) t: f64,
    /// The largest relative difference of `sigma / alpha`, at calls and at the end, where the peer keeps a list.
    pub(crate) sigma: f64,
    /// The largest relative difference in the norm of the network's input.
    pub(crate) input: f64,
}

impl Table {
    /// How many rows have a fault.
    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.fault().is_some()).count()
    }

    /// Grouped by scheduler: what agrees and the worst of that, what differs and why, and a last line that counts both.
    pub(crate) fn text(&self) -> String {
        let peer: Vec<String> = self.peer.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let (different, same): (Vec<&Row>, Vec<&Row>) =
            self.rows.iter().partition(|row| row.reason.is_some());

        let mut text = format!(
            "Samples of this project beside those of {}, all in f32.\n\
             error: L2 norm of the difference over that of the peer's sample, at most {TOLERANCE:.0e}.\n\
             peer: the same between the peer in f32 and in f64.\n\n{HEAD}",
            peer.join(", ")
        );
        for group in same.chunk_by(|a, b| words(a).0 == words(b).0) {
            text.extend(group.iter().map(|row| line(row)));
            text.push('\n');
        }
        if let Some(worst) = same.iter().max_by(|a, b| a.error.total_cmp(&b.error)) {
            text += &format!("worst: {:.1e}  {}\n\n", worst.error, worst.name);
        }

        text += &format!("Different on purpose: what the peer does and we do not.\n\n{HEAD}");
        for row in &different {
            text += &line(row);
            text += &format!("{:24}{}\n", "", row.reason.unwrap_or_default());
        }

        let failed = self.failed();
        let agree = same.iter().filter(|row| row.fault().is_none()).count();
        text + &format!(
            "\n{agree} agree, {} differ on purpose, {failed} failed\n",
            self.rows.len() - agree - failed
        )
    }
}

impl Row {
    /// Whether the samples are equal up to rounding.
    fn agrees(&self) -> bool {
        self.error <= TOLERANCE
    }

    /// What is wrong with the row, if anything: samples that differ without a reason, or agree in spite of one, or
    /// agree although the steps on the way do not.
    fn fault(&self) -> Option<String> {
        if self.reason.is_some() {
            return self.agrees().then(|| "agrees, but is listed as different on purpose".to_owned());
        }
        let Way { calls, t, sigma, input } = self.way;
        let checks = [
            ("relative error", self.error, TOLERANCE),
            ("difference in the number of calls", self.calls.abs_diff(calls) as f64, 0.0),
            // The peer's fractional times come from a table in f32; whole ones are the same or off by 1.
            ("difference in t", t, 1e-2),
            // 1 - alpha_bar at t = 0 in f32, of which 4 digits are left.
            ("relative difference in sigma", sigma, 5e-4),
            // Within a run, third-order weights lose more to f32 than the sample does.
            ("relative difference in the network's input", input, 5e-5),
        ];
        let (what, found, most) =
            checks.into_iter().find(|(_, found, most)| found.is_nan() || found > most)?;
        Some(format!("{what}: expected at most {most:.0e}, found {found:.1e}"))
    }
}

const HEAD: &str = "scheduler               steps  calls    error     peer  result   configuration\n";

fn line(row: &Row) -> String {
    let (scheduler, arguments) = words(row);
    let Row { steps, calls, error, rounding, .. } = row;
    let (result, fault) = match row.fault() {
        Some(fault) => ("FAILED", format!(" ({fault})")),
        None if row.reason.is_some() => ("differs", String::new()),
        None => ("ok", String::new()),
    };
    format!(
        "{scheduler:22}  {steps:5}  {calls:5}  {error:7.1e}  {rounding:7.1e}  {result:7}  {arguments}{fault}\n"
    )
}

/// The scheduler, and its arguments that are not its defaults; the number of steps between them has its own column.
fn words(row: &Row) -> (&str, &str) {
    let mut words = row.name.splitn(3, ' ');
    let scheduler = words.next().unwrap_or_default();
    (scheduler, words.nth(1).unwrap_or("defaults"))
}
