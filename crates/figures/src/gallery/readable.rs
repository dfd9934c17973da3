//! Every figure on a phone and on a dark page.

use ndarray::{Array2, Array4, Array5};

use super::*;
use crate::canvas::Canvas;
use crate::dark::DARK;
use crate::figure::Figure;

/// Pixels of a phone, and of a column of two in a README.
const NARROW: f64 = 500.0;
const TIMES: [usize; 12] = [999, 900, 800, 700, 600, 500, 400, 300, 200, 100, 50, 0];

/// Every figure with images of `side` pixels, as many as `ddpm figures` shows.
fn all(side: usize, channels: usize) -> Vec<Figure> {
    let row = |count: usize| Array4::<u8>::from_elem((count, side, side, channels), 90);
    let rows =
        |count: usize, columns: usize| Array5::<u8>::from_elem((count, columns, side, side, channels), 90);
    let rising: Vec<usize> = TIMES.iter().rev().copied().collect();
    let (strip, six, long) = (rows(2, TIMES.len()), row(6), row(16));
    let (linear, falling): (Vec<f64>, Vec<f64>) =
        (0..1000).map(|t| (1e-4 + 2e-5 * f64::from(t), 0.99_f64.powi(t + 1))).unzip();
    let curve = |name| ScheduleCurves { name, betas: &linear, alpha_bars: &falling };
    let names = ["linear", "scaled-linear", "cosine", "sigmoid", "constant", "this run"];
    let moments = rising.iter().map(|&t| {
        let both = (-0.2 + 2e-4 * t as f64, 1e-3 * t as f64);
        Moments { t, expected: both, iterated: both, closed: both }
    });
    let moments: Vec<Moments> = moments.collect();
    let one = OneStep { times: &rising, iterated: strip.view(), closed: strip.view(), moments: &moments };
    let pixels: Vec<f32> = (0..2000).map(|i| (i as f32 * 0.37).sin()).collect();
    let histogram = |&t: &usize| PixelValues { t, values: &pixels };
    let waves = Array2::from_shape_fn((1000, 64), |(t, d)| ((t * (d + 1)) as f64 * 0.01).sin());
    let text = LossText { name: "squared error", equation: "L = x", every: 20, tail: (123_450, 1_234_500) };
    let steps: Vec<u64> = (1..=300).map(|step| 20 * step).collect();
    let losses: Vec<f64> = steps.iter().map(|&step| 3.0 / step as f64).collect();
    let bucket = |i: usize| LossBucket { first: 100 * i, end: 100 * i + 100, loss: 0.3 / (1 + i) as f64 };
    let block = |name| SamplerBlocks { name, blocks: vec![six.view(); 5] };
    let solver = |name: &str| SolverErrors {
        name: name.to_owned(),
        points: vec![(10, 1e-2), (20, 2e-3), (320, 1e-8)],
    };
    let solvers_shown = ["DDIM", "Heun", "DPM++ 2M", "DEIS-3", "DPM++ 3M", "UniPC-3"].map(solver);
    let classes = (0..10).map(|_| ClassBlocks { name: "Ankle boot", blocks: vec![six.view(); 5] });
    let edit = |columns: usize| rows(2, columns);
    let (nine, seven, four) = (edit(9), edit(7), edit(4));
    fn groups(cells: &Array5<u8>) -> Vec<EditRows<'_>> {
        vec![
            EditRows { name: "a box", cells: cells.view() },
            EditRows { name: "outside", cells: cells.view() },
        ]
    }
    let by_t: Vec<(f64, f64)> = (0..1000).map(|t| (f64::from(t), 1.0 / f64::from(t + 1))).collect();
    let line = |kind| AblationLine {
        label: "sigma_rel=0.1, dpmpp-2m 15".into(),
        kind,
        value: 5.0,
        interval: Some((4.0, 6.0)),
        seeds: vec![4.5, 5.5],
    };
    let study = AblationGroup { heading: "flow: objective flow".into(), lines: vec![line(0), line(1)] };
    let panel = ScalingPanel {
        heading: "t = 12 ms + 3.4 ms · n".into(),
        x_label: "batch".into(),
        y_label: "ms".into(),
        fitted: vec![(1.0, 5.0), (4.0, 14.0)],
        held_out: vec![(16.0, 51.0)],
        law: vec![(1.0, 5.0), (16.0, 50.0)],
    };
    let run = LossCurve { name: "runs/fashion-28", steps: &steps, batch: 32, losses: &losses };
    let drawn = vec![
        schedules(&names.map(curve)),
        forward_strips(&[Strip { heading: "Every 100 steps", times: &rising, images: strip.view() }]),
        one_step(&one),
        histograms(&TIMES[..6].iter().map(histogram).collect::<Vec<_>>()),
        embedding(waves.view()),
        loss(&text, &steps, &losses, &(0..10).map(bucket).collect::<Vec<_>>()),
        samples(row(64).view()),
        trajectories(&TIMES, strip.view(), strip.view()),
        sigmas(six.view(), six.view()),
        variations(six.view(), &TIMES[..8], rows(6, 8).view()),
        fewer_steps(&[10, 20, 50, 100, 1000], &["DDPM, respaced", "DDIM, η = 0"].map(block)),
        solvers(&[5, 10, 20, 50, 100], &["SDE-DPM++ 2M"; 9].map(block)),
        fast_and_slow((long.view(), 1000), (long.view(), 15)),
        convergence((&solvers_shown, 1000), (&solvers_shown, 999)),
        guidance(&[1.0, 1.5, 2.0, 3.0, 5.0], &classes.collect::<Vec<_>>()),
        interpolation(&[0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875], &groups(&nine)),
        inpainting(5, &groups(&seven)),
        encoding(&groups(&four), &[1.0, 2.0]),
        upscaling(5, &groups(&seven)),
        bits(&Bits { by_t: &by_t, prior: 1e-5, total: 7.5, images: 500 }),
        ablation("FD (fashion features), train; lower is better", &["a".into(), "b".into()], &[study]),
        scaling(&[panel.clone(), panel.clone(), panel]),
        loss_curves(&[run, LossCurve { name: "runs/flow", ..run }]),
        sample_grids(&[("runs/fashion-28", long.view()), ("runs/flow", long.view()), ("v", six.view())]),
    ];
    drawn.into_iter().collect::<Result<_, _>>().unwrap()
}

