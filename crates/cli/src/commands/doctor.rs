//! `ddpm doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}
impl Doctor {
    pub(crate) fn run(&self, _global: &crate::args::Global) -> anyhow::Result<()> {
        Ok(())
    }
}
