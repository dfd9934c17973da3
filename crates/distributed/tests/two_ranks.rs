//! Ranks on loopback: the test starts itself again with the variables of a launcher.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use distributed::tch::{Device, Kind, Tensor};
use distributed::{DistributedError, Place, Server, Transport, World};

/// Set in the processes that a test has started.
const RANK: &str = "RANK";

/// Starts the test `name` again as rank `rank` of `size`.
fn start(name: &str, server: &Server, (rank, size): (usize, usize), seconds: u64) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).stdout(Stdio::null());
    for (variable, value) in [
        (RANK, rank.to_string()),
        ("WORLD_SIZE", size.to_string()),
        ("MASTER_ADDR", Server::HOST.to_owned()),
        ("MASTER_PORT", server.port().to_string()),
        ("TORCHELASTIC_USE_AGENT_STORE", "True".to_owned()),
        ("DDPM_RANK_TIMEOUT", seconds.to_string()),
    ] {
        command.env(variable, value);
    }
    command.spawn().unwrap()
}

/// The world of a process that a test has started; `None` in the test itself.
fn started() -> Option<World> {
    env::var_os(RANK).map(|_| World::from_env().unwrap())
}

#[test]
fn ranks_compute_together() {
    const NAME: &str = "ranks_compute_together";
    let Some(world) = started() else {
        let server = Server::new().unwrap();
        let ranks: Vec<_> = (0..3).map(|rank| start(NAME, &server, (rank, 3), 120)).collect();
        for mut rank in ranks {
            assert!(rank.wait().unwrap().success());
        }
        return;
    };
    let rank = world.rank();
    assert_eq!((world.size(), world.is_first(), world.is_alone()), (3, rank == 0, false));
    let own = |rank: usize| Tensor::from_slice(&[1.5_f32, -2.0, 0.25, 8.0]) * (rank as f64 + 1.0);
    let mut x = own(rank);
    world.sum("a test", &mut x).unwrap();
    assert_eq!(x, own(0) * 6.0);
    // Two sums that are begun before the first has ended.
    let [first, second] = [own(rank), own(rank) * 10.0].map(|x| world.begin_sum("a test", x).unwrap());
    assert_eq!(first.finish().unwrap(), own(0) * 6.0);
    assert_eq!(second.finish().unwrap(), own(0) * 60.0);
    // A parameter that is not contiguous and requires a gradient.
    let mut x = own(rank).view([2, 2]).tr().set_requires_grad(true);
    for from in [0, 2] {
        world.broadcast("a test", from, &mut x).unwrap();
        assert_eq!(x.detach(), own(from).view([2, 2]).tr());
        x.detach().copy_(&own(rank).view([2, 2]).tr());
    }
    let all = world.gather("a test", &vec![7; rank]).unwrap();
    assert_eq!(all, [vec![], vec![7], vec![7, 7]]);
    world.wait("a test").unwrap();
    let mut wrong = Tensor::zeros([2], (Kind::Bool, Device::Cpu));
    assert!(matches!(world.sum("a test", &mut wrong), Err(DistributedError::Tensor(_))));
    assert!(matches!(world.broadcast("a test", 3, &mut wrong), Err(DistributedError::Tensor(_))));
}

/// Rank 0 survives and must say what it was waiting for; rank 1 is killed.
#[test]
fn a_killed_rank_ends_the_other_with_a_clear_error() {
    const NAME: &str = "a_killed_rank_ends_the_other_with_a_clear_error";
    let Some(world) = started() else {
        let server = Server::new().unwrap();
        let mut survivor = start(NAME, &server, (0, 2), 120);
        let mut killed = start(NAME, &server, (1, 2), 120);
        assert!(!killed.wait().unwrap().success());
        let begun = Instant::now();
        assert!(survivor.wait().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(100));
        return;
    };
    world.wait("the start").unwrap();
    if !world.is_first() {
        // As a kill from outside: nothing is closed in order.
        std::process::abort();
    }
    let mut x = Tensor::from_slice(&[1.0_f32]);
    let error = world.sum("the gradients", &mut x).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DistributedError::Lost { rank: 0, size: 2, .. }), "{text}");
    assert!(text.starts_with("rank 0 of 2 lost another rank while it waited for the gradients ("), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_stuck_rank_ends_the_other_after_the_timeout() {
    const NAME: &str = "a_stuck_rank_ends_the_other_after_the_timeout";
    let Some(world) = started() else {
        let server = Server::new().unwrap();
        // The ranks must also meet in this time, on a busy machine.
        let mut survivor = start(NAME, &server, (0, 2), 20);
        let mut stuck = start(NAME, &server, (1, 2), 20);
        assert!(survivor.wait().unwrap().success());
        stuck.kill().unwrap();
        stuck.wait().unwrap();
        return;
    };
    world.wait("the start").unwrap();
    if !world.is_first() {
        std::thread::sleep(Duration::from_secs(3600));
    }
    let begun = Instant::now();
    let mut x = Tensor::from_slice(&[1.0_f32]);
    assert!(matches!(world.sum("the gradients", &mut x), Err(DistributedError::Lost { .. })));
    assert!((10..60).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn a_rank_that_never_comes_is_an_error_of_the_meeting() {
    const NAME: &str = "a_rank_that_never_comes_is_an_error_of_the_meeting";
    if env::var_os(RANK).is_some() {
        let error = World::from_env().err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, DistributedError::Meeting { rank: 0, size: 2, seconds: 1, .. }), "{text}");
        assert!(text.contains("check that all ranks were started"), "{text}");
        return;
    }
    let server = Server::new().unwrap();
    assert!(start(NAME, &server, (0, 2), 1).wait().unwrap().success());
}

#[test]
fn a_network_interface_that_does_not_exist_is_named() {
    let server = Server::new().unwrap();
    let place = Place {
        rank: 0,
        size: 2,
        local_rank: 0,
        local_size: 2,
        host: Server::HOST.to_owned(),
        port: server.port(),
        is_served: true,
        attempt: 0,
        timeout: Duration::from_secs(5),
        interface: Some("none0".to_owned()),
        transport: Transport::Gloo,
    };
    let error = World::join(place).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, DistributedError::Value { name: "GLOO_SOCKET_IFNAME", .. }), "{text}");
    assert!(
        text.contains("GLOO_SOCKET_IFNAME=none0: expected a network interface of this machine"),
        "{text}"
    );
}

#[test]
fn alone_nothing_happens() {
    if env::var_os(RANK).is_some() {
        return;
    }
    let world = World::alone();
    let mut x = Tensor::from_slice(&[3.0_f32]);
    world.sum("a test", &mut x).unwrap();
    world.broadcast("a test", 0, &mut x).unwrap();
    world.wait("a test").unwrap();
    let x = world.begin_sum("a test", x).unwrap().finish().unwrap();
    assert_eq!(
        (x, world.gather("a test", b"x").unwrap()),
        (Tensor::from_slice(&[3.0_f32]), vec![b"x".to_vec()])
    );
}
