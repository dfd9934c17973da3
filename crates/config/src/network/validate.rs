//! Checks a configuration before a network is built from it; each message names the field.

use super::layout::Resampling;
use super::shape::{EmbeddingConfig, UNetConfig};
use crate::error::ConfigError;
use crate::reference::expected;

/// More levels would shrink any image to nothing.
const MAX_LEVELS: usize = 8;
/// Far above every published U-Net, so that a typo does not request terabytes.
const MAX_CHANNELS: usize = 65_536;
/// Maximum numbers of a list in a message.
const SHOWN: usize = 32;

impl UNetConfig {
    /// Checks that the values describe a valid network.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first field that is out of range or conflicts with another.
    pub fn validate(&self) -> Result<(), ConfigError> {
        range("in_channels", self.in_channels, 1, MAX_CHANNELS)?;
        range("base_channels", self.base_channels, 1, MAX_CHANNELS)?;
        range("blocks_per_level", self.blocks_per_level, 1, 64)?;
        range("groups", self.groups, 1, MAX_CHANNELS)?;
        range("heads", self.heads, 1, MAX_CHANNELS)?;
        range("time_channels", self.time_width(), 1, MAX_CHANNELS)?;
        if ![self.in_channels, 2 * self.in_channels].contains(&self.out_channels) {
            let expected =
                format!("in_channels, {}, or twice that with train.variance = learned", self.in_channels);
            return refuse("out_channels", self.out_channels, expected);
        }
        self.validate_level_count()?;
        self.validate_layout()?;
        for level in 0..self.levels() {
            self.validate_level(level)?;
        }
        self.validate_sizes()?;
        if !(self.dropout >= 0.0 && self.dropout < 1.0) {
            return refuse("dropout", self.dropout, expected("model", "dropout"));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return refuse("norm_eps", self.norm_eps, expected("model", "norm_eps"));
        }
        if let Some(rank) = self.adapter_rank {
            range("adapter_rank", rank, 1, 1024)?;
        }
        if let Some(classes) = self.classes {
            range("classes", classes, 1, 1 << 20)?;
        }
        self.validate_embedding()
    }

    /// Runs before the data is opened, because the padding of the images doubles with each level.
    pub(crate) fn validate_level_count(&self) -> Result<(), ConfigError> {
        let (field, channels) = match &self.layout.level_channels {
            None => ("channel_mults", &self.channel_mults),
            Some(channels) => ("layout.level_channels", channels),
        };
        if channels.is_empty() || channels.len() > MAX_LEVELS {
            return refuse(field, list(channels), format!("1 to {MAX_LEVELS} numbers"));
        }
        Ok(())
    }

    fn validate_layout(&self) -> Result<(), ConfigError> {
        let (layout, levels) = (&self.layout, self.levels());
        let bools = |list: &Option<Vec<bool>>| list.as_ref().map(Vec::len);
        let kinds = |list: &Option<Vec<Resampling>>| list.as_ref().map(Vec::len);
        for (field, length) in [
            ("layout.down_attention", bools(&layout.down_attention)),
            ("layout.up_attention", bools(&layout.up_attention)),
            ("layout.downsampling", kinds(&layout.downsampling)),
            ("layout.upsampling", kinds(&layout.upsampling)),
        ] {
            if let Some(length) = length.filter(|length| *length != levels) {
                return refuse(
                    field,
                    format!("a list of {length}"),
                    format!("one of {levels}, one value per level"),
                );
            }
        }
        if layout.level_channels.is_some() && !self.channel_mults.is_empty() {
            return refuse(
                "channel_mults",
                list(&self.channel_mults),
                "[], since layout.level_channels sets the channels",
            );
        }
        let says_attention = layout.down_attention.is_some() && layout.up_attention.is_some();
        if says_attention && !self.attention_resolutions.is_empty() {
            let expected = "[], since layout.down_attention and layout.up_attention set the attention";
            return refuse("attention_resolutions", list(&self.attention_resolutions), expected);
        }
        let channels = self.level_channels(levels - 1);
        let groups = layout.middle.attention_groups.filter(|&groups| groups > 0);
        if let Some(groups) = groups.filter(|&groups| !channels.is_multiple_of(groups)) {
            let expected =
                format!("0 for no normalisation, or a divisor of the lowest level's {channels} channels");
            return refuse("layout.middle.attention_groups", groups, expected);
        }
        if let Some(scale) = layout.middle.scale.filter(|scale| !(*scale > 0.0 && scale.is_finite())) {
            return refuse("layout.middle.scale", scale, "a number above 0");
        }
        Ok(())
    }

