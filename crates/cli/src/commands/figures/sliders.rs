//! The two sliders of the report: images turning into noise, and samples emerging from it.

use anyhow::ensure;
use figures::{Block, Frame, Section, Slider, SliderRoom, SliderText};
use ndarray::{Array5, ArrayD, Axis, concatenate};
use sampler::Level;

use crate::commands::figures::forward::{in_columns, noise, to_model, to_pixels};
use crate::commands::figures::plan::WATCHED;
use crate::commands::figures::sampling::{LongChain, Look, Sampling, chain_words};
use crate::commands::figures::subject::{Subject, images, varied};
use crate::commands::figures::times;
use crate::commands::reporting::numbers::in_equation;

/// Positions of a slider, if there is room for them.
const POSITIONS: usize = 42;
/// Key of the noise, distinct from the figure numbers.
const NOISE: u32 = 102;

/// The section with the slider over t.
pub(super) fn forward(subject: &Subject, seed: u64) -> anyhow::Result<Option<Section>> {
    let Ok(data) = &subject.data else { return Ok(None) };
    let path = subject.schedule_config.path()?;
    let room = SliderRoom::of(data.shape(), 1, WATCHED, POSITIONS);
    let x_0 = to_model(&images(data, &varied(data, room.images))?);
    // The same noise at every t; only its amount changes.
    let eps = noise(x_0.shape(), 0, (seed, NOISE));
    let mut columns = vec![to_pixels(x_0.clone())?];
    let mut frames = vec![Frame { label: "The images themselves".to_owned(), note: "x_0".to_owned() }];
    for t in times::to_the_end(path.steps(), room.frames.saturating_sub(1)) {
        let level = path.level_at(t as f64)?;
        columns.push(to_pixels(diffused(&x_0, &eps, &level))?);
        frames.push(Frame { label: format!("t = {t}"), note: forward_note(&level) });
    }
    let last = path.steps() - 1;
    let caption = format!(
        "Move the slider, or focus it and press the arrow keys. From left to right: the images themselves, then t = 0 to \
         {last}. The noise ε is the same at every t; only its amount changes.{}",
        size_words(room.shrink)
    );
    let text = SliderText {
        title: "Images with noise",
        label: "timestep t, from image to noise",
        caption: &caption,
        rows: &[""],
        start: frames.len() / 4,
    };
    let slider = Slider::new(&text, frames, in_columns(&columns)?.view(), room.shrink)?;
    Ok(Some(Section::new("watch-forward", "Slider: forward process", vec![Block::Slider(slider)])))
}

/// `x_t`, scaled to unit variance on other paths: EDM's would exceed the range of pixels.
fn diffused(x_0: &ArrayD<f32>, eps: &ArrayD<f32>, level: &Level) -> ArrayD<f32> {
    let scale = level.alpha.hypot(level.sigma);
    let (signal, noise) = ((level.alpha / scale) as f32, (level.sigma / scale) as f32);
    signal * x_0 + noise * eps
}

fn forward_note(level: &Level) -> String {
    let (alpha, sigma) = (in_equation(level.alpha), in_equation(level.sigma));
    let ratio = in_equation(level.ratio().powi(-2));
    if keeps_variance(level) {
        let alpha_bar = in_equation(level.signal());
        return format!(
            "x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε = {alpha} x_0 + {sigma} ε\n\
             ᾱ_t = {alpha_bar},  SNR = ᾱ_t / (1 − ᾱ_t) = {ratio}"
        );
    }
    let share = in_equation(level.signal());
    format!(
        "x_t = α_t x_0 + σ_t ε = {alpha} x_0 + {sigma} ε\n\
         SNR = α_t^2 / σ_t^2 = {ratio},  α_t^2 / (α_t^2 + σ_t^2) = {share}"
    )
}

fn keeps_variance(level: &Level) -> bool {
    (level.alpha.hypot(level.sigma) - 1.0).abs() < 1e-9
}

/// What the long chain keeps for the slider: how many images, and at which of its steps.
pub(super) fn watched(size: (usize, usize, usize), steps: usize) -> (SliderRoom, Vec<usize>) {
    let room = SliderRoom::of(size, 2, WATCHED, POSITIONS);
    // The last position shows the samples.
    (room, times::spread(steps, room.frames.saturating_sub(1)))
}

