//! `ddpm evaluate`: how good samples are, in numbers that say what they can be compared with.

mod bits;
pub(crate) mod copies;
mod references;
pub(crate) mod rows;
mod scores;
mod subject;
mod text;
mod wanted;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::Args;
use dataset::AnyArray;
use features::{Extracted, Extractor};
use ndarray::{Array4, Axis};
use tracing::{info, warn};

use crate::commands::evaluation::{CopyingRecord, Evaluation, FeaturesRecord};
use crate::commands::reporting::machine;
use crate::commands::sampling::NoiseArgs;
use crate::config::{DataConfig, Layers, Override, parse_set};
use crate::failure::{bail_usage, usage};
use crate::flags::{Global, ModelArgs, Weights};
use crate::guidance_flags::GuidanceArgs;
use crate::model::Loaded;
use crate::paths::{DataSource, InputPath, OutputFolder};
use crate::sampler_flags::SamplerArgs;
use crate::{device, output, paths, run_data};
use bits::Likelihood;
pub(crate) use references::{Reference, TEST, TRAIN, open as open_references};
use scores::Scores;
use subject::{Drawing, Subject};
use wanted::Wanted;

/// What is computed without `--metrics`.
const OF_NETWORK: &[Wanted] = &[Wanted::Fd, Wanted::Kd, Wanted::Prdc, Wanted::Copying, Wanted::Bpd];
const OF_IMAGES: &[Wanted] = &[Wanted::Fd, Wanted::Kd, Wanted::Prdc, Wanted::Copying];
const OF_ROWS: &[Wanted] = &[Wanted::Fd, Wanted::Kd, Wanted::Prdc];
/// How samples are drawn unless told otherwise, also in training: cheap, and without noise of its own.
pub(crate) const SAMPLER: (&str, usize) = ("dpmpp-2m", 15);
/// The seed of samples in training.
pub(crate) const SEED: u64 = 0;
/// Size and channels of the images that the shipped features are of.
pub(crate) const SHIPPED: (usize, usize, usize) = (28, 28, 1);

/// Measure how good samples are: distances to real images, precision and recall, likelihood, copying
#[derive(Debug, Args)]
#[command(
    after_help = "Metrics:
  fd       Frechet distance: FID with InceptionV3, else FD of the features' name
  kd       kernel distance
  prdc     precision, recall, density, coverage; 5 neighbours
  is       Inception score form, of 100 samples or more
  swd      sliced Wasserstein distance
  copying  whether samples repeat training images
  bpd      bits/dim by the variational bound, with its terms by t
  ode      bits/dim by the probability flow
Default: fd, kd, prdc, copying and, of a network, bpd.

Numbers compare only between equal n, features, reference sets and image sizes; the table and the JSON name all of them.
FD falls as n grows. The interval is that of drawing other samples, not of training again.

Results go to RUN/evaluations/ for --run, and to --out.

