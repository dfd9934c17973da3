//! Draws every figure from made-up data, for a visual check: `cargo run -p figures --example gallery -- DIR`.
//!
//! No model is involved: "samples" are simple shapes, and reverse processes are forward ones played backwards.

use std::f64::consts::{FRAC_PI_2, TAU};
use std::path::PathBuf;

use figures::{
    Animation, Figure, FiguresError, LossBucket, LossText, Moments, OneStep, PixelValues, Report,
    SamplerBlocks, ScheduleCurves, Section, Strip,
};
use ndarray::{Array2, Array3, Array4, Array5, Axis, stack};
use random::{Purpose, Stream};

const STEPS: usize = 1000;

fn main() -> Result<(), FiguresError> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/gallery".into()));
    for (name, side, channels) in [("grey", 28, 1), ("colour", 32, 3)] {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).map_err(|source| FiguresError::Write { path: dir.clone(), source })?;
        let demo = Demo { side, channels };
        let figures = demo.figures()?;
        for figure in &figures {
            figure.save(&dir)?;
            figure.save_dark(&dir.join("dark"))?;
        }
        for (name, bytes) in demo.watched()? {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(|source| FiguresError::Write { path, source })?;
        }
        let summary =
            [("dataset", format!("{side} x {side} made-up {name} shapes")), ("steps", STEPS.to_string())];
        let summary = summary.map(|(key, value)| (key.to_owned(), value));
        let introduction = "Figures from made-up data.";
        let sections: Vec<Section> = figures.into_iter().map(Section::from).collect();
        let report = Report { title: "Gallery", introduction, summary: &summary, sections: &sections };
        report.save(&dir.join("report.html"))?;
    }
    Ok(())
}

fn linear() -> Vec<f64> {
    (0..STEPS).map(|t| 1e-4 + (0.02 - 1e-4) * t as f64 / (STEPS - 1) as f64).collect()
}

fn cosine() -> Vec<f64> {
    let f = |t: usize| (FRAC_PI_2 * (t as f64 / STEPS as f64 + 0.008) / 1.008).cos().powi(2);
    (0..STEPS).map(|t| (1.0 - f(t + 1) / f(t)).min(0.999)).collect()
}

fn products(betas: &[f64]) -> Vec<f64> {
    betas
        .iter()
        .scan(1.0, |left, beta| Some(std::mem::replace(left, *left * (1.0 - beta)) * (1.0 - beta)))
        .collect()
}

struct Demo {
    side: usize,
    channels: usize,
}

impl Demo {
    fn figures(&self) -> Result<Vec<Figure>, FiguresError> {
        let (linear, cosine) = (linear(), cosine());
        let (linear_bars, cosine_bars) = (products(&linear), products(&cosine));
        let constant = vec![0.01; STEPS];
        let constant_bars = products(&constant);
        let curve = |name, betas, alpha_bars| ScheduleCurves { name, betas, alpha_bars };
        let schedules = [
            curve("linear", &linear[..], &linear_bars[..]),
            curve("cosine", &cosine, &cosine_bars),
            curve("constant", &constant, &constant_bars),
        ];

        let every = |step: usize| -> Vec<usize> { (0..STEPS).step_by(step).chain([STEPS - 1]).collect() };
        let (every_100, every_50) = (every(100), every(50));
        let wide = self.diffused(4, &every_100, &linear_bars, 0);
        let dense = self.diffused(4, &every_50, &linear_bars, 0);
        let strips = [
            Strip { heading: "Every 100 steps", times: &every_100, images: wide.view() },
            Strip { heading: "Every 50 steps", times: &every_50, images: dense.view() },
        ];

        let again = self.diffused(3, &every_100, &linear_bars, 1);
        let once = self.diffused(3, &every_100, &linear_bars, 0);
        let moments: Vec<Moments> = every_50
            .iter()
            .map(|&t| {
                let expected = (0.6 * linear_bars[t].sqrt(), 1.0 - linear_bars[t]);
                let off = |k: usize| 0.01 * ((t * k) as f64).sin();
                Moments {
                    t,
                    expected,
                    iterated: (expected.0 + off(3), expected.1 + off(5)),
                    closed: (expected.0 + off(7), expected.1 + off(11)),
                }
            })
            .collect();
        let one_step =
            OneStep { times: &every_100, iterated: again.view(), closed: once.view(), moments: &moments };

        let at: Vec<(usize, Vec<f32>)> =
            [0, 50, 100, 250, 500, 999].map(|t| (t, self.noisy(20, linear_bars[t], 2))).to_vec();
        let at: Vec<PixelValues<'_>> = at.iter().map(|(t, values)| PixelValues { t: *t, values }).collect();

        let embedding = Array2::from_shape_fn((STEPS, 20), |(t, d)| {
            let frequency = 500_f64.powf((d / 2) as f64 / 9.0);
            let angle = TAU * frequency * t as f64 / STEPS as f64;
            if d % 2 == 0 { angle.sin() } else { angle.cos() }
        });

        let steps: Vec<u64> = (1..=600).map(|step| step * 10).collect();
        let mut stream = Stream::new(0, Purpose::Figure, 9, 0);
        let losses: Vec<f64> = steps
            .iter()
            .map(|&step| {
                (0.05 + 0.95 * (-(step as f64) / 300.0).exp()) * (0.2 * f64::from(stream.normals(1)[0])).exp()
            })
            .collect();
        let buckets: Vec<LossBucket> = (0..10)
            .map(|i| LossBucket { first: i * 100, end: (i + 1) * 100, loss: 0.3 / (1.0 + 2.0 * i as f64) })
            .collect();

        let loss_text = LossText {
            name: "squared error of the predicted noise, per pixel",
            equation: "L = ‖ε − ε_θ(x_t, t)‖^2",
            every: 10,
            tail: (4500, 6000),
        };

        let back: Vec<usize> = every_100.iter().rev().copied().collect();
        let x_t = self.diffused(3, &back, &linear_bars, 3);
        let x_0 =
            self.diffused(3, &back, &linear_bars.iter().map(|bar| bar.sqrt().sqrt()).collect::<Vec<_>>(), 3);
        let originals = self.clean(6);
        let starts = [100, 200, 300, 400, 500, 600, 800, 999];
        let varied = self.diffused(6, &starts.map(|t| t / 5), &linear_bars, 4);
        let many = self.clean(60);
        let block = self.clean(6);
        let block = || vec![block.view(); 5];
        let samplers = [
            SamplerBlocks { name: "DDPM, respaced", blocks: block() },
            SamplerBlocks { name: "DDIM, η = 0", blocks: block() },
        ];
        Ok(vec![
            figures::schedules(&schedules)?,
            figures::forward_strips(&strips)?,
            figures::one_step(&one_step)?,
            figures::histograms(&at)?,
            figures::embedding(embedding.view())?,
            figures::loss(&loss_text, &steps, &losses, &buckets)?,
            figures::samples(many.view())?,
            figures::trajectories(&back, x_t.view(), x_0.view())?,
            figures::sigmas(originals.view(), originals.view())?,
            figures::variations(originals.view(), &starts, varied.view())?,
            figures::fewer_steps(&[10, 20, 50, 100, 1000], &samplers)?,
        ])
    }

