//! How a mixture is fitted to images.

use std::collections::BTreeMap;

use random::{Purpose, Stream};
use tch::{Kind, Tensor};

use crate::clusters::{groups, one_hot};
use crate::component::{Components, LEAST};
use crate::directions::principal;
use crate::error::MixtureError;
use crate::start::Mixture;

/// Of the mean variance inside the span: no component is thinner, so that a covariance always has a factor.
const THINNEST: f64 = 1e-6;
/// The same if all images are equal.
const LEAST_VARIANCE: f64 = 1e-10;

/// The settings of a fit.
///
/// ```
/// use mixture::Fit;
/// use tch::{Device, Kind, Tensor};
/// tch::manual_seed(1);
/// let images = Tensor::f_randn([200, 1, 4, 4], (Kind::Float, Device::Cpu))?;
/// let mixture = Fit { components: 2, directions: 5, ..Fit::default() }.of(&images, None)?;
/// assert_eq!(mixture.shape(), [1, 4, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Gaussians in all, 1 to 1024. With labels, each class gets its share of them, at least one. Each describes at least 8
    /// images, so few images get fewer, and a class with fewer than 8 images gets one Gaussian of all images.
    pub components: usize,
    /// Principal components of the images in which the Gaussians lie, 1 to 1024; fewer for fewer images or pixels.
    pub directions: usize,
    /// Rounds of expectation and maximisation, up to 1000.
    pub rounds: usize,
    /// Seed of the first guess.
    pub seed: u64,
}

impl Default for Fit {
    fn default() -> Self {
        Self { components: 50, directions: 256, rounds: 2, seed: 0 }
    }
}

impl Fit {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`MixtureError::Count`].
    pub fn validate(&self) -> Result<(), MixtureError> {
        for (what, got, least, most) in [
            ("components", self.components, 1, 1024),
            ("directions", self.directions, 1, 1024),
            ("rounds", self.rounds, 0, 1000),
        ] {
            if !(least..=most).contains(&got) {
                return Err(MixtureError::Count { what, got, least, most });
            }
        }
        Ok(())
    }

    /// Fits a mixture to `images`, f32 `[b, c, h, w]` in [-1, 1] with at least 2 of them, and their labels. Images with
    /// a negative label have no class.
    ///
    /// # Errors
    /// Those of [`Fit::validate`]; [`MixtureError::Images`], [`MixtureError::TooFew`], [`MixtureError::Labels`] and
    /// [`MixtureError::NotFinite`] for other images; those of libtorch.
    pub fn of(&self, images: &Tensor, labels: Option<&[i64]>) -> Result<Mixture, MixtureError> {
        self.validate()?;
        let _no_grad = tch::no_grad_guard();
        let size = images.size();
        if size.len() != 4 || size.contains(&0) || images.f_kind()? != Kind::Float {
            let got_kind = format!("{:?}", images.f_kind()?);
            let expected = "[b, c, h, w] with no empty axis".to_owned();
            return Err(MixtureError::Images { what: "images", expected, got: size, got_kind });
        }
        let rows = size[0] as usize;
        if rows < 2 {
            return Err(MixtureError::TooFew { got: rows, least: 2 });
        }
        if let Some(got) = labels.map(<[i64]>::len).filter(|&got| got != rows) {
            return Err(MixtureError::Labels { expected: rows, got });
        }
        let flat = images.f_to_device(tch::Device::Cpu)?.f_reshape([size[0], -1])?;
        if i64::try_from(&flat.f_isfinite()?.f_all()?)? == 0 {
            return Err(MixtureError::NotFinite);
        }
        let count = self.directions.min(rows - 1).min(flat.size()[1] as usize);
        let span = principal(&flat, count, self.seed)?;
        let onto = span.basis.f_to_kind(Kind::Float)?;
        let mean = span.mean.f_to_kind(Kind::Float)?;
        let points = flat.f_matmul(&onto)?.f_sub(&mean.f_matmul(&onto)?)?.f_to_kind(Kind::Double)?; // [b, d]
        let inside = f64::try_from(&points.f_square()?.f_mean(Kind::Double)?)?;
        let floor = span.rest.max(inside * THINNEST).max(LEAST_VARIANCE);

        let (mut weights, mut means, mut factors, mut classes) = (vec![], vec![], vec![], vec![]);
        for (class, members) in of_classes(labels, rows) {
            let share = members.len() as f64 / rows as f64;
            // A class of few images is described by all of them.
            let own = match members.len() < LEAST {
                true => points.shallow_clone(),
                false => points.f_index_select(0, &Tensor::f_from_slice(&members)?)?,
            };
            let wanted = (self.components as f64 * share).round() as usize;
            let wanted = wanted.min(members.len() / LEAST).max(1);
            let mut stream = Stream::new(self.seed, Purpose::MixtureFit, 1, class as u32);
            let first = one_hot(&groups(&own, wanted, &mut stream)?, wanted)?;
            let found = Components::fit(&own, first, floor, self.rounds)?;
            classes.extend(std::iter::repeat_n(class, found.weights.size()[0] as usize));
            weights.push(found.weights.f_mul_scalar(share)?);
            means.push(found.means);
            factors.push(found.factors);
        }
        let joined = |parts: &[Tensor]| -> Result<Tensor, MixtureError> {
            Ok(Tensor::f_cat(parts, 0)?.f_to_kind(Kind::Float)?)
        };
        let (channels, height, width) = (size[1], size[2], size[3]);
        Ok(Mixture {
            mean: mean.f_view([channels, height, width])?,
            directions: onto.f_tr()?.f_contiguous()?.f_view([count as i64, channels, height, width])?,
            rest: span.rest,
            weights: Vec::<f64>::try_from(&Tensor::f_cat(&weights, 0)?)?,
            classes,
            means: joined(&means)?,
            factors: joined(&factors)?,
        })
    }
}

/// The images of each class; all of them as class -1 without labels.
fn of_classes(labels: Option<&[i64]>, rows: usize) -> BTreeMap<i64, Vec<i64>> {
    let mut all: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in 0..rows {
        let class = labels.map_or(-1, |labels| labels[row].max(-1));
        all.entry(class).or_default().push(row as i64);
    }
    all
}
