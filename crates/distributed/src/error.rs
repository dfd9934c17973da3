//! What can go wrong between ranks.

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DistributedError {
    /// A variable that the others call for is missing.
    #[error("environment variable {name} is not set, but {beside} is: {advice}")]
    Missing {
        /// The missing variable.
        name: &'static str,
        /// A variable that is set.
        beside: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A variable has a value out of range.
    #[error("environment variable {name}={}: expected {expected}", got.escape_debug())]
    Value {
        /// The variable.
        name: &'static str,
        /// Its value.
        got: String,
        /// What it may be.
        expected: String,
    },
    /// NCCL was requested, and a rank cannot use it.
    #[error(
        "environment variable {}=nccl: rank {rank} cannot use NCCL ({reason}); use auto or gloo, which sums gradients of GPUs in \
         host memory",
        crate::TRANSPORT
    )]
    NoNccl {
        /// The first rank that cannot.
        rank: usize,
        /// Why, in one line.
        reason: String,
    },
    /// The ranks did not meet.
    #[error(
        "rank {rank} of {size} could not meet the others at {host}:{port} within {seconds} s ({found}); check that all ranks were \
         started, with the same MASTER_ADDR and MASTER_PORT"
    )]
    Meeting {
        /// This rank.
        rank: usize,
        /// Number of ranks.
        size: usize,
        /// Where they were to meet.
        host: String,
        /// The port there.
        port: u16,
        /// Limit of waiting.
        seconds: u64,
        /// libtorch's message, in one line.
        found: String,
    },
    /// Another rank has ended or does not answer.
    #[error(
        "rank {rank} of {size} lost another rank while it waited for {what} ({found}); the first rank that failed says why"
    )]
    Lost {
        /// This rank.
        rank: usize,
        /// Number of ranks.
        size: usize,
        /// What the ranks were doing together.
        what: &'static str,
        /// The message of libtorch or NCCL, in one line.
        found: String,
    },
    /// A store cannot be served.
    #[error("cannot listen on {host} for the ranks: {found}")]
    Server {
        /// The host.
        host: String,
        /// libtorch's message, in one line.
        found: String,
    },
    /// A tensor does not qualify.
    #[error(transparent)]
    Tensor(torch_ext::TorchExtError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}

/// The message of an error without the place in the source that Gloo puts in front, in one line.
pub(crate) fn told(error: &torch_ext::TorchExtError) -> String {
    let text = match error {
        torch_ext::TorchExtError::Torch { text, .. } => text.clone(),
        torch_ext::TorchExtError::Nccl { text, .. } => format!("NCCL: {text}"),
        other => other.to_string(),
    };
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message");
    let place = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    place.filter(|(place, _)| place.contains(':')).map_or(line, |(_, message)| message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_source_are_cut_and_hosts_are_kept() {
        let told =
            |text: &str| told(&torch_ext::TorchExtError::Torch { call: "all_reduce", text: text.to_owned() });
        assert_eq!(
            told("[/a/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:4242"),
            "Connection closed by peer [127.0.0.1]:4242"
        );
        assert_eq!(
            told("\n  wait timeout after 5ms, keys: /a/0\nmore"),
            "wait timeout after 5ms, keys: /a/0"
        );
        assert_eq!([told("[127] x"), told("")], ["[127] x", "no message"]);
        let nccl = torch_ext::TorchExtError::Nccl { call: "wait", text: "timed out after 2 s".to_owned() };
        assert_eq!(super::told(&nccl), "NCCL: timed out after 2 s");
    }
}