Examples:
  ddpm evaluate --run runs/fashion-28 --n 10000
  ddpm evaluate --run runs/photos --features inception.safetensors --held-out more-photos/
  ddpm evaluate --images out/samples.npz --data fashion-mnist
  ddpm evaluate --images features-a.npz --data features-b.npz      (array `features`, f32 [n, width])"
)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    model: ModelArgs,
    /// Images to evaluate in place of a network's: a folder, archive, npy or npz file; or a .npz with features
    #[arg(long, value_name = "SRC", conflicts_with_all = ["run", "model"])]
    images: Option<DataSource>,
    /// Real images to compare with [default: those the network was trained on]
    #[arg(long, value_name = "SRC")]
    data: Option<DataSource>,
    /// Real images that were not trained on [default: the test or validation part of the data, if it has one]
    #[arg(long, value_name = "SRC")]
    held_out: Option<DataSource>,
    /// Network that gives the features: a .safetensors file of `ddpm train-features` or scripts/convert_inception.py
    /// [default: the shipped fashion features, for grey images of 28x28]
    #[arg(long, value_name = "FILE")]
    features: Option<InputPath>,
    /// What to measure, with commas between: see below [default: fd,kd,prdc,copying,bpd]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Samples to compare [default: 2000, or all of --images]
    #[arg(long, value_name = "N")]
    n: Option<usize>,
    /// Real images whose bits/dim are computed, held-out ones if there are any
    #[arg(long, value_name = "N", default_value_t = BITS_IMAGES)]
    bits_images: usize,
    /// Change how images are read, such as data.size=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    noise: NoiseArgs,
    /// Folder for evaluation.json, nearest.png and samples.npz [default: none]
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
        let written = folders
            .iter()
            .map(|folder| folder.write(&evaluation, picture.as_deref(), samples.images.as_ref()));
        // What was measured is told even where it cannot be kept.
        let written = written.collect::<anyhow::Result<Vec<Vec<String>>>>().map(|written| written.concat());
        output::answer(global, &serde_json::to_value(&evaluation)?, || {
            let files = match &written {
                Ok(written) if !written.is_empty() => format!("\n\nwritten: {}", written.join(", ")),
                _ => String::new(),
            };
            format!("{}{files}", evaluation.text())
        })?;
        written.map(drop)
    }

    /// What can be known to be wrong before anything is opened.
    fn check(&self) -> anyhow::Result<()> {
        wanted::parse(&self.metrics, &[])?;
        if let Some(n) = self.n.filter(|n| !(2..=1_000_000).contains(n)) {
            bail_usage!("--n {n}: expected 2 to 1000000");
        }
        if !(2..=1_000_000).contains(&self.bits_images) {
            bail_usage!("--bits-images {}: expected 2 to 1000000", self.bits_images);
        }
        if self.images.is_some() && self.data.is_none() {
            bail_usage!(
                "--images: name the real images to compare with by --data, such as --data fashion-mnist"
            );
        }
        if self.images.is_none() && !self.set.is_empty() {
            bail_usage!(
                "--set belongs to --images; a network's own configuration says how its images are read"
            );
        }
        if self.images.is_some() {
            self.refuse_flags_of_networks()?;
        }
        self.noise.validate()?;
        self.sampler.check()?;
        self.guidance.check()?;
        self.out
            .as_deref()
            .map_or(Ok(()), |folder| output::try_folder("--out", folder, &Folder::of_out(folder).names()))
    }

    /// Images that are there are not drawn.
    fn refuse_flags_of_networks(&self) -> anyhow::Result<()> {
        let sampler = !self.sampler.leave_it_to_the_network() || self.sampler.steps.is_some();
        let weights = self.model.weights != Weights::Ema;
        let given = [
            ("sampler flags", sampler),
            ("class and guidance flags", !self.guidance.is_empty()),
            ("--weights", weights),
            ("--best", self.model.best),
            ("--bits-images", self.bits_images != BITS_IMAGES),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((what, _)) => bail_usage!("--images: these images are not drawn; leave out {what}"),
            None => Ok(()),
        }
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
        // Grey or colour as the network draws them.
        let data = DataConfig { channels: located.channels.or(Some(loaded.images.channels)), ..located };
        let references = open_references(&data, held_out)?;
        let mirrored = loaded.config.train.flip;
        let drawing = Drawing::new(loaded, self.model.weights, &self.sampler, &self.guidance)?;
        Ok((Subject::Network(Box::new(drawing)), references, mirrored))
    }

    /// Refuses metrics that take more images than there are, or leaves them out where nobody asked for them.
    fn check_counts(
        &self,
        subject: &Subject,
        references: &[Reference],
        wanted: &mut BTreeSet<Wanted>,
    ) -> anyhow::Result<()> {
        let samples = match subject {
            Subject::Network(_) => self.n.unwrap_or(N),
            Subject::Images { images, .. } => images.len_of(Axis(0)),
            Subject::Rows { rows, .. } => rows.features.nrows(),
        };
        let counts = references.iter().map(Reference::count);
        let all = counts.chain([samples]).min().unwrap_or(0);
        for (metric, least, found) in [(Wanted::Prdc, 6, all), (Wanted::Is, 100, samples)] {
            if !wanted.contains(&metric) || found >= least {
                continue;
            }
            if self.metrics.is_empty() {
                info!("{} is left out: it takes {least} images or more of each set", metric.name());
                wanted.remove(&metric);
            } else {
                bail_usage!("--metrics {}: takes {least} images or more, found {found}", metric.name());
            }
        }
        Ok(())
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

    /// The network that gives features, if any are wanted and none are given.
    fn extractor(
        &self,
        subject: &Subject,
        references: &[Reference],
        wanted: &BTreeSet<Wanted>,
        device: tch::Device,
    ) -> anyhow::Result<Option<Extractor>> {
        let given = references.iter().any(|reference| reference.images.is_none());
        let is_rows = matches!(subject, Subject::Rows { .. });
        if given != is_rows {
            bail_usage!(
                "features compare with features and images with images: {} holds features, the other images",
                if is_rows { "--images" } else { "--data" }
            );
        }
        if let Some(features) = self.features.as_ref().filter(|_| is_rows) {
            bail_usage!("--features {}: --images holds features already; leave it out", features.display());
        }
        if is_rows || !wanted.iter().any(|wanted| wanted.needs_features() || *wanted == Wanted::Copying) {
            return Ok(None);
        }
        let shapes =
            references.iter().filter_map(|reference| reference.images.as_ref().map(|images| images.shape()));
        let sampled = match subject {
            Subject::Network(drawing) => drawing.shape(),
            Subject::Images { images, .. } => {
                let (_, height, width, channels) = images.dim();
                (height, width, channels)
            }
            Subject::Rows { .. } => return Ok(None),
        };
        let shapes: Vec<_> = shapes.chain([sampled]).collect();
        let needed = wanted.iter().any(|wanted| wanted.needs_features());
        let extractor = match &self.features {
            Some(path) => Extractor::open(path, device).context("--features")?,
            None if shapes.iter().all(|shape| *shape == SHIPPED) => Extractor::fashion(device)?,
            // Copying can do with pixels.
            None if !needed => return Ok(None),
            None => {
                let (height, width, channels) =
                    shapes.iter().find(|shape| **shape != SHIPPED).copied().unwrap_or(SHIPPED);
                bail_usage!(
                    "the shipped features are for 28x28 grey images, these have {width}x{height} pixels and {channels} channels: \
                     name a network with --features (`ddpm train-features` makes one of labelled images, \
                     scripts/convert_inception.py one of InceptionV3's weights), or use --metrics copying, which can do with pixels"
                )
            }
        };
        for (height, width, channels) in shapes {
            extractor
                .check(height, width, channels)
                .map_err(|error| usage(anyhow!("--features: {error}")))?;
        }
        Ok(Some(extractor))
    }

    /// Draws or takes the samples and looks at them.
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

    /// Adds what the network finds real images likely.
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
            warn!("copying is not tested: it takes held-out images; name some with --held-out");
            return Ok(None);
        };
        if train.is_same(held_out)? {
            warn!(
                "copying is not tested: the held-out images are those of --data; name others with --held-out"
            );
            return Ok(None);
        }
        let images = samples.images.as_ref().map(|images| images.view());
        let found = copies::test(images, samples.rows.as_ref(), train, held_out, mirrored)?;
        match &found {
            Some(found) if found.flagged => warn!("{}", found.text()),
            Some(_) => {}
            None => warn!(
                "copying is not tested: it takes 20 images of the training and 20 held-out ones or more"
            ),
        }
        Ok(found)
    }

    /// Where results go, each tried.
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

