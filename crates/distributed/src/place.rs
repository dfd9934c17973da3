//! The place of this process among the ranks, from the variables of a launcher.

use std::env;
use std::time::Duration;

use crate::error::DistributedError;
use crate::slurm;
use crate::transport::Transport;
use crate::variables::{INTERFACE, TIMEOUT, Variables};

/// More ranks than this are a mistake.
pub(crate) const MOST_RANKS: usize = 65_536;
/// Limit of waiting for the other ranks, in seconds, unless [`TIMEOUT`] says otherwise.
const USUAL_TIMEOUT: u64 = 600;

const ADDRESS_ADVICE: &str =
    "set it to the address of the machine of rank 0, the same for all ranks, or use torchrun or ddpm launch";
const PORT_ADVICE: &str =
    "set it to a free port of the machine of rank 0, the same for all ranks, or use torchrun or ddpm launch";

/// Which of the ranks this process is, and where they meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The number of this rank, from 0.
    pub rank: usize,
    /// Number of ranks, at least 2.
    pub size: usize,
    /// The number of this rank among those of its machine.
    pub local_rank: usize,
    /// Number of ranks on this machine that share its cores; 1 under Slurm, which gives each task its own.
    pub local_size: usize,
    /// Where the ranks meet.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Whether the launcher serves the store there; otherwise rank 0 does.
    pub is_served: bool,
    /// How often the launcher has started the ranks again.
    pub attempt: u32,
    /// Limit of waiting for the others.
    pub timeout: Duration,
    /// The network interface that this rank is reached by, if a certain one.
    pub interface: Option<String>,
    /// How tensors are to travel.
    pub transport: Transport,
}

impl Place {
    /// Reads the variables of torchrun and of `ddpm launch` (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`,
    /// `MASTER_ADDR`, `MASTER_PORT`), or those of Slurm (`SLURM_PROCID`, `SLURM_NTASKS`, `SLURM_LOCALID`). `None` without a
    /// launcher, and if there is only one rank.
    ///
    /// # Errors
    /// [`DistributedError::Missing`] and [`DistributedError::Value`], which name the variable.
    pub fn from_env() -> Result<Option<Self>, DistributedError> {
        Self::read(&Variables(&|name| env::var(name).ok()))
    }

    fn read(variables: &Variables<'_>) -> Result<Option<Self>, DistributedError> {
        let Some((rank, size, local)) = numbers(variables)? else { return Ok(None) };
        if size == 1 {
            return Ok(None);
        }
        let (local_rank, local_size) = local;
        let missing = |name, advice| DistributedError::Missing {
            name,
            beside: if variables.text("WORLD_SIZE").is_some() { "WORLD_SIZE" } else { "SLURM_PROCID" },
            advice,
        };
        let host = variables.text("MASTER_ADDR").ok_or_else(|| missing("MASTER_ADDR", ADDRESS_ADVICE))?;
        let port = variables.number("MASTER_PORT", 1..=u16::MAX)?;
        let port = port.ok_or_else(|| missing("MASTER_PORT", PORT_ADVICE))?;
        let served = variables.text("TORCHELASTIC_USE_AGENT_STORE").map(|value| value.to_lowercase());
        let seconds = variables.number(TIMEOUT, 1..=86_400)?.unwrap_or(USUAL_TIMEOUT);
        Ok(Some(Self {
            rank,
            size,
            local_rank,
            local_size,
            host,
            port,
            is_served: served.is_some_and(|value| ["true", "1"].contains(&&*value)),
            attempt: variables.number("TORCHELASTIC_RESTART_COUNT", 0..=u32::MAX)?.unwrap_or(0),
            timeout: Duration::from_secs(seconds),
            interface: variables.text(INTERFACE),
            transport: Transport::read(variables)?,
        }))
    }
}

/// Rank, size, and the same on this machine.
type Numbers = (usize, usize, (usize, usize));

