//! Extracts features from images, with any of the networks.

use std::ops::Range;
use std::path::Path;

use ndarray::{Array2, ArrayView4, Axis, CowArray, Ix4};
use tch::{Device, Tensor};

use crate::classifier::{self, Classifier};
use crate::error::FeaturesError;
use crate::inception::{self, Inception};
use crate::weights::Weights;

/// The shipped classifier; `docs/features.md` describes how it was made.
const FASHION: &[u8] = include_bytes!("../assets/fashion.safetensors");

/// The output of a network for images.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// `[n, width]`, one row per image.
    pub features: Array2<f32>,
    /// `[n, classes]`, probabilities that sum to 1 for each image, from networks with classes: for the Inception score.
    pub answers: Option<Array2<f32>>,
}

/// A network with its weights, ready for images.
///
/// ```
/// use features::Extractor;
/// let network = Extractor::fashion(tch::Device::Cpu)?;
/// let images = ndarray::Array4::<u8>::zeros((3, 28, 28, 1));
/// assert_eq!(network.extract(images.view())?.features.dim(), (3, network.width()));
/// assert_eq!(network.distance_title(), "FD (fashion features)");
/// # Ok::<(), features::FeaturesError>(())
/// ```
pub struct Extractor {
    network: Network,
    sha256: String,
}

/// The supported networks.
enum Network {
    Classifier(Classifier),
    Inception(Inception),
}

/// A network's output for a part: features `[b, width]`, probabilities `[b, classes]`.
pub(crate) type Given = (Tensor, Option<Tensor>);

impl Extractor {
    /// The shipped Fashion-MNIST classifier, for 28x28x1.
    ///
    /// # Errors
    /// Errors from libtorch, such as lack of memory.
    pub fn fashion(device: Device) -> Result<Self, FeaturesError> {
        Self::of(&Weights::embedded("the shipped fashion features", FASHION)?, device)
    }

    /// Opens the network in a `.safetensors` file. Its metadata has the kind under `kind`: `classifier`, or `inception-v3-fid`
    /// with the resize rule under `resize` (`scripts/convert_inception.py` makes such a file from the public weights).
    ///
    /// # Errors
    /// [`FeaturesError::File`], [`FeaturesError::Tensors`] and [`FeaturesError::Metadata`] for a file that does not hold the
    /// weights of such a network.
    pub fn open(path: &Path, device: Device) -> Result<Self, FeaturesError> {
        Self::of(&Weights::open(path)?, device)
    }

    fn of(weights: &Weights, device: Device) -> Result<Self, FeaturesError> {
        let network = match weights.text("kind")? {
            classifier::KIND => Network::Classifier(Classifier::load(weights, device)?),
            inception::KIND => Network::Inception(Inception::load(weights, device)?),
            other => {
                let expected = format!("{:?} or {:?}", classifier::KIND, inception::KIND);
                return Err(weights.wrong("kind", &expected, other));
            }
        };
        Ok(Self { network, sha256: weights.sha256().to_owned() })
    }

    /// Uses a classifier that has no file yet.
    pub(crate) fn of_classifier(net: Classifier) -> Self {
        Self { network: Network::Classifier(net), sha256: String::new() }
    }

    /// Name of the features: "fashion features".
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.network {
            Network::Classifier(net) => net.name(),
            Network::Inception(net) => net.name(),
        }
    }

    /// Name of a Frechet distance with these features: "FD (fashion features)". Only InceptionV3 gives "FID".
    #[must_use]
    pub fn distance_title(&self) -> String {
        match &self.network {
            Network::Classifier(net) => format!("FD ({})", net.name()),
            Network::Inception(_) => "FID".to_owned(),
        }
    }

    /// Features per image.
    #[must_use]
    pub fn width(&self) -> usize {
        match &self.network {
            Network::Classifier(net) => net.width(),
            Network::Inception(net) => net.width(),
        }
    }

    /// SHA-256 of the weights file, in hex. Store it together with the features.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How images are resized to the network's size, for people: "none (28x28)".
    #[must_use]
    pub fn resize_rule(&self) -> String {
        match &self.network {
            Network::Classifier(net) => net.resize_rule(),
            Network::Inception(net) => net.resize_rule(),
        }
    }

    /// Checks that images `[height, width, channels]` are supported.
    ///
    /// # Errors
    /// [`FeaturesError::Images`] when they are not.
    pub fn check(&self, height: usize, width: usize, channels: usize) -> Result<(), FeaturesError> {
        match &self.network {
            Network::Classifier(net) => net.check([height, width, channels]),
            Network::Inception(net) => net.check([height, width, channels]),
        }
    }

    /// Features and class probabilities for images `[n, h, w, c]`. The images go through the network in parts of a fixed
    /// size. So memory does not grow with `n` beyond the result, and on the CPU an image's features do not depend on the
    /// other images.
    ///
    /// # Errors
    /// [`FeaturesError::Images`] as for [`Extractor::check`]; errors from libtorch, such as lack of memory.
    pub fn extract(&self, images: ArrayView4<'_, u8>) -> Result<Extracted, FeaturesError> {
        let (count, height, width, channels) = images.dim();
        self.check(height, width, channels)?;
        let mut features = Array2::zeros((count, self.width()));
        let mut answers = self.classes().map(|classes| Array2::zeros((count, classes)));
        let mut first = 0;
        for part in images.axis_chunks_iter(Axis(0), self.part()) {
            let rows = first..first + part.len_of(Axis(0));
            let (of_part, probabilities) = torch_ext::inference_mode(|| self.forward(part))??;
            fill(&mut features, rows.clone(), &of_part)?;
            if let (Some(all), Some(probabilities)) = (&mut answers, probabilities) {
                fill(all, rows.clone(), &probabilities)?;
            }
            first = rows.end;
        }
        Ok(Extracted { features, answers })
    }

    /// Number of classes, if the network has classes.
    fn classes(&self) -> Option<usize> {
        match &self.network {
            Network::Classifier(net) => Some(net.classes()),
            Network::Inception(net) => Some(net.classes()),
        }
    }

    /// Images in the network at a time.
    fn part(&self) -> usize {
        match &self.network {
            Network::Classifier(net) => net.part(),
            Network::Inception(net) => net.part(),
        }
    }

    fn forward(&self, part: ArrayView4<'_, u8>) -> Result<Given, FeaturesError> {
        match &self.network {
            Network::Classifier(net) => net.forward(whole(part, net.part()).view()),
            Network::Inception(net) => net.forward(part),
        }
    }
}

/// Fills a part up to the full number of images by repeating its last one. libtorch chooses its algorithm by that number, so
/// another number would change the last bits of an image's features.
fn whole(part: ArrayView4<'_, u8>, images: usize) -> CowArray<'_, u8, Ix4> {
    let count = part.len_of(Axis(0));
    if count == images {
        return part.into();
    }
    let places: Vec<usize> = (0..images).map(|place| place.min(count.saturating_sub(1))).collect();
    part.select(Axis(0), &places).into()
}

/// Copies the rows of the first images of a part to their place.
fn fill(all: &mut Array2<f32>, rows: Range<usize>, part: &Tensor) -> Result<(), FeaturesError> {
    let numbers = tensor_io::to_vec(part)?;
    let mut target = all.slice_axis_mut(Axis(0), rows.into());
    target.iter_mut().zip(numbers).for_each(|(target, number)| *target = number);
    Ok(())
}
