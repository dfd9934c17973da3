//! From presets, files and flags to one complete [`Config`].

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use dataset::Dataset;
use sampler::Method;
use toml::{Table, Value};

use crate::config::overrides::{Override, merge};
use crate::config::text::{deserialize, read_table};
use crate::config::{Config, DataConfig, ImagesConfig, preset_table};
use crate::failure::{bail_usage, usage};
use crate::sampler_flags::SamplerArgs;

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
        let mut config: Config =
            deserialize(table).map_err(|error| self.name_the_file(error, &preset, &probe))?;
        config.data = data;

        // A network for larger images than these gets them in a border: 28 pixels in 32, say.
        let (height, width, _) = probe.shape();
        let size = config.model.image_size;
        let multiple = if size > height.max(width) { size } else { config.model.downsampling_factor() };
        config.data.pad_to_multiple.get_or_insert(multiple);
        let dataset = config.data.open()?;
        config.settle_classes(&dataset)?;
        config.fit_to(&dataset)?;
        config.validate()?;
        Ok(Resolved { config, preset, dataset })
    }
}

impl Layers<'_> {
    /// Says that a mistake is in the configuration file when the file by itself has it too.
    fn name_the_file(&self, error: anyhow::Error, preset: &str, probe: &Dataset) -> anyhow::Error {
        let Some(path) = self.file else { return error };
        let alone = || -> anyhow::Result<Config> {
            let (mut table, mut file) = (preset_table(preset)?, read_table(path)?);
            file.remove("preset");
            merge(&mut table, file);
            complete_model(&mut table, probe)?;
            deserialize(table)
        };
        match alone() {
            Err(same) if same.to_string() == error.to_string() => {
                usage(anyhow!("--config {}: {error}", path.display()))
            }
            _ => error,
        }
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
            class_names: model.classes.map_or(Vec::new(), |_| dataset.class_names().to_vec()),
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
        if self.sample.count == 0 || self.sample.count > 4096 {
            bail_usage!("sample.count = {}: expected 1 to 4096", self.sample.count);
        }
        Method::from_str(&self.sample.sampler).map_err(|e| usage(anyhow!("sample.sampler: {e}")))?;
        let flags = SamplerArgs::named(&self.sample.sampler, self.sample.steps);
        let sampler = flags.config(self.train.prediction)?;
        sampler.validate(&self.schedule.build()?).map_err(|e| usage(anyhow!("sample.{e}")))?;
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
    // A run resumed from another folder must find its data, which may be a part such as `photos:test`.
    let whole = Path::new(&data.source).exists().then_some((data.source.as_str(), ""));
    let of_part = |part| data.source.strip_suffix(part).map(|path| (path, part));
    if let Some((path, part)) = whole.or_else(|| of_part(":test")).or_else(|| of_part(":train"))
        && Path::new(path).exists()
    {
        let absolute = fs::canonicalize(path).with_context(|| format!("--data {}", data.source))?;
        data.source = format!("{}{part}", absolute.to_string_lossy());
    }
    let one = DataConfig { limit: Some(1), ..data.unpadded() };
    Ok((one.open()?, data))
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
