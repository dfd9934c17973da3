//! `ddpm figures`.
#[derive(Debug, clap::Args)]
pub(crate) struct Figures {}
impl Figures {
    pub(crate) fn run(&self, _global: &crate::args::Global) -> anyhow::Result<()> {
        Ok(())
    }
}
