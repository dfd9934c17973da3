//! Figures 1 and 5: the schedules and the time embedding, which need no images.

use embedding::{EmbeddingKind, Order, TimeEmbedding};
use figures::{Figure, ScheduleCurves};
use ndarray::Array1;
use schedule::{BetaSchedule, Schedule};
use unet::{EmbeddingConfig, SinusoidOrder};

use crate::commands::figures::subject::Subject;

/// Figure 1: every kind of schedule with its default parameters, and the run's own if it differs.
pub(super) fn schedules(subject: &Subject) -> anyhow::Result<Figure> {
    let steps = subject.schedule.steps();
    // Leave out kinds that are not defined for this many steps.
    let usual = |&name: &&'static str| {
        Some((name, Schedule::new(&BetaSchedule::usual(name, steps).ok()?, steps).ok()?))
    };
    let mut shown: Vec<(&str, Schedule)> = BetaSchedule::NAMES.iter().filter_map(usual).collect();
    let own = &subject.schedule;
    let same = |other: &Schedule| own.betas().iter().zip(other.betas()).all(|(a, b)| (a - b).abs() < 1e-12);
    if !shown.iter().any(|(_, schedule)| same(schedule)) {
        shown.push(("this run", own.clone()));
    }
    let tables: Vec<_> =
        shown.iter().map(|(name, s)| (*name, s.betas().to_vec(), s.alpha_bars().to_vec())).collect();
    let curves: Vec<_> =
        tables.iter().map(|(name, betas, alpha_bars)| ScheduleCurves { name, betas, alpha_bars }).collect();
    let mut figure = figures::schedules(&curves)?;
    let name = &subject.schedule_config.kind;
    let last = own.alpha_bars()[steps - 1];
    figure.caption.push_str(&format!(
        " Every other figure here uses the {name} schedule, T = {steps}; ᾱ ends at {}.",
        scientific(last)
    ));
    Ok(figure)
}

/// Figure 5: the network's embedding at every t.
pub(super) fn embedding(subject: &Subject) -> anyhow::Result<Figure> {
    let steps = subject.schedule.steps();
    // A table's numbers are weights, so draw the paper's encoding, which it stands for.
    let kind = match subject.embedding.kind(steps) {
        Some(kind) => kind,
        None => EmbeddingKind::Transformer {
            dim: 32,
            max_period: 10_000.0,
            order: Order::SinFirst,
            freq_shift: 1.0,
        },
    };
    let embedding = TimeEmbedding::new(&kind)?;
    let times = Array1::from_shape_fn(steps, |t| t as f64);
    let mut figure = figures::embedding(embedding.encode(times.view()).view())?;
    figure.equation = equation(&subject.embedding);
    figure.caption.push_str(&format!(
        " Here: {}. The first half of the dimensions are {}.",
        describe(&subject.embedding),
        if embedding.order() == Order::SinFirst {
            "the sines, the second the cosines"
        } else {
            "the cosines, the second the sines"
        },
    ));
    Ok(figure)
}

/// The embedding in a few words.
pub(super) fn describe(config: &EmbeddingConfig) -> String {
    match config {
        EmbeddingConfig::Normalized { frequencies } => {
            format!(
                "normalised t, {frequencies} frequencies from 1 to T/2 cycles, {} dimensions",
                2 * frequencies
            )
        }
        EmbeddingConfig::Table { dim, .. } => {
            format!("a learned table, {dim} numbers for every t; the plot shows the paper's encoding")
        }
        EmbeddingConfig::Transformer { dim, .. } => {
            format!("the transformer's encoding of t, {dim} dimensions")
        }
        EmbeddingConfig::Fourier { frequencies, scale, .. } => {
            format!(
                "{frequencies} random frequencies of scale {scale} cycles, {} dimensions",
                2 * frequencies
            )
        }
    }
}

fn equation(config: &EmbeddingConfig) -> String {
    match config {
        EmbeddingConfig::Normalized { .. } => {
            "e(t) = (sin 2π f_1 t/T, …, sin 2π f_K t/T, cos 2π f_1 t/T, …, cos 2π f_K t/T),  \
             f_1 = 1,  f_K = T/2,  f_{k+1}/f_k constant"
                .to_owned()
        }
        EmbeddingConfig::Table { .. } => "e(t) = row t of a table".to_owned(),
        EmbeddingConfig::Transformer { order, freq_shift, .. } => {
            let halves = match order {
                SinusoidOrder::SinFirst => ["sin", "cos"],
                SinusoidOrder::CosFirst => ["cos", "sin"],
            };
            let [first, second] = halves.map(|name| format!("{name} ω_1 t, …, {name} ω_K t"));
            let divisor = if *freq_shift == 0 { "K".to_owned() } else { format!("(K − {freq_shift})") };
            format!("e(t) = ({first}, {second}),  ω_k = 10000^{{−(k − 1)/{divisor}}}")
        }
        EmbeddingConfig::Fourier { .. } => {
            "e(t) = (sin 2π f_1 t/T, …, sin 2π f_K t/T, cos 2π f_1 t/T, …, cos 2π f_K t/T),  \
             f_k ~ N(0, s^2)"
                .to_owned()
        }
    }
}

/// `4.04 · 10⁻⁵` without superscripts the page cannot show: `4.04e-5`.
pub(super) fn scientific(value: f64) -> String {
    if value == 0.0 || (1e-3..1e4).contains(&value) { format!("{value:.4}") } else { format!("{value:.2e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_follow_the_configuration() {
        let transformer =
            |order, freq_shift| equation(&EmbeddingConfig::Transformer { dim: 8, order, freq_shift });
        assert!(transformer(SinusoidOrder::SinFirst, 1).contains("(sin ω_1 t, …, sin ω_K t, cos ω_1 t"));
        assert!(transformer(SinusoidOrder::SinFirst, 1).ends_with("ω_k = 10000^{−(k − 1)/(K − 1)}"));
        assert!(transformer(SinusoidOrder::CosFirst, 0).contains("(cos ω_1 t"));
        assert!(transformer(SinusoidOrder::CosFirst, 0).ends_with("/K}"));
    }

    /// Checks the equation of figure 5 against the table it describes: `f_K = T/2`, sines before cosines.
    #[test]
    fn the_normalised_embedding_is_as_written() {
        let steps = 1000;
        let embedding =
            TimeEmbedding::new(&EmbeddingConfig::Normalized { frequencies: 10 }.kind(steps).unwrap())
                .unwrap();
        let encoded = embedding.encode(Array1::from_vec(vec![1.0]).view());
        let ratio = 500_f64.powf(1.0 / 9.0);
        for k in 0..10 {
            let angle = std::f64::consts::TAU * ratio.powi(k) / steps as f64;
            assert!((encoded[[0, k as usize]] - angle.sin()).abs() < 1e-9);
            assert!((encoded[[0, 10 + k as usize]] - angle.cos()).abs() < 1e-9);
        }
    }

    #[test]
    fn small_numbers_are_short() {
        assert_eq!([4.0358e-5, 0.25, 0.0].map(scientific), ["4.04e-5", "0.2500", "0.0000"]);
    }
}
