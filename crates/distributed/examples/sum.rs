//! The mean over all ranks of a number that each has: `cargo run -p distributed --example sum`. Without a launcher there is
//! one rank; with `torchrun --no-python --nproc-per-node 2 target/debug/examples/sum` there are two.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use distributed::tch::Tensor;
use distributed::{DistributedError, World};

fn main() -> Result<(), DistributedError> {
    let world = World::from_env()?;
    let mut loss = Tensor::from_slice(&[1.5 + world.rank() as f32]);
    world.sum("the losses", &mut loss)?;
    // What each rank has to say, in the order of the ranks.
    let names = world.gather("the names", format!("rank {}", world.rank()).as_bytes())?;
    if world.is_first() {
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
        let mean = loss.double_value(&[0]) / world.size() as f64;
        println!("mean loss {mean} of {}", names.join(", "));
    }
    Ok(())
}