    /// A reverse process as a strip and as animations, with their file names.
    fn watched(&self) -> Result<[(&'static str, Vec<u8>); 3], FiguresError> {
        let times: Vec<usize> = (0..STEPS).rev().step_by(50).chain([0]).collect();
        let labels: Vec<f64> = times.iter().map(|&t| t as f64).collect();
        let x_t = self.diffused(16, &times, &products(&linear()), 5);
        let few = x_t.slice_axis(Axis(0), (0..3).into());
        let strip = figures::denoising_strip(&labels, few, few)?;
        let frames = figures::grid_frames(x_t.view().permuted_axes([1, 0, 2, 3, 4]), 4, 1)?;
        let animation = Animation::new(frames.view()).scale(3);
        Ok([
            ("strip.png", strip.png()?),
            ("animation.gif", animation.gif()?),
            ("animation.apng", animation.apng()?),
        ])
    }

    /// Shape `index`, `[side, side, channels]` in [-1, 1]: a disc, a box or a ring.
    fn shape(&self, index: usize) -> Array3<f32> {
        let half = self.side as f32 / 2.0;
        Array3::from_shape_fn((self.side, self.side, self.channels), |(y, x, channel)| {
            let (dx, dy) = ((x as f32 + 0.5) / half - 1.0, (y as f32 + 0.5) / half - 1.0);
            let distance = match index % 3 {
                0 => dx.hypot(dy) - 0.7,
                1 => dx.abs().max(dy.abs()) - 0.6,
                _ => (dx.hypot(dy) - 0.6).abs() - 0.2,
            };
            let bright = 0.9 - 0.5 * ((index + channel) % 3) as f32;
            if distance < 0.0 { bright + 0.2 * dy } else { -1.0 }
        })
    }

    fn clean(&self, n: usize) -> Array4<u8> {
        let images: Vec<_> = (0..n).map(|index| self.shape(index).mapv(to_byte)).collect();
        stack(Axis(0), &images.iter().map(Array3::view).collect::<Vec<_>>()).unwrap_or_default()
    }

    /// `[n, times, side, side, channels]`.
    fn diffused(&self, n: usize, times: &[usize], alpha_bars: &[f64], rank: u32) -> Array5<u8> {
        let mut images = Array5::zeros((n, times.len(), self.side, self.side, self.channels));
        for (index, mut row) in images.outer_iter_mut().enumerate() {
            let mut stream = Stream::new(0, Purpose::Diffuse, index as u64, rank);
            let shape = self.shape(index);
            for (&t, mut cell) in times.iter().zip(row.outer_iter_mut()) {
                let eps = stream.normals(shape.len());
                for ((pixel, &x_0), eps) in cell.iter_mut().zip(&shape).zip(eps) {
                    let bar = alpha_bars[t] as f32;
                    *pixel = to_byte(bar.sqrt() * x_0 + (1.0 - bar).sqrt() * eps);
                }
            }
        }
        images
    }

    fn noisy(&self, n: usize, bar: f64, rank: u32) -> Vec<f32> {
        let bar = bar as f32;
        let mut stream = Stream::new(0, Purpose::Figure, 0, rank);
        (0..n)
            .flat_map(|index| self.shape(index).into_raw_vec_and_offset().0)
            .map(|x_0| bar.sqrt() * x_0 + (1.0 - bar).sqrt() * stream.normals(1)[0])
            .collect()
    }
}

fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}
