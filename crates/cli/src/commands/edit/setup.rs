//! What all edits share: their flags, loading the network, and saving results.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use dataset::AnyArray;
use figures::Canvas;
use ndarray::{Array3, Array4, Axis};
use sampler::{Model, SamplerConfig, SamplerError};

use crate::commands::results::{self, Results, Written};
use crate::commands::sampling::{LongSampling, NoiseArgs};
use crate::conditioning::Conditioning;
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, ModelArgs};
use crate::guidance_flags::GuidanceArgs;
use crate::model::Loaded;
use crate::output::{self, Form};
use crate::paths::OutputFolder;
use crate::sampler_flags::SamplerArgs;
use crate::signals::Signals;

/// The flags of every edit, after its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pub(crate) noise: NoiseArgs,
    /// What to write: any of grid, png, npz (grid.png, 00000.png or 00000-CLASS.png, samples.npz)
    #[arg(long, value_name = "FORMS", value_delimiter = ',', default_value = "grid")]
    save: Vec<String>,
    /// Folder for the results [default: out/ and the name of the command]
    #[arg(long, value_name = "DIR")]
    out: Option<OutputFolder>,
    // Groups with a heading come last: clap lists everything after a heading under it.
    #[command(flatten)]
    sampler: SamplerArgs,
    #[command(flatten)]
    guidance: GuidanceArgs,
}

/// The flags in effect, and the network.
pub(crate) struct Setup<'a> {
    pub(crate) global: &'a Global,
    pub(crate) noise: &'a NoiseArgs,
    pub(crate) loaded: Loaded,
    pub(crate) config: SamplerConfig,
    pub(crate) forms: Vec<Form>,
    pub(crate) out: PathBuf,
    pub(crate) conditioning: Conditioning,
    pub(crate) signals: Signals,
}

impl Common {
    /// Refuses --timesteps where --t-start sets the first time.
    pub(crate) fn refuse_timesteps(&self) -> anyhow::Result<()> {
        if !self.sampler.timesteps.is_empty() {
            bail_usage!(
                "--timesteps: the steps begin at --t-start here; choose them by --steps and --spacing"
            );
        }
        Ok(())
    }

    /// Checks the flags, then loads the network. `verb` names the folder of results.
    pub(crate) fn open<'a>(&'a self, verb: &str, global: &'a Global) -> anyhow::Result<Setup<'a>> {
        let forms = self.save.iter().map(|name| name.parse()).collect::<anyhow::Result<Vec<Form>>>()?;
        self.noise.validate()?;
        let out = self.out.as_deref().map_or_else(|| Path::new("out").join(verb), Path::to_owned);
        self.sampler.check()?;
        self.guidance.check()?;
        let mut names = results::names(&forms, 0);
        names.extend(["latent.npy", "original.png"].map(ToOwned::to_owned));
        output::try_folder("--out", &out, &names)?;
        let signals = Signals::install()?;
        let loaded = Loaded::open(&self.model, global)?;
        let config = self.sampler.config_for(&loaded)?;
        let conditioning = self.guidance.conditioning(&loaded)?;
        Ok(Setup { global, noise: &self.noise, loaded, config, forms, out, conditioning, signals })
    }
}

impl Setup<'_> {
    /// The network as a sampler calls it, for this range of images.
    pub(crate) fn model(&self, images: Range<usize>) -> anyhow::Result<Box<Model<'_>>> {
        let loaded = &self.loaded;
        self.conditioning.model((&*loaded.net, loaded.precision.kind()), loaded.path.steps(), images)
    }

    /// Refuses several classes where one image depends on another.
    pub(crate) fn one_class(&self) -> anyhow::Result<()> {
        if self.conditioning.classes().len() > 1 {
            bail_usage!("--class: expected one class, since these images depend on each other");
        }
        Ok(())
    }

    /// Results in the folder of this edit.
    pub(crate) fn results(&self) -> Results<'_> {
        self.results_in(&self.out)
    }

    /// Results in another folder.
    pub(crate) fn results_in(&self, folder: &Path) -> Results<'_> {
        Results::new(folder, &self.forms, (&self.conditioning, &self.loaded.images.class_names), 0)
    }

    /// A sampling run of `count` images.
    pub(crate) fn sampling(&self, count: usize, steps: usize) -> LongSampling<'_> {
        let Self { global, noise, loaded, signals, .. } = self;
        LongSampling { loaded, noise, first: 0, count, steps, global, signals, world: None }
    }

    /// Saves results that were drawn together, with this grid. `arrays` go into the archive too.
    pub(crate) fn save(
        &self,
        pixels: Array4<u8>,
        arrays: Vec<(&str, AnyArray)>,
        grid: Canvas,
    ) -> anyhow::Result<Written> {
        let mut results = self.results();
        results.check_inputs(pixels.len_of(Axis(0)))?;
        results.add(pixels)?;
        results.finish(arrays, |_, _| Ok(grid))
    }
}

/// One image as a batch.
pub(crate) fn batch_of_one(image: Array3<u8>) -> Array4<u8> {
    image.insert_axis(Axis(0))
}

/// Checks that --count is in the range of a command.
pub(crate) fn check_count(count: usize, range: std::ops::RangeInclusive<usize>) -> anyhow::Result<()> {
    if !range.contains(&count) {
        bail_usage!("--count {count}: expected {} to {}", range.start(), range.end());
    }
    Ok(())
}

/// Rewords a library error in terms of its flag.
pub(crate) fn in_flags(error: SamplerError) -> anyhow::Error {
    let text = error.to_string();
    match error {
        SamplerError::StartStep { .. } => usage(anyhow!("{}", text.replacen("t_start = ", "--t-start ", 1))),
        SamplerError::Jump { .. } | SamplerError::Value { .. } => {
            usage(anyhow!("--{}", text.replacen(" = ", " ", 1)))
        }
        SamplerError::Repeat { .. } | SamplerError::Encode { .. } | SamplerError::Unsolvable { .. } => {
            usage(anyhow!("--sampler {text}"))
        }
        other => anyhow::Error::new(other),
    }
}