fn numbers(variables: &Variables<'_>) -> Result<Option<Numbers>, DistributedError> {
    const ADVICE: &str = "set both for every rank, or neither for a single process";
    let set = |name| variables.text(name).is_some();
    match (set("RANK"), set("WORLD_SIZE")) {
        (true, false) => {
            Err(DistributedError::Missing { name: "WORLD_SIZE", beside: "RANK", advice: ADVICE })
        }
        (false, true) => {
            Err(DistributedError::Missing { name: "RANK", beside: "WORLD_SIZE", advice: ADVICE })
        }
        (true, true) => {
            let size = variables.number("WORLD_SIZE", 1..=MOST_RANKS)?.unwrap_or(1);
            let rank = variables.number("RANK", 0..=size - 1)?.unwrap_or(0);
            let local_size = variables.number("LOCAL_WORLD_SIZE", 1..=size)?.unwrap_or(1);
            let local_rank = variables.number("LOCAL_RANK", 0..=size - 1)?.unwrap_or(0);
            Ok(Some((rank, size, (local_rank, local_size))))
        }
        (false, false) => {
            let task = slurm::task(variables)?;
            Ok(task.map(|task| (task.rank, task.size, (task.local_rank, 1))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<Place>, DistributedError> {
        let value = |name: &str| set.iter().rev().find(|(own, _)| *own == name).map(|(_, v)| (*v).to_owned());
        Place::read(&Variables(&value))
    }

    const LAUNCHED: [(&str, &str); 6] = [
        ("RANK", "3"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node-0"),
        ("MASTER_PORT", "29500"),
    ];

    fn launched(more: &[(&'static str, &'static str)]) -> Result<Option<Place>, DistributedError> {
        read(&[&LAUNCHED, more].concat())
    }

    #[test]
    fn torchruns_variables_are_a_place() {
        let place = launched(&[]).unwrap().unwrap();
        assert_eq!((place.rank, place.size, place.local_rank, place.local_size), (3, 4, 1, 2));
        assert_eq!((&*place.host, place.port, place.is_served, place.attempt), ("node-0", 29500, false, 0));
        assert_eq!((place.timeout, place.interface), (Duration::from_secs(600), None));
        assert_eq!(place.transport, Transport::Auto);
        let more = [
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
            ("DDPM_RANK_TIMEOUT", "5"),
            ("GLOO_SOCKET_IFNAME", "eth1"),
            ("DDPM_TRANSPORT", "nccl"),
        ];
        let place = launched(&more).unwrap().unwrap();
        assert_eq!((place.is_served, place.attempt, place.timeout.as_secs()), (true, 2, 5));
        assert_eq!((place.interface.as_deref(), place.transport), (Some("eth1"), Transport::Nccl));
    }

    #[test]
    fn without_a_launcher_there_is_no_place() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[("RANK", ""), ("WORLD_SIZE", " ")]).unwrap(), None);
        assert_eq!(read(&[("RANK", "0"), ("WORLD_SIZE", "1")]).unwrap(), None);
        assert_eq!(read(&[("MASTER_ADDR", "a"), ("LOCAL_RANK", "1")]).unwrap(), None);
    }

    #[test]
    fn srun_is_a_launcher_and_a_batch_script_is_not() {
        let meeting = [("MASTER_ADDR", "node-0"), ("MASTER_PORT", "29500")];
        let task = [("SLURM_PROCID", "5"), ("SLURM_NTASKS", "8"), ("SLURM_LOCALID", "1")];
        let numbers = |set: &[(&str, &str)]| {
            read(set).unwrap().map(|place| (place.rank, place.size, place.local_rank, place.local_size))
        };
        assert_eq!(numbers(&[&meeting[..], &task].concat()), Some((5, 8, 1, 1)));
        let step = [("SLURM_JOB_ID", "7"), ("SLURM_STEP_ID", "0")];
        assert_eq!(numbers(&[&meeting[..], &task, &step].concat()), Some((5, 8, 1, 1)));
        assert_eq!(numbers(&[&meeting[..], &task, &step[..1]].concat()), None);
        let interactive = [("SLURM_STEP_NUM_TASKS", "1")];
        assert_eq!(numbers(&[&meeting[..], &task, &step, &interactive].concat()), None);
        assert_eq!(numbers(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]), None);
        // torchrun inside a Slurm task counts.
        assert_eq!(numbers(&[&task[..], &LAUNCHED].concat()), Some((3, 4, 1, 2)));
        let error = read(&task).unwrap_err().to_string();
        assert!(error.contains("MASTER_ADDR is not set, but SLURM_PROCID is"), "{error}");
    }

    #[test]
    fn errors_name_the_variable() {
        let missing = |name: &str| {
            let set: Vec<_> = LAUNCHED.into_iter().filter(|(own, _)| *own != name).collect();
            read(&set).unwrap_err().to_string()
        };
        for name in ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"] {
            let error = missing(name);
            assert!(error.starts_with(&format!("environment variable {name} is not set")), "{error}");
        }
        assert!(missing("MASTER_ADDR").contains("set it to the address of the machine of rank 0"));
        assert!(missing("MASTER_PORT").contains("set it to a free port of the machine of rank 0"));
        for (name, value) in [
            ("RANK", "4"),
            ("RANK", "-1"),
            ("WORLD_SIZE", "0"),
            ("WORLD_SIZE", "65537"),
            ("WORLD_SIZE", "four"),
            ("LOCAL_RANK", "4"),
            ("LOCAL_WORLD_SIZE", "5"),
            ("MASTER_PORT", "65536"),
            ("MASTER_PORT", "0"),
            ("TORCHELASTIC_RESTART_COUNT", "-1"),
            ("DDPM_RANK_TIMEOUT", "0"),
            ("DDPM_RANK_TIMEOUT", "1e3"),
            ("DDPM_TRANSPORT", "mpi\u{7}"),
        ] {
            let error = launched(&[(name, value)]).unwrap_err().to_string();
            let shown = value.escape_debug();
            assert!(error.starts_with(&format!("environment variable {name}={shown}: expected")), "{error}");
        }
    }
}
