//! From presets, files and flags to one complete [`Config`].

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use dataset::{Dataset, Fit, OnBad, OpenOptions, Source};
use toml::{Table, Value};

use crate::config::overrides::{Override, merge};
use crate::config::suggest::nearest;
use crate::config::{Config, DataConfig, ImagesConfig, preset_table};
use crate::failure::{bail_usage, usage};

/// What the user said, from the weakest to the strongest.
#[derive(Debug, Default)]
pub(crate) struct Layers<'a> {
    /// `--preset`.
    pub(crate) preset: Option<&'a str>,
    /// `--config`.
    pub(crate) file: Option<&'a Path>,
    /// `--data`.
    pub(crate) data: Option<&'a str>,
    /// `--set`.
    pub(crate) set: &'a [Override],
}

/// A complete configuration and the images it is about.
pub(crate) struct Resolved {
    pub(crate) config: Config,
    pub(crate) preset: String,
    pub(crate) dataset: Dataset,
}

impl Layers<'_> {
    /// Merges the layers, opens the data, and fills in what follows from it.
    pub(crate) fn resolve(&self) -> anyhow::Result<Resolved> {
        let mut user = match self.file {
            Some(path) => read_table(path)?,
            None => Table::new(),
        };
        let named = match user.remove("preset") {
            Some(Value::String(name)) => Some(name),
            Some(_) => bail_usage!("preset: expected a name in quotes"),
            None => None,
        };
        if let Some(source) = self.data {
            let mut data = Table::new();
            data.insert("source".to_owned(), Value::String(source.to_owned()));
            merge(&mut user, Table::from_iter([("data".to_owned(), Value::Table(data))]));
        }
        for entry in self.set {
            entry.apply(&mut user)?;
        }

        let preset = match self.preset.map(str::to_owned).or(named) {
            Some(name) => name,
            None => suitable_preset(&user)?.to_owned(),
        };
        let mut table = preset_table(&preset)?;
        merge(&mut table, user);
        let (probe, data) = probe(&table)?;
        complete_model(&mut table, &probe)?;
        let mut config: Config = deserialize(table)?;
        config.data = data;

        // A network for larger images than these gets them in a border: 28 pixels in 32, say.
        let (height, width, _) = probe.shape();
        let size = config.model.image_size;
        let multiple = if size > height.max(width) { size } else { config.model.downsampling_factor() };
        config.data.pad_to_multiple.get_or_insert(multiple);
        let dataset = config.data.open()?;
        config.fit_to(&dataset)?;
        config.validate()?;
        Ok(Resolved { config, preset, dataset })
    }
}

impl Config {
    /// Records what the data is, and checks that the network is for such images.
    fn fit_to(&mut self, dataset: &Dataset) -> anyhow::Result<()> {
        let (height, width, channels) = dataset.shape();
        let padding = dataset.padding();
        let model = &mut self.model;
        if model.image_size == 0 {
            model.image_size = height.max(width);
        }
        // The file of a run says what is used, not what stands for it.
        model.time_channels = model.time_width();
        if model.in_channels == 0 {
            (model.in_channels, model.out_channels) = (channels, channels);
        }
        if model.image_size != height.max(width) || model.in_channels != channels {
            bail_usage!(
                "the images are {height}x{width} with {channels} channels, the network is for {size}x{size} with \
                 {}: pass --set data.size={size} or data.channels, or take another --preset",
                model.in_channels,
                size = model.image_size
            );
        }
        self.images = Some(ImagesConfig {
            height,
            width,
            channels,
            padding: [padding.top, padding.bottom, padding.left, padding.right],
            count: dataset.len(),
            sha256: dataset.fingerprint()?,
        });
        Ok(())
    }

    /// The same configuration with one value changed.
    pub(crate) fn with(&self, change: &Override) -> anyhow::Result<Self> {
        let mut table = Table::try_from(self)?;
        change.apply(&mut table)?;
        deserialize(table)
    }

    /// Checks every group.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        self.schedule.build()?;
        self.model.validate().map_err(usage)?;
        self.train.validate().map_err(usage)?;
        if let Some(classes) = self.model.classes {
            bail_usage!("model.classes = {classes}: training with labels is not there yet; leave it out");
        }
        if self.sample.count == 0 || self.sample.count > 4096 {
            bail_usage!("sample.count = {}: expected 1 to 4096", self.sample.count);
        }
        let flags = crate::args::SamplerArgs::named(&self.sample.sampler, self.sample.steps);
        flags.config()?.validate(&self.schedule.build()?).map_err(|e| usage(anyhow!("sample.{e}")))?;
        crate::device::precision(&self.precision, tch::Device::Cpu).map(drop)
    }
}

/// The preset for data nobody chose one for.
fn suitable_preset(user: &Table) -> anyhow::Result<&'static str> {
    let mut table = preset_table("images")?;
    merge(&mut table, user.clone());
    let (probe, _) = probe(&table)?;
    Ok(if probe.shape() == (28, 28, 1) { "fashion-28" } else { "images" })
}

