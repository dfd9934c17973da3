//! A run's configuration as a page shows it: without folder names of the machine it was trained on.

use std::path::Path;

use ::config::InitConfig;

use crate::config::{self, Config, DataConfig};

/// The configuration with the paths of its images and initial weights cut to their last part.
pub(in crate::commands) fn public(config: &Config) -> Config {
    let data = DataConfig { source: source_name(&config.data.source), ..config.data.clone() };
    let init = config.init.as_ref().map(|init| InitConfig { from: source_name(&init.from), ..init.clone() });
    Config { data, init, ..config.clone() }
}

/// The text of `config.toml`, with the path of the images cut.
pub(in crate::commands) fn listing(config: &Config) -> anyhow::Result<String> {
    Ok(config::to_toml(&public(config))?)
}

/// The name of a source. For a path, this is its last part, since folders differ between machines.
pub(in crate::commands) fn source_name(source: &str) -> String {
    if source.contains(['/', '\\']) { name_of(Path::new(source)) } else { source.to_owned() }
}

/// The last part of a path.
pub(in crate::commands) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "unnamed".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_this_machine_do_not_show() {
        assert_eq!(source_name("fashion-mnist:test"), "fashion-mnist:test");
        assert_eq!(source_name("/a/b/photos"), "photos");
        assert_eq!(source_name("/"), "unnamed");
        let mut config: Config = config::preset_table("tiny-16").unwrap().try_into().unwrap();
        "/home/somebody/photos".clone_into(&mut config.data.source);
        config.init = Some(InitConfig { from: "/home/somebody/model".to_owned(), sha256: String::new() });
        let text = listing(&config).unwrap();
        assert!(
            text.contains("source = \"photos\"")
                && text.contains("from = \"model\"")
                && !text.contains("somebody"),
            "{text}"
        );
    }
}
