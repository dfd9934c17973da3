//! `ddpm evaluate`: sample quality, in numbers that state what they can be compared with.

mod bits;
mod checks;
pub(crate) mod copies;
mod folder;
mod references;
pub(crate) mod rows;
mod scores;
mod subject;
mod text;
mod wanted;

use std::collections::BTreeSet;
use std::time::Instant;

use clap::Args;
use features::{Extracted, Extractor};
use ndarray::{Array4, Axis};
use tracing::{info, warn};

use crate::commands::evaluation::{CopyingRecord, Evaluation, FeaturesRecord};
use crate::commands::reporting::machine;
use crate::commands::sampling::NoiseArgs;
use crate::config::{DataConfig, Layers, Override, SampleConfig, parse_set};
use crate::flags::{Global, ModelArgs};
use crate::guidance_flags::GuidanceArgs;
use crate::mixture_flags::MixtureFlags;
use crate::model::Loaded;
use crate::paths::{DataSource, InputPath, OutputFolder};
use crate::sampler_flags::SamplerArgs;
use crate::{device, output, run_data, signals};
use bits::Likelihood;
use folder::Folder;
pub(crate) use references::{Reference, TEST, TRAIN, open as open_references};
use scores::Scores;
use subject::{Drawing, Subject};
pub(crate) use wanted::Wanted;

/// What is computed without `--metrics`.
const OF_NETWORK: &[Wanted] = &[Wanted::Fd, Wanted::Kd, Wanted::Prdc, Wanted::Copying, Wanted::Bpd];
const OF_IMAGES: &[Wanted] = &[Wanted::Fd, Wanted::Kd, Wanted::Prdc, Wanted::Copying];
const OF_ROWS: &[Wanted] = &[Wanted::Fd, Wanted::Kd, Wanted::Prdc];
/// Default solver and steps for samples, also during training: cheap, and it adds no noise.
const SAMPLER: (&str, usize) = ("dpmpp-2m", 15);

/// The default solver of an evaluation and its steps: the same for all networks, except those tuned for a solver of their own.
pub(crate) fn usual_sampler(sample: &SampleConfig) -> (&str, usize) {
    if sample.sampler == "consistency" { (&sample.sampler, sample.steps) } else { SAMPLER }
}

/// The seed of samples drawn during training.
pub(crate) const SEED: u64 = 0;
/// Image size and channels that the shipped features are for.
pub(crate) const SHIPPED: (usize, usize, usize) = (28, 28, 1);

/// Measure sample quality: distances to real images, precision and recall, likelihood, copying
#[derive(Debug, Args)]
#[command(after_help = "Metrics:
  fd       Frechet distance: FID with InceptionV3, else FD of the features' name
  kd       kernel distance
  prdc     precision, recall, density, coverage; 5 neighbours
  is       Inception score with these features, of 100 samples or more
  swd      sliced Wasserstein distance
  copying  whether samples repeat training images
  bpd      bits/dim by the variational bound, with its terms by t
  ode      bits/dim by the probability flow
Default: fd, kd, prdc, copying and, for a network, bpd.
A network with classes samples them in turn, without guidance, unless --class is given.

Compare numbers only at equal n, features, reference sets and image sizes; the table and the JSON \
name all of them.
FD falls as n grows. The interval covers drawing other samples, not training again.

Results go to RUN/evaluations/ for --run, and to --out.

Examples:
  ddpm evaluate --run runs/fashion-28 --n 10000
  ddpm evaluate --run runs/photos --features inception.safetensors --held-out b/
  ddpm evaluate --images out/samples.npz --data fashion-mnist
  ddpm evaluate --images a.npz --data b.npz   (array `features`, f32 [n, width])")]
pub(crate) struct Evaluate {
    #[command(flatten)]
    model: ModelArgs,
    /// Images to evaluate instead of a network's samples: a folder, archive, npy or npz file; or a .npz with features
    #[arg(long, value_name = "SRC", conflicts_with_all = ["run", "model"])]
    images: Option<DataSource>,
    /// Real images to compare with [default: those the network was trained on]
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// Real images not used in training [default: the test or validation part of the data, if it has one]
    #[arg(long, value_name = "SRC")]
    held_out: Option<DataSource>,
    /// Network for the features: a .safetensors file of `ddpm train-features` or scripts/convert_inception.py [default:
    /// the shipped fashion features, for grey images of 28x28]
    #[arg(long, value_name = "FILE")]
    features: Option<InputPath>,
    /// Metrics to compute, separated by commas: see below [default: fd,kd,prdc,copying,bpd]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Samples to compare [default: 2000, or all of --images]
    #[arg(long, value_name = "N")]
    n: Option<usize>,
    /// Real images for bits/dim, held-out ones if there are any
    #[arg(long, value_name = "N", default_value_t = BITS_IMAGES)]
    bits_images: usize,
    /// Change how images are read, such as data.size=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    noise: NoiseArgs,
    #[command(flatten)]
    mixture: MixtureFlags,
    /// Folder for evaluation.json, nearest.png, samples.npz and features.npz [default: none]
    #[arg(long, value_name = "DIR")]
    out: Option<OutputFolder>,
    #[command(flatten)]
    sampler: SamplerArgs,
    #[command(flatten)]
    guidance: GuidanceArgs,
}

