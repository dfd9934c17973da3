//! `ddpm config presets`: what each preset and each objective is for.

use clap::Args;
use serde_json::{Value, json};

use crate::commands::inspect::table::Table;
use crate::config::{OBJECTIVES, PRESETS};
use crate::flags::Global;
use crate::{output, screen};

const PRESETS_TITLE: &str = "Presets are complete configurations: ddpm train --preset NAME";
const OBJECTIVES_TITLE: &str =
    "Objectives say what the network learns, over any preset: ddpm train --objective NAME";

/// List presets and objectives with their descriptions
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm config presets
  ddpm train --preset images --objective flow --data photos/ --dump-config")]
pub(crate) struct Presets {}

impl Presets {
    #[expect(clippy::unused_self, reason = "every command is run this way")]
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let said = json!({ "presets": described(PRESETS), "objectives": described(OBJECTIVES) });
        output::answer(global, &said, || {
            let width = screen::width();
            format!(
                "{}\n{}\n\n{}\n{}",
                screen::fitted(PRESETS_TITLE, width),
                listed(PRESETS).within(width),
                screen::fitted(OBJECTIVES_TITLE, width),
                listed(OBJECTIVES).within(width)
            )
        })
    }
}

fn described(list: &[(&str, &str, &str)]) -> Vec<Value> {
    list.iter().map(|(name, description, _)| json!({ "name": name, "meaning": description })).collect()
}

fn listed(list: &[(&str, &str, &str)]) -> Table {
    Table::facts(list.iter().map(|(name, description, _)| (format!("  {name}"), *description)))
}