/// Images whose bits/dim are computed without `--bits-images`.
const BITS_IMAGES: usize = 256;

/// Samples that are drawn without `--n`.
const N: usize = 2000;

/// What is compared with real images.
struct Samples {
    /// What is known of them so far.
    record: Evaluation,
    /// The network they were drawn from.
    drawing: Option<Box<Drawing>>,
    images: Option<Array4<u8>>,
    rows: Option<Extracted>,
}

fn part<'a>(references: &'a [Reference], name: &str) -> Option<&'a Reference> {
    references.iter().find(|reference| reference.part == name)
}

/// Where an evaluation is written.
struct Folder {
    path: PathBuf,
    json: String,
    picture: String,
    samples: Option<&'static str>,
}

impl Folder {
    /// The user's: fixed names, and the samples.
    fn of_out(path: &Path) -> Self {
        let [json, picture] = ["evaluation.json", "nearest.png"].map(str::to_owned);
        Self { path: path.to_owned(), json, picture, samples: Some("samples.npz") }
    }

    /// A run's: a file for each checkpoint.
    fn of_run(run: &Path, step: u64) -> Self {
        let path = run.join("evaluations");
        Self {
            path,
            json: format!("step-{step:08}.json"),
            picture: format!("nearest-step-{step:08}.png"),
            samples: None,
        }
    }

    fn names(&self) -> Vec<String> {
        let samples = self.samples.map(str::to_owned);
        [self.json.clone(), self.picture.clone()].into_iter().chain(samples).collect()
    }

    /// Keeps an evaluation of the same checkpoint, which may be of other samples or metrics, as `earlier/N-NAME`.
    fn set_aside(&self) -> anyhow::Result<()> {
        if self.path.join(&self.json).symlink_metadata().is_err() {
            return Ok(());
        }
        let earlier = self.path.join("earlier");
        files::make_folder(&earlier).with_context(|| earlier.display().to_string())?;
        let free =
            |number: &usize| earlier.join(format!("{number}-{}", self.json)).symlink_metadata().is_err();
        let number = (1..100_000).find(free).unwrap_or(100_000);
        for name in [&self.json, &self.picture] {
            let (from, to) = (self.path.join(name), earlier.join(format!("{number}-{name}")));
            match std::fs::rename(&from, &to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                moved => moved.with_context(|| from.display().to_string())?,
            }
        }
        Ok(())
    }

    /// Writes what there is; the paths as text.
    fn write(
        &self,
        evaluation: &Evaluation,
        picture: Option<&[u8]>,
        samples: Option<&Array4<u8>>,
    ) -> anyhow::Result<Vec<String>> {
        files::make_folder(&self.path).with_context(|| self.path.display().to_string())?;
        if self.samples.is_none() {
            self.set_aside()?;
        }
        let mut written = Vec::new();
        let mut write = |name: &str, bytes: &[u8]| {
            let path = self.path.join(name);
            files::write_output(&path, bytes).with_context(|| path.display().to_string())?;
            written.push(paths::text(&path));
            anyhow::Ok(())
        };
        let mut json = serde_json::to_string_pretty(evaluation)?;
        json.push('\n');
        write(&self.json, json.as_bytes())?;
        if let Some(picture) = picture {
            write(&self.picture, picture)?;
        }
        if let (Some(name), Some(images)) = (self.samples, samples) {
            let path = self.path.join(name);
            dataset::write_npz(&path, &[("images", AnyArray::from(images.clone()))])?;
            written.push(paths::text(&path));
        }
        Ok(written)
    }
}