impl Evaluate {
    pub(crate) fn run(&self, global: &Global) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.check()?;
        let (subject, mut references, mirrored) = self.open(global)?;
        let mut wanted = self.wanted(&subject)?;
        self.check_counts(&subject, &references, &mut wanted)?;
        let device = match &subject {
            Subject::Network(drawing) => drawing.loaded.device,
            _ => device::select(global)?,
        };
        let extractor = self.extractor(&subject, &references, &wanted, device)?;
        let folders = self.folders(&subject)?;

        if let Some(extractor) = &extractor {
            references.iter_mut().try_for_each(|reference| reference.look(extractor, global))?;
        }
        let samples = self.samples(subject, extractor.as_ref(), &wanted, global)?;
        let mut evaluation = Evaluation {
            references: references.iter().map(Reference::record).collect::<anyhow::Result<_>>()?,
            features: self.features_record(extractor.as_ref(), &samples),
            ..samples.record.clone()
        };
        if let Some(rows) =
            samples.rows.as_ref().filter(|_| wanted.iter().any(|wanted| wanted.needs_features()))
        {
            let distance_title = match &extractor {
                Some(extractor) => extractor.distance_title(),
                None => "Frechet distance of given features".to_owned(),
            };
            let scores = Scores { wanted: &wanted, samples: rows, distance_title, seed: self.noise.seed() };
            for reference in &references {
                info!("comparing with the {} images", reference.part);
                evaluation.metrics.extend(scores.against(reference)?);
            }
            evaluation.metrics.extend(scores.alone()?);
        }
        let mut picture = None;
        if wanted.contains(&Wanted::Copying) {
            evaluation.copying = self.copying(&samples, &references, mirrored)?;
            if let (Some(images), Some(train)) = (&samples.images, part(&references, TRAIN)) {
                picture = copies::picture(images.view(), samples.rows.as_ref(), train)?;
            }
        }
        if let Some(drawing) = &samples.drawing {
            self.bits(&drawing.loaded, &references, &wanted, &mut evaluation, global)?;
        }
        evaluation.machine = machine::describe(device);
        evaluation.seconds = begun.elapsed().as_secs_f64();
        let picture = picture.map(|picture| picture.png()).transpose()?;
        // Given features need not be computed.
        let rows = samples.rows.as_ref().filter(|_| extractor.is_some());
        let written = folders
            .iter()
            .map(|folder| folder.write(&evaluation, picture.as_deref(), (samples.images.as_ref(), rows)));
        // Report the measurements even if they cannot be saved.
        let written = signals::undisturbed(|| written.collect::<anyhow::Result<Vec<Vec<String>>>>());
        let written = written.map(|written| written.concat());
        output::answer(global, &serde_json::to_value(&evaluation)?, || {
            let files = match &written {
                Ok(written) if !written.is_empty() => format!("\n\nwritten: {}", written.join(", ")),
                _ => String::new(),
            };
            format!("{}{files}", evaluation.text())
        })?;
        written.map(drop)
    }

    /// What is evaluated, what it is compared with, and whether its training saw mirrored images.
    fn open(&self, global: &Global) -> anyhow::Result<(Subject, Vec<Reference>, bool)> {
        let held_out = self.held_out.as_deref();
        if let Some(source) = &self.images {
            let set = self.set.iter().map(|text| parse_set(text)).collect::<Result<Vec<Override>, _>>()?;
            let group = |source| Layers { data: Some(source), set: &set, ..Layers::default() }.data_group();
            let data = self.data.as_deref().unwrap_or_default();
            let subject = subject::open(source, &group(source)?, self.n)?;
            let references = open_references(&group(data)?, held_out)?;
            return Ok((subject, references, false));
        }
        let loaded = Loaded::open(&self.model, global)?;
        let located = run_data::locate(&loaded.config, self.data.as_deref())?;
        // Use the network's channels, grey or colour.
        let data = DataConfig { channels: located.channels.or(Some(loaded.images.channels)), ..located };
        let references = open_references(&data, held_out)?;
        let mirrored = loaded.config.train.flip;
        let flags = (&self.sampler, &self.guidance, &self.mixture);
        let drawing = Drawing::new(loaded, self.model.weights, flags)?;
        Ok((Subject::Network(Box::new(drawing)), references, mirrored))
    }

    fn wanted(&self, subject: &Subject) -> anyhow::Result<BTreeSet<Wanted>> {
        let default = match subject {
            Subject::Network(_) => OF_NETWORK,
            Subject::Images { .. } => OF_IMAGES,
            Subject::Rows { .. } => OF_ROWS,
        };
        let wanted = wanted::parse(&self.metrics, default)?;
        if !matches!(subject, Subject::Network(_)) {
            wanted::check_without_network(&wanted)?;
        }
        Ok(wanted)
    }

    /// Draws or takes the samples and computes their features.
    fn samples(
        &self,
        subject: Subject,
        extractor: Option<&Extractor>,
        wanted: &BTreeSet<Wanted>,
        global: &Global,
    ) -> anyhow::Result<Samples> {
        let mut record = Evaluation { seed: self.noise.seed(), ..Evaluation::default() };
        let (drawing, images, given) = match subject {
            Subject::Network(drawing) => {
                drawing.describe(&mut record)?;
                let count = self.n.unwrap_or(N);
                let needed = wanted.iter().any(|wanted| !wanted.needs_network());
                let images = if needed { Some(drawing.draw(&self.noise, count, global)?) } else { None };
                (Some(drawing), images, None)
            }
            Subject::Images { source, images } => {
                record.what = source;
                (None, Some(images), None)
            }
            Subject::Rows { source, rows } => {
                record.what = source;
                (None, None, Some(rows))
            }
        };
        let rows = match (&images, extractor) {
            (Some(images), Some(extractor)) => Some(rows::of_images(extractor, images.view(), global)?),
            _ => given,
        };
        record.n = match (&images, &rows) {
            (Some(images), _) => images.len_of(Axis(0)),
            (None, rows) => rows.as_ref().map_or(0, |rows| rows.features.nrows()),
        };
        Ok(Samples { record, drawing, images, rows })
    }

    fn features_record(&self, extractor: Option<&Extractor>, samples: &Samples) -> Option<FeaturesRecord> {
        let rows = samples.rows.as_ref()?;
        Some(match extractor {
            Some(extractor) => FeaturesRecord {
                name: extractor.name().to_owned(),
                width: extractor.width(),
                sha256: Some(extractor.sha256().to_owned()),
                resize: extractor.resize_rule(),
            },
            None => FeaturesRecord {
                name: "given features".to_owned(),
                width: rows.features.ncols(),
                sha256: None,
                resize: "not known".to_owned(),
            },
        })
    }

    /// Adds the likelihood of real images under the network.
    fn bits(
        &self,
        loaded: &Loaded,
        references: &[Reference],
        wanted: &BTreeSet<Wanted>,
        evaluation: &mut Evaluation,
        global: &Global,
    ) -> anyhow::Result<()> {
        let reference = part(references, TEST).or_else(|| part(references, TRAIN));
        let Some((reference, images)) = reference.and_then(|found| Some((found, found.images.as_ref()?)))
        else {
            return Ok(());
        };
        let likelihood = Likelihood {
            loaded,
            images: &rows::bordered(images, &loaded.config)?,
            part: reference.part,
            count: self.bits_images,
            batch: self.noise.batch,
            seed: self.noise.seed(),
        };
        if wanted.contains(&Wanted::Bpd) {
            let (metric, bits) = likelihood.bound(global)?;
            evaluation.metrics.push(metric);
            evaluation.bits = Some(bits);
        }
        if wanted.contains(&Wanted::Ode) {
            evaluation.metrics.push(likelihood.ode(global)?);
        }
        Ok(())
    }

    fn copying(
        &self,
        samples: &Samples,
        references: &[Reference],
        mirrored: bool,
    ) -> anyhow::Result<Option<CopyingRecord>> {
        let (Some(train), Some(held_out)) = (part(references, TRAIN), part(references, TEST)) else {
            warn!("copying is not tested: it needs held-out images; pass some with --held-out");
            return Ok(None);
        };
        if train.is_same(held_out)? {
            warn!(
                "copying is not tested: the held-out images are those of --data; pass others with --held-out"
            );
            return Ok(None);
        }
        let images = samples.images.as_ref().map(|images| images.view());
        let found = copies::test(images, samples.rows.as_ref(), train, held_out, mirrored)?;
        match &found {
            Some(found) if found.flagged => warn!("{}", found.text()),
            Some(_) => {}
            None => warn!("copying is not tested: it needs at least 20 training images and 20 held-out ones"),
        }
        Ok(found)
    }

    /// Folders for the results, each checked to be writable.
    fn folders(&self, subject: &Subject) -> anyhow::Result<Vec<Folder>> {
        let mut folders: Vec<Folder> = self.out.iter().map(|folder| Folder::of_out(folder)).collect();
        if let Subject::Network(drawing) = subject
            && let Some(run) = &drawing.loaded.run
        {
            let folder = Folder::of_run(run, drawing.loaded.step);
            output::try_folder("--run", &folder.path, &folder.names())?;
            folders.push(folder);
        }
        Ok(folders)
    }
}

/// Default of `--bits-images`.
const BITS_IMAGES: usize = 256;

/// Default of `--n`.
const N: usize = 2000;

/// What is compared with real images.
struct Samples {
    /// The results so far.
    record: Evaluation,
    /// The network they were drawn from.
    drawing: Option<Box<Drawing>>,
    images: Option<Array4<u8>>,
    rows: Option<Extracted>,
}

fn part<'a>(references: &'a [Reference], name: &str) -> Option<&'a Reference> {
    references.iter().find(|reference| reference.part == name)
}
