//! Wrong flags, variables and data.

use anyhow::ensure;
use tests::{Place, Running};

use super::{PATIENCE, TRAIN, launch};

#[test]
fn wrong_flags_and_data_end_all_ranks_at_once() -> anyhow::Result<()> {
    let place = Place::new()?;
    let refused = |flags: &str, command: &str, code: i32, words: &str| -> anyhow::Result<()> {
        let output = launch(&place, flags, command)?.expect_code(code);
        ensure!(output.errors().len() == 1 && output.errors()[0].contains(words), "{}", output.stderr);
        ensure!(!output.stderr.contains("again"), "{}", output.stderr);
        Ok(())
    };
    refused(
        "--nproc 3 --restarts 2",
        &format!("{TRAIN} --run new"),
        2,
        "expected a multiple of the number of ranks",
    )?;
    refused("--nproc 2 --restarts 2", "train --data nowhere --run new", 2, "nowhere")?;
    place.write("broken/a.png", "not an image")?;
    refused("--nproc 2 --restarts 2", "train --data broken --set data.size=16 --run new", 4, "a.png")?;
    refused("--nproc 2", &format!("{TRAIN} --batch auto --run new"), 2, "--batch auto")?;
    refused("--nproc 0", "train", 2, "--nproc 0")?;
    refused("--nproc 2 --timeout 0", "train", 2, "--timeout 0")?;
    refused("--nproc 2 --reduce f16", "train", 2, "--reduce f16")?;
    refused("--nproc 2 --transport mpi", "train", 2, "--transport mpi: expected auto, gloo or nccl")?;
    let cannot = "rank 0 cannot use NCCL (it computes on the CPU)";
    refused("--nproc 2 --transport nccl --restarts 2", &format!("{TRAIN} --run new"), 2, cannot)?;
    refused("--nproc 2", "doctor", 2, "expected train, distill, sample or bench")?;
    // Without a flag the ranks read the variable.
    for (name, value, words) in [
        ("DDPM_REDUCE", "f16", "DDPM_REDUCE=f16: expected f32 or bf16"),
        ("DDPM_TRANSPORT", "mpi", "DDPM_TRANSPORT=mpi: expected auto, gloo or nccl"),
        ("DDPM_RANK_TIMEOUT", "0", "DDPM_RANK_TIMEOUT=0: expected"),
    ] {
        let mut command = place.command(&format!("launch --nproc 2 -- {TRAIN} --run new"))?;
        let output =
            Running::start("launch", command.env(name, value))?.wait_within(PATIENCE)?.expect_code(2);
        ensure!(output.errors().len() == 1 && output.errors()[0].contains(words), "{}", output.stderr);
    }
    ensure!(place.names("new").is_empty(), "{:?}", place.names("new"));

    // The variables of another launcher.
    for (name, value, words) in [
        ("WORLD_SIZE", "2", "RANK is not set"),
        ("RANK", "0", "WORLD_SIZE is not set"),
        ("SLURM_PROCID", "x", "SLURM_PROCID"),
        ("DDPM_REDUCE", "f16", "DDPM_REDUCE=f16: expected f32 or bf16"),
        ("DDPM_SHARD_STATE", "yes", "DDPM_SHARD_STATE=yes: expected 0 or 1"),
    ] {
        let mut command = place.command(&format!("{TRAIN} --run new"))?;
        command.env(name, value).env("SLURM_NTASKS", "2");
        let output = Running::start("train", &mut command)?.wait_within(PATIENCE)?.expect_code(2);
        ensure!(output.errors()[0].contains(words), "{}", output.stderr);
    }
    Ok(())
}
