//! The plan: one family of networks, and three sweeps through it that meet in one point.

/// A training step: batch size, image side in pixels, channels of the highest level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) batch: u32,
    pub(super) side: u32,
    pub(super) width: u32,
}

/// Where the sweeps meet.
pub(super) const CENTRE: Point = Point { batch: 16, side: 32, width: 32 };

/// The quantity a sweep varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Batch,
    Side,
    Width,
}

impl Axis {
    pub(super) const ALL: [Self; 3] = [Self::Batch, Self::Side, Self::Width];

    /// The name in tables and under axes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch size",
            Self::Side => "image side",
            Self::Width => "base channels",
        }
    }

    /// The symbol in formulas.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Batch => 'n',
            Self::Side => 's',
            Self::Width => 'w',
        }
    }

    /// The values; the largest is held out from the fit.
    pub(super) fn values(self, quick: bool) -> &'static [u32] {
        match (self, quick) {
            (Self::Batch, false) => &[1, 2, 4, 8, 16, 32, 64, 128],
            (Self::Batch, true) => &[1, 4, 16, 32],
            (Self::Side, false) => &[8, 16, 32, 48, 64, 96, 128],
            (Self::Side, true) => &[16, 32, 48, 64],
            (Self::Width, false) => &[16, 32, 48, 64, 96, 128],
            (Self::Width, true) => &[16, 32, 48, 64, 96],
        }
    }

    /// The point of this sweep with that value.
    pub(super) fn point(self, value: u32) -> Point {
        match self {
            Self::Batch => Point { batch: value, ..CENTRE },
            Self::Side => Point { side: value, ..CENTRE },
            Self::Width => Point { width: value, ..CENTRE },
        }
    }

    /// The value of a point of this sweep; `None` for a point of another sweep.
    pub(super) fn value(self, point: Point) -> Option<u32> {
        let value = match self {
            Self::Batch => point.batch,
            Self::Side => point.side,
            Self::Width => point.width,
        };
        (self.point(value) == point).then_some(value)
    }
}

/// All points once, small ones first.
pub(super) fn points(quick: bool) -> Vec<Point> {
    let of = |axis: Axis| axis.values(quick).iter().map(move |&value| axis.point(value));
    let mut all: Vec<Point> = Axis::ALL.into_iter().flat_map(of).collect();
    all.sort_by(|a, b| a.size().total_cmp(&b.size()).then(a.cmp(b)));
    all.dedup();
    all
}

impl Point {
    /// Size of the feature maps relative to the centre: memory grows like this, and time at least as much.
    pub(super) fn size(self) -> f64 {
        let numbers = |p: Self| f64::from(p.batch) * f64::from(p.side).powi(2) * f64::from(p.width);
        numbers(self) / numbers(CENTRE)
    }

    /// Warm-up steps and timed steps; fewer for long steps.
    fn steps(self, quick: bool) -> [u32; 2] {
        match (quick, self.size()) {
            (true, _) => [1, 2],
            (false, size) if size < 2.0 => [2, 20],
            (false, size) if size < 8.0 => [2, 10],
            (false, _) => [2, 5],
        }
    }

    /// The arguments of `ddpm bench train`. All networks have 16 groups, which divide the narrowest, and attention on
    /// the lowest of their three levels, like the preset at 32 pixels.
    pub(super) fn args(self, quick: bool) -> Vec<String> {
        let Self { batch, side, width } = self;
        let [warmup, steps] = self.steps(quick);
        let line = format!(
            "bench train --preset small-32 --batch {batch} --steps {steps} --warmup {warmup} --device cpu --json \
             --set model.image_size={side} --set model.base_channels={width} --set model.groups=16 \
             --set model.attention_resolutions=[{}]",
            side / 4
        );
        line.split_whitespace().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_meet_in_the_centre_and_it_is_timed_once() {
        for quick in [false, true] {
            let points = points(quick);
            assert_eq!(points.iter().filter(|&&point| point == CENTRE).count(), 1);
            let values: usize = Axis::ALL.iter().map(|axis| axis.values(quick).len()).sum();
            assert_eq!(points.len(), values - 2);
            assert!(points.windows(2).all(|pair| pair[0].size() <= pair[1].size()));
            for axis in Axis::ALL {
                let of_axis = points.iter().filter(|&&point| axis.value(point).is_some()).count();
                assert_eq!(of_axis, axis.values(quick).len());
            }
        }
    }

    /// Three levels halve a side twice; the attention resolution is one of them.
    #[test]
    fn every_point_is_a_network() {
        let preset = include_str!("../../../../assets/configs/small-32.toml");
        assert!(preset.contains("channel_mults = [1, 2, 2]") && preset.contains("image_size = 32"));
        for point in points(false) {
            assert_eq!((point.side % 4, point.width % 16), (0, 0), "{point:?}");
        }
        let line = Axis::Side.point(64).args(false).join(" ");
        assert!(line.starts_with("bench train --preset small-32 --batch 16 --steps 10 --warmup 2"), "{line}");
        assert!(line.ends_with("--set model.attention_resolutions=[16]"), "{line}");
    }
}
