//! `ddpm bench`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// x
    X,
}
impl Bench {
    pub(crate) fn run(&self, _global: &crate::args::Global) -> anyhow::Result<()> {
        Ok(())
    }
}