#[test]
fn text_is_legible_on_a_phone() {
    for (side, channels) in [(28, 1), (96, 1)] {
        for figure in all(side, channels) {
            let em = figure.smallest_text_at(NARROW).unwrap();
            assert!(em >= 8.0 - 1e-9, "{} with images of {side}: {em:.1} pixels per em", figure.name);
        }
    }
}

/// The corners are paper, and no paper is left white anywhere else either: images here are grey.
#[test]
fn no_white_is_left_on_a_dark_page() {
    for figure in all(16, 3) {
        let (light, dark) = (Canvas::from_png(&figure.png).unwrap(), Canvas::from_png(&figure.dark).unwrap());
        assert_eq!((light.width(), light.height()), (dark.width(), dark.height()), "{}", figure.name);
        assert_eq!(light.pixels().get_pixel(1, 1).0, [255; 3], "{}", figure.name);
        assert_eq!(dark.pixels().get_pixel(1, 1).0, DARK, "{}", figure.name);
        let left = dark.pixels().pixels().filter(|pixel| pixel.0 == [255; 3]).count();
        // A map of numbers may have white in its colours.
        assert!(left == 0 || figure.name == "05-embedding", "{}: {left} white pixels", figure.name);
    }
}

#[test]
fn every_figure_is_described() {
    for figure in all(8, 1) {
        assert!(figure.alt.starts_with(figure.title) && figure.alt.len() > figure.title.len() + 10);
        assert!(figure.caption.ends_with(['.', ')']), "{}: {}", figure.name, figure.caption);
    }
}
