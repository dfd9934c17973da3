//! `ddpm config reference`: every key of the configuration, as text, Markdown or JSON.

use clap::Args;
use serde_json::json;

use super::entry::{Entry, Section, sections};
use super::{markdown, text};
use crate::config::{Defaults, GROUPS, nearest};
use crate::failure::bail_usage;
use crate::flags::Global;
use crate::{output, screen};

/// Explain the keys of the configuration: type, range, default, choices, meaning
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ddpm config reference train.lr
  ddpm config reference sample
  ddpm config reference schedule --objective edm
  ddpm train --set train.lr=1e-4 --set sample.count=16")]
pub(crate) struct Reference {
    /// Only this key, or the keys of this group, such as train.lr or model.embedding
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Preset whose values are the defaults
    #[arg(long, value_name = "NAME", default_value = "images")]
    preset: String,
    /// Training objective over the preset [default: the preset's]
    #[arg(long, value_name = "NAME")]
    objective: Option<String>,
    /// Print Markdown, as in docs/configuration.md
    #[arg(long)]
    markdown: bool,
}

impl Reference {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        if self.markdown && global.json {
            bail_usage!("--markdown and --json: conflict; leave one of the two out");
        }
        let defaults = Defaults::of(&self.preset, self.objective.as_deref())?;
        let found = sections(&defaults, self.key.as_deref());
        if let (Some(key), []) = (&self.key, &found[..]) {
            bail_usage!(
                "KEY {key:?}: expected a key such as train.lr, or a group such as train{}",
                hint(key)
            );
        }
        let keys: Vec<_> = found.iter().flat_map(|section| &section.entries).map(Entry::json).collect();
        let said = json!({ "preset": self.preset, "objective": self.objective, "keys": keys });
        output::answer(global, &said, || self.shown(&found))
    }

    fn shown(&self, found: &[Section]) -> String {
        let objective = self.objective.as_deref();
        if self.markdown {
            markdown::page(&self.preset, objective, found)
        } else {
            let width = screen::width().unwrap_or(screen::WIDEST);
            text::page(&self.preset, objective, found, width)
        }
    }
}

/// The nearest key or group.
fn hint(wanted: &str) -> String {
    let keys = GROUPS.iter().flat_map(|group| group.keys.iter().map(move |key| group.path(key)));
    let groups = GROUPS.iter().map(|group| group.name.to_owned()).filter(|name| !name.is_empty());
    let names: Vec<String> = keys.chain(groups).collect();
    let near = nearest(wanted, names.iter().map(String::as_str));
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}
