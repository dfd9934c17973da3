//! An ablation study as dots with intervals, for the page of the study and not for the report.

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Colour, GREY, INK};
use crate::check;
use crate::error::FiguresError;
use crate::figure::{Figure, Words};
use crate::legible::INSIDE;
use crate::plot::{PALETTE, lighter};
use crate::text::{Text, Weight};

/// Pixels: a line with a dot, a heading of a group, white after a group.
const LINE: usize = 36;
const HEADING: usize = 48;
const GAP: usize = 14;
/// Pixels: the least and the most room for labels, from labels to the axis.
const LABELS: (usize, usize) = (200, 560);
const LABEL_GAP: usize = 20;
/// White right of the axis, where half of the last tick's label goes, and below it, for the ticks and the axis' label.
const RIGHT: usize = 60;
const BELOW: usize = 92;
const TEXT_SIZE: u32 = 26;
/// Radii of a dot, and of that of one seed.
const DOT: f64 = 8.0;
const SEED_DOT: f64 = 5.0;
/// Values further apart than this factor are drawn on a logarithmic axis, or the best would lie on top of each other.
const FAR_APART: f64 = 8.0;
const GRID: Colour = [0xe4; 3];

/// What was measured of one training.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationGroup {
    /// The heading above its lines: the name of the training, and what it is.
    pub heading: String,
    /// One for each way of evaluating it.
    pub lines: Vec<AblationLine>,
}

/// One way of evaluating a training.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationLine {
    /// The label on the left.
    pub label: String,
    /// Index of its colour in the legend.
    pub kind: usize,
    /// The metric; the mean over seeds where there are several.
    pub value: f64,
    /// Ends of the bar, where an interval is known.
    pub interval: Option<(f64, f64)>,
    /// The metric of each seed where there are several, else empty.
    pub seeds: Vec<f64>,
}

/// A line for each way of evaluating each training: a dot at the value, a bar over the interval, small dots for the seeds.
/// `kinds` are the legend, one a colour. The axis is logarithmic where all numbers are above 0 and lie more than a factor
/// of 8 apart.
///
/// # Errors
/// [`FiguresError::Empty`], [`FiguresError::NotFinite`], [`FiguresError::TooLarge`]; [`FiguresError::Mismatch`] for a kind
/// that is not in the legend.
pub fn ablation(metric: &str, kinds: &[String], groups: &[AblationGroup]) -> Result<Figure, FiguresError> {
    let lines = || groups.iter().flat_map(|group| &group.lines);
    check::not_empty("the study", &lines().collect::<Vec<_>>())?;
    check::finite(metric, lines().flat_map(numbers))?;
    if let Some(line) = lines().find(|line| line.kind >= kinds.len()) {
        return Err(FiguresError::Mismatch { what: "the legend", expected: line.kind + 1, got: kinds.len() });
    }
    let words = Words {
        name: "ablation",
        title: "Ablation study",
        caption: "The metric of every training, by how it was evaluated.".into(),
        equation: "",
        note: "Dots: the metric (mean over seeds if there are several). Bars: 95 % interval of the evaluation, over all \
               seeds. Small dots: single seeds.",
    };
    let legend = kinds.iter().cloned().zip(PALETTE.iter().copied().cycle()).collect();
    let page = words.page().legend(legend).row(vec![Chart::new(groups)?.draw(metric, groups)?]);
    words.figure(&page.draw()?)
}

/// Every number of a line that the axis must hold.
fn numbers(line: &AblationLine) -> impl Iterator<Item = f64> + '_ {
    let ends = line.interval.into_iter().flat_map(|(low, high)| [low, high]);
    std::iter::once(line.value).chain(ends).chain(line.seeds.iter().copied())
}

/// The layout of the chart.
struct Chart {
    axis: Axis,
    /// Pixels left of the axis, and pixels of the axis.
    left: usize,
    across: usize,
    /// Pixels above its end.
    bottom: usize,
}

impl Chart {
    fn new(groups: &[AblationGroup]) -> Result<Self, FiguresError> {
        let lines = || groups.iter().flat_map(|group| &group.lines);
        let all: Vec<f64> = lines().flat_map(numbers).collect();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scale = if least > 0.0 && most / least > FAR_APART { Scale::Log } else { Scale::Linear };
        let mut widest = LABELS.0;
        for line in lines() {
            widest = widest.max(label(line)?.width());
        }
        let rows = |group: &AblationGroup| HEADING + LINE * group.lines.len() + GAP;
        let left = widest.min(LABELS.1) + LABEL_GAP;
        Ok(Self {
            axis: Axis::new(scale, all.iter().copied(), None, 0.04),
            left,
            across: INSIDE - left - RIGHT,
            bottom: groups.iter().map(rows).sum(),
        })
    }

