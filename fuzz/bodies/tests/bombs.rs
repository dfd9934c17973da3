//! Every bomb in a separate process: no refusal takes much memory. The example measures time, on a quiet machine; here
//! an endless bomb fails by never ending.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::env;
use std::path::Path;
use std::process::Command;

use fuzz_bodies::bombs::{self, IDLE, MAX_MIB};

const NAME: &str = "DDPM_TEST_BOMB";
const PATH: &str = "DDPM_TEST_BOMB_PATH";

fn child(name: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(NAME, name).env(PATH, path);
    command
}

#[test]
#[ignore = "started by every_bomb_is_cheap"]
#[allow(clippy::print_stdout, reason = "it answers on standard output")]
fn the_child() {
    let (Some(name), Some(path)) = (env::var_os(NAME), env::var_os(PATH)) else { return };
    println!("{}", bombs::serve(&name.to_string_lossy(), Path::new(&path)).unwrap());
}

#[test]
fn every_bomb_is_cheap() {
    let folder = tempfile::tempdir().unwrap();
    let idle = bombs::measure(&mut child(IDLE, folder.path())).unwrap();
    for bomb in bombs::all() {
        let path = folder.path().join(bomb.name);
        (bomb.plant)(&path).unwrap();
        let cost = bombs::measure(&mut child(bomb.name, &path));
        let cost = cost.unwrap_or_else(|error| panic!("{}: {error}", bomb.name));
        assert!(cost.error.is_some(), "{} is accepted", bomb.name);
        if let (Some(peak), Some(idle)) = (cost.peak_mib, idle.peak_mib) {
            assert!(peak - idle < MAX_MIB, "{} takes {:.0} MiB", bomb.name, peak - idle);
        }
    }
}