/// The section with the slider over the steps of one denoising.
pub(super) fn denoising(sampling: &Sampling<'_>) -> anyhow::Result<Section> {
    let LongChain { samples, looks, room, visited, .. } = sampling.long_chain()?;
    let (path, steps) = (&sampling.loaded.path, sampling.plan.long);
    let shown: Vec<&Look> = looks.iter().filter(|look| visited.contains(&look.index)).collect();
    ensure!(!shown.is_empty(), "the chain recorded no steps");
    let count = room.images.min(shown[0].x_t.len_of(Axis(0)));
    let first = |pixels: &ndarray::Array4<u8>| pixels.slice_axis(Axis(0), (0..count).into()).to_owned();
    let mut frames = Vec::new();
    for look in &shown {
        let label = format!("t = {}, after {} of {steps} steps", look.t, look.index);
        frames.push(Frame { label, note: denoising_note(&path.level_at(look.t as f64)?) });
    }
    frames.push(Frame { label: format!("The samples, after {steps} steps"), note: "x_0".to_owned() });
    let columns = |of: fn(&Look) -> &ndarray::Array4<u8>| {
        let columns = shown.iter().map(|look| first(of(look))).chain([first(samples)]);
        in_columns(&columns.collect::<Vec<_>>())
    };
    let (x_t, x_0) = (columns(|look| &look.x_t)?, columns(|look| &look.x_0)?);
    let cells: Array5<u8> = concatenate(Axis(0), &[x_t.view(), x_0.view()])?;
    let caption = format!(
        "Upper row: xₜ along the chain, from noise (left end of the slider) to image (right end). Lower row: the image that the \
         network predicts from it. {}{}",
        chain_words(steps, path.steps()),
        size_words(room.shrink)
    );
    let text = SliderText {
        title: "Samples along the chain, and the predicted images",
        label: "step of the denoising, from noise to image",
        caption: &caption,
        rows: &["x_t", "x̂_0"],
        start: frames.len() * 3 / 5,
    };
    let slider = Slider::new(&text, frames, cells.view(), room.shrink)?;
    Ok(Section::new("watch-denoising", "Slider: reverse process", vec![Block::Slider(slider)]))
}

fn denoising_note(level: &Level) -> String {
    let (alpha, sigma) = (in_equation(level.alpha), in_equation(level.sigma));
    let form = if keeps_variance(level) {
        "(x_t − √(1 − ᾱ_t) ε_θ(x_t, t)) / √ᾱ_t"
    } else {
        "(x_t − σ_t ε_θ(x_t, t)) / α_t"
    };
    format!("x̂_0 = {form} = (x_t − {sigma} ε_θ(x_t, t)) / {alpha}")
}

fn size_words(shrink: usize) -> String {
    if shrink == 1 { String::new() } else { format!(" Shown at 1/{shrink} of their height and width.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{IxDyn, arr1};

    #[test]
    fn the_equation_has_the_numbers_of_the_level() {
        let chain = Level { t: 3.0, alpha: 0.8, sigma: 0.6 };
        let note = forward_note(&chain);
        assert!(note.contains("= 0.8 x_0 + 0.6 ε") && note.contains("ᾱ_t = 0.64,  SNR"), "{note}");
        assert!(note.ends_with("= 1.778"), "{note}");
        assert!(denoising_note(&chain).ends_with("(x_t − 0.6 ε_θ(x_t, t)) / 0.8"));
        let edm = Level { t: 3.0, alpha: 1.0, sigma: 2.0 };
        let note = forward_note(&edm);
        assert!(note.contains("α_t x_0 + σ_t ε = 1 x_0 + 2 ε") && note.contains("= 0.25,"), "{note}");
        assert!(!note.contains('ᾱ') && !denoising_note(&edm).contains('ᾱ'));
    }

    #[test]
    fn any_path_is_shown_with_unit_variance() {
        let (x_0, eps) = (arr1(&[1_f32, 0.0]).into_dyn(), arr1(&[0_f32, 1.0]).into_dyn());
        for (alpha, sigma) in [(0.8, 0.6), (1.0, 80.0), (0.25, 0.75)] {
            let x_t = diffused(&x_0, &eps, &Level { t: 0.0, alpha, sigma });
            let length = x_t[IxDyn(&[0])].hypot(x_t[IxDyn(&[1])]);
            assert!(
                (length - 1.0).abs() < 1e-6 && (x_t[[1]] / x_t[[0]] - (sigma / alpha) as f32).abs() < 1e-3
            );
        }
    }

    #[test]
    fn the_chain_is_recorded_from_its_first_step_on() {
        let (room, visited) = watched((28, 28, 1), 1000);
        assert_eq!((room.images, room.frames, visited.len(), visited[0]), (6, 42, 41, 0));
        assert!(visited.is_sorted() && *visited.last().unwrap() < 1000);
        assert_eq!(watched((28, 28, 1), 5).1, [0, 1, 2, 3, 4]);
    }
}