    /// The column of a number.
    fn x(&self, value: f64) -> f64 {
        let of = |value: f64| if self.axis.scale == Scale::Log { value.max(1e-300).ln() } else { value };
        let (low, high) = (of(self.axis.range.0), of(self.axis.range.1));
        let share = ((of(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.left as f64 + share * self.across as f64
    }

    fn draw(&self, metric: &str, groups: &[AblationGroup]) -> Result<Canvas, FiguresError> {
        let mut canvas = Canvas::new(INSIDE, self.bottom + BELOW)?;
        self.axes(&mut canvas, metric)?;
        let mut y = 0;
        for group in groups {
            let heading = Text::within(&group.heading, TEXT_SIZE, Weight::Bold, INSIDE)?;
            // On white, because the grid would run through the letters.
            canvas.fill(0, y, heading.width() + LABEL_GAP, HEADING - 4, [255; 3]);
            canvas.draw_text(&heading, 0, y + HEADING - 6 - heading.height(), INK);
            y += HEADING;
            for line in &group.lines {
                self.line(&mut canvas, line, y)?;
                y += LINE;
            }
            y += GAP;
        }
        Ok(canvas)
    }

    fn line(&self, canvas: &mut Canvas, line: &AblationLine, y: usize) -> Result<(), FiguresError> {
        let colour = PALETTE[line.kind % PALETTE.len()];
        let label = label(line)?;
        let middle = y + LINE / 2;
        let start = (self.left - LABEL_GAP).saturating_sub(label.width());
        canvas.draw_text(&label, start, middle.saturating_sub(label.height() / 2), INK);
        if let Some((low, high)) = line.interval {
            let (from, to) = (self.x(low.min(high)).round() as usize, self.x(low.max(high)).round() as usize);
            let pale = lighter(colour, 0.45);
            canvas.fill(from, middle - 2, to - from + 1, 5, pale);
            for end in [from, to] {
                canvas.fill(end.saturating_sub(1), middle - 8, 3, 16, pale);
            }
        }
        for seed in &line.seeds {
            disc(canvas, self.x(*seed), middle as f64, SEED_DOT, lighter(colour, 0.25));
        }
        disc(canvas, self.x(line.value), middle as f64, DOT, colour);
        Ok(())
    }

    fn axes(&self, canvas: &mut Canvas, metric: &str) -> Result<(), FiguresError> {
        let ticks = self.axis.ticks();
        for value in self.ticks() {
            let x = self.x(value).round() as usize;
            canvas.fill(x, 0, 2, self.bottom, GRID);
            canvas.fill(x, self.bottom, 2, 8, INK);
            let label = text(&ticks.format(value))?;
            canvas.draw_text(&label, x.saturating_sub(label.width() / 2), self.bottom + 12, INK);
        }
        canvas.fill(self.left, self.bottom, self.across + 2, 2, INK);
        let label = Text::within(metric, TEXT_SIZE, Weight::Regular, INSIDE - self.left)?;
        let x = self.left + (self.across / 2).saturating_sub(label.width() / 2);
        canvas.draw_text(&label, x, self.bottom + BELOW - label.height(), GREY);
        Ok(())
    }

    /// The ticks of the axis. A logarithmic one has them at 1, 2 and 5 times each power of ten, or only at the powers if
    /// there are many.
    fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.axis.range;
        let inside = |value: &f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value);
        match self.axis.scale {
            // The plotting crate may have one beyond either end.
            Scale::Linear => {
                self.axis.positions().into_iter().filter(|value| (low..=high).contains(value)).collect()
            }
            Scale::Log => {
                let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
                let within: &[f64] = if last - first > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let powers = (first..=last).map(|power| 10_f64.powi(power));
                powers
                    .flat_map(|power| within.iter().map(move |digit| digit * power))
                    .filter(inside)
                    .collect()
            }
        }
    }
}

fn label(line: &AblationLine) -> Result<Text, FiguresError> {
    Text::within(&line.label, TEXT_SIZE, Weight::Regular, LABELS.1)
}

fn text(words: &str) -> Result<Text, FiguresError> {
    Text::new(words, TEXT_SIZE, Weight::Regular)
}

/// A filled circle with a soft edge.
fn disc(canvas: &mut Canvas, x: f64, y: f64, radius: f64, colour: Colour) {
    let span = |middle: f64| {
        let first = (middle - radius - 1.0).floor().max(0.0) as usize;
        first..=(middle + radius + 1.0).ceil().max(0.0) as usize
    };
    for row in span(y) {
        for column in span(x) {
            let distance = (column as f64 - x).hypot(row as f64 - y);
            let covered = (radius + 0.5 - distance).clamp(0.0, 1.0);
            canvas.blend(column, row, colour, (255.0 * covered).round() as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: f64, kind: usize) -> AblationLine {
        AblationLine {
            label: format!("line {kind}"),
            kind,
            value,
            interval: Some((0.9 * value, 1.2 * value)),
            seeds: Vec::new(),
        }
    }

    fn groups(values: &[f64]) -> Vec<AblationGroup> {
        let lines = values.iter().enumerate().map(|(kind, &value)| line(value, kind % 2)).collect();
        vec![AblationGroup { heading: "a training".into(), lines }]
    }

    fn kinds() -> Vec<String> {
        ["one", "two"].map(str::to_owned).to_vec()
    }

    fn columns(canvas: &Canvas, colour: Colour) -> Vec<usize> {
        let has = |x: &usize| {
            (0..canvas.height()).any(|y| canvas.pixels().get_pixel(*x as u32, y as u32).0 == colour)
        };
        (0..canvas.width()).filter(has).collect()
    }

    #[test]
    fn dots_lie_at_their_values_and_bars_span_their_intervals() {
        let groups = groups(&[10.0, 12.0]);
        let chart = Chart::new(&groups).unwrap();
        assert_eq!(chart.axis.scale, Scale::Linear);
        let canvas = chart.draw("FD", &groups).unwrap();
        for (kind, value) in [(0, 10.0), (1, 12.0)] {
            let dot = columns(&canvas, PALETTE[kind]);
            let middle = (dot[0] + dot[dot.len() - 1]) as f64 / 2.0;
            assert!((middle - chart.x(value)).abs() <= 1.0, "{middle}");
            let bar = columns(&canvas, lighter(PALETTE[kind], 0.45));
            assert!((bar[0] as f64 - chart.x(0.9 * value)).abs() <= 2.0, "{value}");
            assert!((bar[bar.len() - 1] as f64 - chart.x(1.2 * value)).abs() <= 2.0, "{value}");
        }
    }

    #[test]
    fn values_far_apart_get_a_logarithmic_axis() {
        let chart = |values: &[f64]| Chart::new(&groups(values)).unwrap();
        let far = chart(&[2.0, 20.0]);
        assert_eq!((far.axis.scale, far.ticks()), (Scale::Log, vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0]));
        // Equal factors are equal distances.
        assert!((far.x(20.0) - far.x(10.0) - (far.x(4.0) - far.x(2.0))).abs() < 1e-9);
        assert_eq!(chart(&[-2.0, 20.0]).axis.scale, Scale::Linear);
        assert_eq!(chart(&[1e-4, 1e4]).ticks().len(), 11);
        let near = chart(&[3.0, 4.0]);
        assert!(
            near.ticks().len() >= 3 && near.ticks().iter().all(|x| (2.0..6.0).contains(x)),
            "{:?}",
            near.ticks()
        );
    }

    #[test]
    fn seeds_and_other_numbers_change_the_picture() {
        let plain = groups(&[3.0, 4.0]);
        let drawn = ablation("FD", &kinds(), &plain).unwrap();
        assert_eq!(drawn, ablation("FD", &kinds(), &plain).unwrap());
        let mut seeded = plain.clone();
        seeded[0].lines[0].seeds = vec![2.9, 3.3];
        assert_ne!(drawn.png, ablation("FD", &kinds(), &seeded).unwrap().png);
        let mut bare = plain;
        bare[0].lines[0].interval = None;
        assert_ne!(drawn.png, ablation("FD", &kinds(), &bare).unwrap().png);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert!(matches!(ablation("FD", &kinds(), &[]), Err(FiguresError::Empty { .. })));
        assert!(matches!(ablation("FD", &kinds(), &groups(&[])), Err(FiguresError::Empty { .. })));
        let mut nan = groups(&[3.0]);
        nan[0].lines[0].interval = Some((1.0, f64::NAN));
        assert!(matches!(ablation("FD", &kinds(), &nan), Err(FiguresError::NotFinite { .. })));
        let one = ["one".to_owned()];
        assert!(matches!(
            ablation("FD", &one, &groups(&[3.0, 4.0])),
            Err(FiguresError::Mismatch { expected: 2, got: 1, .. })
        ));
    }

    /// A long name, one value alone, zero: nothing panics.
    #[test]
    fn odd_numbers_and_names_are_drawn() {
        for values in [&[0.0][..], &[5.0], &[-1.0, 1.0], &[1e-12, 1e12]] {
            let mut groups = groups(values);
            groups[0].lines[0].label = "x".repeat(500);
            groups[0].heading = "y".repeat(500);
            assert!(ablation("FD", &kinds(), &groups).is_ok(), "{values:?}");
        }
    }
}
