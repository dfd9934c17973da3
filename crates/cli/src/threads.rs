//! The number of compute threads: implausible numbers are refused before any thread starts. Thousands of threads exhaust
//! the machine's memory and process ids, and end the program without a message.

use crate::failure::bail_usage;

/// A number of threads that is always allowed, and one that is never exceeded.
const ALWAYS: usize = 16;
const NEVER_ABOVE: usize = 1024;
/// Threads per core: many processors run two per core; more would only wait for each other.
const PER_CORE: usize = 4;
/// Variables that set the threads of OpenMP, MKL and rayon.
const OF_TENSORS: [&str; 2] = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"];
const OF_IMAGES: [&str; 2] = ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"];

/// Refuses `--threads`, or the environment variables it overrides, if they exceed the limit of 4 per core.
pub(crate) fn check(flag: Option<usize>) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    check_of(flag, cores, |name| std::env::var(name).ok())
}

fn check_of(
    flag: Option<usize>,
    cores: usize,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<()> {
    let (limit, cores) = (limit(cores), files::counted(cores, "core"));
    match flag {
        Some(0) => bail_usage!("--threads 0: expected at least 1; leave it out for one thread per core"),
        Some(threads) if threads > limit => bail_usage!(
            "--threads {threads}: expected at most {limit} on this machine, which has {cores}; leave it out for one \
             thread per core"
        ),
        _ => {}
    }
    // The flag overrides OpenMP's variables.
    let tensors = if flag.is_none() { &OF_TENSORS[..] } else { &[] };
    for name in tensors.iter().chain(&OF_IMAGES) {
        if let Some(threads) = variable(name).and_then(|value| leading_number(&value))
            && threads > limit as u128
        {
            bail_usage!(
                "environment variable {name}: expected at most {limit} threads on this machine, which has {cores}, \
                 found {threads}; unset it for one thread per core"
            );
        }
    }
    Ok(())
}

fn limit(cores: usize) -> usize {
    cores.saturating_mul(PER_CORE).clamp(ALWAYS, NEVER_ABOVE)
}

/// OpenMP accepts a list with a number for each level of nesting. The libraries ignore what is not a number.
fn leading_number(value: &str) -> Option<u128> {
    value.split(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(flag: Option<usize>, cores: usize, variable: Option<(&str, &str)>) -> Option<String> {
        let value = |name: &str| variable.filter(|v| v.0 == name).map(|v| v.1.to_owned());
        check_of(flag, cores, value).err().map(|error| error.to_string())
    }

    #[test]
    fn threads_are_bounded_by_the_cores() {
        for (threads, cores) in [(1, 1), (16, 1), (16, 2), (32, 8), (1024, 256), (1024, 512)] {
            assert_eq!(said(Some(threads), cores, None), None, "{threads} on {cores}");
        }
        for (threads, cores) in [(17, 1), (33, 8), (4096, 8), (1025, 512), (usize::MAX, 64)] {
            let error = said(Some(threads), cores, None).unwrap();
            assert!(error.contains(&format!("--threads {threads}")), "{error}");
            let cores = files::counted(cores, "core");
            assert!(error.contains(&format!("which has {cores}; leave it out")), "{error}");
        }
        assert!(said(Some(0), 8, None).unwrap().contains("at least 1"));
    }

    #[test]
    fn variables_are_bounded_where_they_count() {
        for name in OF_TENSORS.iter().chain(&OF_IMAGES) {
            for fine in ["8", "32", "4,2", "0", "", "many", "-1"] {
                assert_eq!(said(None, 8, Some((name, fine))), None, "{name}={fine}");
            }
            for wrong in ["33", "100000", "4096,1", "99999999999999999999999"] {
                let error = said(None, 8, Some((name, wrong))).unwrap();
                assert!(error.contains(name) && error.contains("unset it"), "{error}");
            }
        }
        assert_eq!(said(Some(2), 8, Some(("OMP_NUM_THREADS", "4096"))), None);
        assert!(said(Some(2), 8, Some(("RAYON_NUM_THREADS", "4096"))).is_some());
    }
}
