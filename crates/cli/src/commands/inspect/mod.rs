//! `ddpm inspect`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Inspect {
    /// x
    X,
}
impl Inspect {
    pub(crate) fn run(&self, _global: &crate::args::Global) -> anyhow::Result<()> {
        Ok(())
    }
}
