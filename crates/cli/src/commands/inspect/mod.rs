//! `ddpm inspect`: the parts of a run, as a table for people and as arrays or JSON for programs.

mod checkpoint;
pub(in crate::commands) mod data;
mod embedding;
mod model;
pub(in crate::commands) mod network;
mod rate;
mod schedule;
pub(in crate::commands) mod table;
mod work;

use clap::Subcommand;

use crate::flags::Global;

#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    Schedule(schedule::InspectSchedule),
    Embedding(embedding::InspectEmbedding),
    Model(model::InspectModel),
    Work(work::InspectWork),
    Checkpoint(checkpoint::InspectCheckpoint),
    Data(data::InspectData),
}

impl Inspect {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Schedule(args) => args.run(global),
            Self::Embedding(args) => args.run(global),
            Self::Model(args) => args.run(global),
            Self::Work(args) => args.run(global),
            Self::Checkpoint(args) => args.run(global),
            Self::Data(args) => args.run(global),
        }
    }
}