/// One image of the data tells size and channels without decoding the rest.
fn probe(table: &Table) -> anyhow::Result<(Dataset, DataConfig)> {
    let mut only = Table::new();
    only.extend(table.get("data").map(|data| ("data".to_owned(), data.clone())));
    #[derive(serde::Deserialize)]
    struct Part {
        data: DataConfig,
    }
    let mut data = deserialize::<Part>(only)?.data;
    // A run resumed from another folder must find its data.
    if Path::new(&data.source).exists() {
        let absolute = fs::canonicalize(&data.source).with_context(|| format!("--data {}", data.source))?;
        data.source = absolute.to_string_lossy().into_owned();
    }
    let one = DataConfig { limit: Some(1), ..data.unpadded() };
    Ok((one.open()?, data))
}

impl DataConfig {
    /// The same images without a border.
    pub(crate) fn unpadded(&self) -> Self {
        Self { pad_to_multiple: None, ..self.clone() }
    }

    /// Opens the images.
    pub(crate) fn open(&self) -> anyhow::Result<Dataset> {
        open(self)
    }
}

fn open(data: &DataConfig) -> anyhow::Result<Dataset> {
    let fit = match data.fit.as_str() {
        "crop" => Fit::Crop,
        "stretch" => Fit::Stretch,
        "pad" => Fit::Pad,
        other => bail_usage!("data.fit = {other:?}: expected crop, stretch or pad"),
    };
    let on_bad = match data.on_bad.as_str() {
        "fail" => OnBad::Fail,
        "skip" => OnBad::Skip,
        other => bail_usage!("data.on_bad = {other:?}: expected fail or skip"),
    };
    let options = OpenOptions {
        size: data.size,
        channels: data.channels,
        fit,
        pad_to_multiple: data.pad_to_multiple,
        limit: data.limit,
        on_bad,
        cache_dir: cache_dir(),
        ..OpenOptions::default()
    };
    let context = || format!("--data {}", data.source);
    let source = Source::detect(&data.source).with_context(context)?;
    Dataset::open(&source, &options).with_context(context)
}

/// Where decoded images are kept for the next start.
fn cache_dir() -> Option<std::path::PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.filter(|path| path.is_absolute()).or_else(home).map(|cache| cache.join("ddpm"))
}

/// Levels and attention of a network whose preset leaves them to the size of the images.
fn complete_model(table: &mut Table, probe: &Dataset) -> anyhow::Result<()> {
    let Some(model) = table.get_mut("model").and_then(Value::as_table_mut) else {
        bail_usage!("the configuration has no [model] group");
    };
    let (height, width, _) = probe.shape();
    let size = height.max(width);
    let numbers =
        |list: Vec<usize>| Value::Array(list.into_iter().map(|n| Value::Integer(n as i64)).collect());
    // Halve until 8 pixels or less are left: three levels for 28 or 32, four for 64.
    let levels = (1..6).find(|level| size.div_ceil(1 << level) <= 8).map_or(6, |level| level + 1).min(5);
    model
        .entry("channel_mults")
        .or_insert_with(|| numbers((0..levels).map(|level| if level == 0 { 1 } else { 2 }).collect()));
    let levels = model["channel_mults"].as_array().map_or(0, Vec::len).clamp(1, 16);
    let factor = 1_usize << (levels - 1);
    let padded = size.next_multiple_of(factor);
    model.entry("attention_resolutions").or_insert_with(|| numbers(vec![padded / factor]));
    Ok(())
}

fn read_table(path: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("--config {}", path.display()))?;
    toml::from_str(&text).map_err(|e| usage(anyhow!("--config {}: {}", path.display(), plain(&e, &text))))
}

/// A configuration that this program wrote.
pub(crate) fn from_toml(path: &Path) -> anyhow::Result<Config> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    toml::from_str(&text).map_err(|e| anyhow!("{}: {}", path.display(), plain(&e, &text)))
}

/// The text of `config.toml`.
pub(crate) fn to_toml(config: &Config) -> anyhow::Result<String> {
    Ok(toml::to_string_pretty(config)?)
}

fn deserialize<T: for<'a> serde::Deserialize<'a>>(table: Table) -> anyhow::Result<T> {
    T::deserialize(Value::Table(table)).map_err(|error| {
        let message = error.message().to_owned();
        let hint = suggestion(&message).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let at =
            error.to_string().lines().find_map(|line| line.trim().strip_prefix("in ").map(str::to_owned));
        let place = at.map(|at| format!("{}: ", at.trim_matches('`'))).unwrap_or_default();
        usage(anyhow!("configuration: {place}{message}{hint}"))
    })
}

/// The known key nearest to the unknown one of serde's message "unknown field `x`, expected one of `a`, `b`".
fn suggestion(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    if message.starts_with("unknown") { nearest(unknown, names) } else { None }
}

/// Line and message of a syntax error, without the drawing around it.
fn plain(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
    let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let hint = suggestion(error.message()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("{place}{}{hint}", error.message())
}

/// The keys in which two configurations differ, with both values.
pub(crate) fn differences(old: &Config, new: &Config) -> anyhow::Result<Vec<String>> {
    fn walk(prefix: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<String>) {
        match (old, new) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&name, a.get(key), b.get(key), out);
                }
            }
            (a, b) if a != b => {
                let show = |v: Option<&Value>| v.map_or("unset".to_owned(), Value::to_string);
                out.push(format!("{prefix} is {} there and {} here", show(a), show(b)));
            }
            _ => {}
        }
    }
    let (old, new) = (Value::try_from(old)?, Value::try_from(new)?);
    let mut out = Vec::new();
    walk("", Some(&old), Some(&new), &mut out);
    Ok(out)
}
