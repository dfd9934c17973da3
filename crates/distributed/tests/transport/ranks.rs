//! Two ranks, as threads.

use std::thread;
use std::time::Duration;

use distributed::{Place, Server, Transport, World};

/// For what ends by itself.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs `work` on two ranks that have met, with these transports, and returns the results by rank.
pub(crate) fn on_two<R: Send>(
    transports: [Transport; 2],
    timeout: Duration,
    work: impl Fn(World) -> R + Sync,
) -> [R; 2] {
    let server = Server::new().unwrap();
    let port = server.port();
    let place = |rank: usize| Place {
        rank,
        size: 2,
        local_rank: rank,
        local_size: 2,
        host: Server::HOST.to_owned(),
        port,
        is_served: true,
        attempt: 0,
        timeout,
        interface: None,
        transport: transports[rank],
    };
    thread::scope(|scope| {
        let (work, place) = (&work, &place);
        let threads = [0, 1].map(|rank| scope.spawn(move || work(World::join(place(rank)).unwrap())));
        threads.map(|thread| thread.join().unwrap())
    })
}