    fn validate_level(&self, level: usize) -> Result<(), ConfigError> {
        let channels = self.level_channels(level);
        if !(1..=MAX_CHANNELS).contains(&channels) {
            if let Some(channels) = &self.layout.level_channels {
                return refuse(
                    "layout.level_channels",
                    list(channels),
                    format!("numbers from 1 to {MAX_CHANNELS}"),
                );
            }
            let expected = format!("numbers that keep base_channels x mult within 1..={MAX_CHANNELS}");
            return refuse("channel_mults", list(&self.channel_mults), expected);
        }
        if !channels.is_multiple_of(self.groups) || !self.base_channels.is_multiple_of(self.groups) {
            let expected = format!(
                "a divisor of every level's channels (level {level} has {channels}, the first map {})",
                self.base_channels
            );
            return refuse("groups", self.groups, expected);
        }
        let attends = self.has_attention(level) || (self.mid_attention && level + 1 == self.levels());
        let each = self.layout.head_channels;
        if let Some(each) = each.filter(|&each| attends && (each == 0 || !channels.is_multiple_of(each))) {
            let expected = format!("a divisor of the {channels} channels of level {level}");
            return refuse("layout.head_channels", each, expected);
        }
        if attends && each.is_none() && !channels.is_multiple_of(self.heads) {
            let expected = format!("a divisor of the {channels} channels of level {level}");
            return refuse("heads", self.heads, expected);
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let factor = self.downsampling_factor();
        if self.image_size == 0 || self.image_size > 1 << 16 || !self.image_size.is_multiple_of(factor) {
            let levels = self.levels();
            let expected =
                format!("a multiple of {factor} ({levels} levels halve the size {} times)", levels - 1);
            return refuse("image_size", self.image_size, expected);
        }
        let sizes: Vec<usize> = (0..self.levels()).map(|level| self.level_size(level)).collect();
        match self.attention_resolutions.iter().find(|size| !sizes.contains(size)) {
            Some(size) => {
                refuse("attention_resolutions", size, format!("sizes of the levels: {}", list(&sizes)))
            }
            None => Ok(()),
        }
    }

    fn validate_embedding(&self) -> Result<(), ConfigError> {
        match self.embedding {
            EmbeddingConfig::Normalized { frequencies } | EmbeddingConfig::Fourier { frequencies, .. } => {
                range("embedding.frequencies", frequencies, 1, MAX_CHANNELS)
            }
            EmbeddingConfig::Table { rows, dim } => {
                range("embedding.rows", rows, 1, 1 << 20)?;
                range("embedding.dim", dim, 1, MAX_CHANNELS)
            }
            EmbeddingConfig::Transformer { dim, freq_shift, .. } => {
                if !(4..=MAX_CHANNELS).contains(&dim) || !dim.is_multiple_of(2) {
                    return refuse("embedding.dim", dim, format!("an even number from 4 to {MAX_CHANNELS}"));
                }
                range("embedding.freq_shift", freq_shift, 0, 1)
            }
        }
    }
}

fn range(field: &'static str, got: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    if (low..=high).contains(&got) { Ok(()) } else { refuse(field, got, format!("{low} to {high}")) }
}

fn refuse(field: &'static str, got: impl ToString, expected: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::value("model", field, got, expected))
}

fn list(numbers: &[usize]) -> String {
    match numbers.get(..SHOWN) {
        Some(first) if numbers.len() > SHOWN => {
            let first: Vec<String> = first.iter().map(usize::to_string).collect();
            format!("[{}, ...] ({} numbers)", first.join(", "), numbers.len())
        }
        _ => format!("{numbers:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut UNetConfig);

    #[test]
    fn every_invalid_value_is_refused_by_name() {
        let cases: &[(&str, Change)] = &[
            ("in_channels", |c| c.in_channels = 0),
            ("out_channels", |c| c.out_channels = 3),
            ("base_channels", |c| c.base_channels = 0),
            ("base_channels", |c| c.base_channels = usize::MAX),
            ("time_channels", |c| c.time_channels = usize::MAX),
            ("channel_mults", |c| c.channel_mults = vec![]),
            ("channel_mults", |c| c.channel_mults = vec![1, 0]),
            ("channel_mults", |c| c.channel_mults = vec![usize::MAX, 2]),
            ("channel_mults", |c| c.channel_mults = vec![1; 40]),
            ("blocks_per_level", |c| c.blocks_per_level = 0),
            ("groups", |c| c.groups = 0),
            ("groups", |c| c.groups = 5),
            ("heads", |c| c.heads = 0),
            ("heads", |c| c.heads = 7),
            ("image_size", |c| c.image_size = 15),
            ("image_size", |c| c.image_size = 0),
            ("attention_resolutions", |c| c.attention_resolutions = vec![5]),
            ("dropout", |c| c.dropout = 1.0),
            ("dropout", |c| c.dropout = -0.1),
            ("dropout", |c| c.dropout = f64::NAN),
            ("norm_eps", |c| c.norm_eps = 0.0),
            ("norm_eps", |c| c.norm_eps = f64::NAN),
            ("classes", |c| c.classes = Some(0)),
            ("embedding.frequencies", |c| c.embedding = EmbeddingConfig::Normalized { frequencies: 0 }),
            ("embedding.dim", |c| {
                let order = crate::SinusoidOrder::SinFirst;
                c.embedding = EmbeddingConfig::Transformer { dim: 7, order, freq_shift: 1 };
            }),
        ];
        for (name, change) in cases {
            let mut config = UNetConfig::preset("tiny-16").unwrap();
            config.validate().unwrap();
            change(&mut config);
            match config.validate() {
                Err(ConfigError::Value { group: "model", field, .. }) => assert_eq!(field, *name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn huge_numbers_and_lists_are_refused_without_overflow() {
        let huge = [1 << 31, 1 << 32, 1 << 62, i64::MAX as usize, usize::MAX];
        let change: [fn(&mut UNetConfig, usize); 9] = [
            |c, n| c.image_size = n,
            |c, n| (c.in_channels, c.out_channels) = (n, n),
            |c, n| c.base_channels = n,
            |c, n| (c.base_channels, c.time_channels) = (n, 0),
            |c, n| c.channel_mults = vec![n, n],
            |c, n| c.blocks_per_level = n,
            |c, n| c.attention_resolutions = vec![n],
            |c, n| c.groups = n,
            |c, n| c.heads = n,
        ];
        for (n, change) in huge.iter().flat_map(|n| change.iter().map(move |change| (n, change))) {
            let mut config = UNetConfig::preset("ddpm-cifar10").unwrap();
            change(&mut config, *n);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with("model."), "{message}");
        }
        let long =
            UNetConfig { channel_mults: vec![1; 1_000_000], ..UNetConfig::preset("ddpm-cifar10").unwrap() };
        let message = long.validate().unwrap_err().to_string();
        assert!(message.contains("1, ...] (1000000 numbers)") && message.len() < 300, "{message}");
        assert_eq!(
            (long.downsampling_factor(), long.level_size(70), long.level_channels(1 << 40)),
            (1 << 63, 0, 0)
        );
        let long = UNetConfig {
            attention_resolutions: vec![15; 1_000_000],
            ..UNetConfig::preset("ddpm-cifar10").unwrap()
        };
        assert!(long.validate().unwrap_err().to_string().len() < 300);
    }
}
