//! Errors in a configuration, in terms of the user's settings.

use std::io;
use std::path::PathBuf;

use embedding::EmbeddingError;
use schedule::ScheduleError;
use thiserror::Error;

use crate::reference::expected;

/// A mistake in a configuration, or data that cannot be used; [`ConfigError::is_usage`] distinguishes them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is out of range or conflicts with another.
    #[error("{group}.{field} = {got}: expected {expected}")]
    Value {
        /// The group: `model`, `train`, `data`, `sample` or `images`.
        group: &'static str,
        /// The key in the group.
        field: &'static str,
        /// The value.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// The precision is unknown.
    #[error("precision {got:?}: expected {}", expected("", "precision"))]
    Precision {
        /// The name given.
        got: String,
    },
    /// The kind of noise schedule is unknown.
    #[error("schedule.kind: {error}")]
    ScheduleKind {
        /// The error, with the known kinds.
        error: ScheduleError,
    },
    /// A parameter belongs to another kind of noise schedule.
    #[error("schedule.{field} = {got}: schedule.kind = {kind} has no such parameter")]
    StrayParameter {
        /// The parameter.
        field: &'static str,
        /// Its value.
        got: String,
        /// The kind of schedule.
        kind: String,
    },
    /// The parameters do not give a valid noise schedule.
    #[error("schedule: {error}")]
    Schedule {
        /// Which parameter, and why.
        error: ScheduleError,
    },
    /// The parameters do not give a valid time embedding.
    #[error("model.embedding: {error}")]
    Embedding {
        /// Which parameter, and why.
        error: EmbeddingError,
    },
    /// The network is for images of another shape.
    #[error(
        "the images are {width}x{height} with {channels} channels, the network is for {size}x{size} with \
         {in_channels}: pass --set data.size={size} or data.channels, or take another --preset"
    )]
    Images {
        /// Image height, border included.
        height: usize,
        /// Image width, border included.
        width: usize,
        /// Image channels.
        channels: usize,
        /// `model.image_size`.
        size: usize,
        /// `model.in_channels`.
        in_channels: usize,
    },
    /// Classes are requested, but the data has none.
    #[error(
        "model.classes = {classes}: the data ({data}) has no labels (a folder needs one sub-folder per class); pass \
         --set model.classes=0, the default, to train without labels"
    )]
    NoLabels {
        /// `model.classes`.
        classes: usize,
        /// `data.source`.
        data: String,
    },
    /// The data has more classes than the network.
    #[error(
        "model.classes = {classes}: the data ({data}) has {}; pass --set model.classes={of_data}, or \
         0, the default, to train without labels{}",
        files::counted(*of_data, "class"),
        remarks(notes)
    )]
    TooFewClasses {
        /// `model.classes`.
        classes: usize,
        /// `data.source`.
        data: String,
        /// Classes of the data.
        of_data: usize,
        /// Notes from reading the data.
        notes: Vec<String>,
    },
    /// Label dropout is set, but the network uses no labels.
    #[error(
        "train.label_dropout = {label_dropout}: this network has no classes (model.classes is 0 by default), so there \
         is no label to drop; {}",
        without_classes(*of_data)
    )]
    NothingToDrop {
        /// `train.label_dropout`.
        label_dropout: f64,
        /// Classes of the data.
        of_data: usize,
    },
    /// A value has no effect in combination with the others.
    #[error("{key} = {got}: has no effect, {reason}; leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// Its value.
        got: String,
        /// Why.
        reason: &'static str,
    },
    /// A key that only the program sets.
    #[error("--set {key}: cannot be set; it records a property of the run or its images")]
    NotSettable {
        /// The key.
        key: String,
    },
    /// A resumed run has another value for a key that must not change.
    #[error(
        "--resume: {key} is {was} in this run and {is} here, and cannot change: keep the old value, or start a new run with \
         another --run"
    )]
    Resume {
        /// The key.
        key: String,
        /// Its value in the run.
        was: String,
        /// The new value.
        is: String,
    },
    /// A checkpoint belongs to another run than its folder.
    #[error("it belongs to run {found}, expected run {expected} as in this folder; remove it")]
    OtherRun {
        /// The id in the folder's configuration.
        expected: String,
        /// The id in the checkpoint's configuration.
        found: String,
    },
    /// A key that defines the meaning of the network's output differs from the training of the weights.
    #[error(
        "{key} is {is} here, but the weights of --init-from were trained with {was}: keep that value, or train without \
         --init-from"
    )]
    Init {
        /// The key.
        key: String,
        /// The value with which the weights were trained.
        was: String,
        /// The value here.
        is: String,
    },
    /// The preset does not exist.
    #[error(
        "no preset {name:?}; expected one of: {known} (`ddpm config presets` describes them){}",
        question(hint)
    )]
    UnknownPreset {
        /// The requested name.
        name: String,
        /// The known names.
        known: String,
        /// The nearest known name, if one is close.
        hint: Option<String>,
    },
    /// The objective does not exist.
    #[error(
        "no objective {name:?}; expected one of: {known} (`ddpm config presets` describes them){}",
        question(hint)
    )]
    UnknownObjective {
        /// The requested name.
        name: String,
        /// The known names.
        known: String,
        /// The nearest known name, if one is close.
        hint: Option<String>,
    },
    /// The key `preset` or `objective` of a file is not a string.
    #[error("{what}: expected a name in quotes")]
    PresetName {
        /// The key.
        what: &'static str,
    },
    /// No layer defines the network.
    #[error("the configuration has no [model] group")]
    NoModel,
    /// A `--set` that cannot be parsed.
    #[error("--set {text:?}: {reason}")]
    Set {
        /// The argument.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A `--set` whose key goes inside a single value.
    #[error("--set {key}: {part} is a single value, not a group")]
    NotAGroup {
        /// The whole key.
        key: String,
        /// The part of it that is a value.
        part: String,
    },
    /// Unknown keys or wrong types.
    #[error(
        "configuration: {place}{}{message}{}{}",
        if place.is_empty() { "" } else { ": " },
        question(hint),
        missing(place, message)
    )]
    Mismatch {
        /// The key, or empty for the whole configuration.
        place: String,
        /// What was expected and what was found.
        message: String,
        /// The nearest known key, if one is close.
        hint: Option<String>,
    },
    /// The text is not TOML, or not TOML of a configuration.
    #[error("{}{message}{}", line.map(|line| format!("line {line}: ")).unwrap_or_default(), question(hint))]
    Syntax {
        /// The line, from 1.
        line: Option<usize>,
        /// What was expected and what was found.
        message: String,
        /// The nearest known key, if one is close.
        hint: Option<String>,
    },
    /// The text is too long for a configuration.
    #[error("the configuration has more than {limit} bytes")]
    TooLong {
        /// The maximum in bytes.
        limit: u64,
    },
    /// A statement nests keys, groups and lists too deep for a configuration.
    #[error("line {line}: nested more than {limit} levels deep")]
    TooDeep {
        /// The line, from 1.
        line: usize,
        /// The maximum number of levels in one statement.
        limit: usize,
    },
    /// A file cannot be read.
    #[error("{error}")]
    Read {
        /// The system's error.
        error: io::Error,
    },
    /// A mistake in a file that the user named.
    #[error("--config {file}: {error}")]
    InFile {
        /// The file as the user wrote it.
        file: String,
        /// The mistake.
        error: Box<ConfigError>,
    },
    /// A file that this program wrote cannot be loaded.
    #[error("{}: {error}", path.display())]
    InRun {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<ConfigError>,
    },
    /// The configuration cannot be written as TOML: a number exceeds 2^63 - 1.
    #[error("the configuration cannot be written: {error}")]
    Write {
        /// The value.
        error: toml::ser::Error,
    },
}

impl ConfigError {
    /// Whether the user can fix it by changing the command or configuration; otherwise a file is damaged or unreadable.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::InRun { .. } | Self::OtherRun { .. } | Self::Write { .. })
    }

    /// An error for a value that is out of range.
    pub(crate) fn value(
        group: &'static str,
        field: &'static str,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Value { group, field, got: got.to_string(), expected: expected.into() }
    }
}

fn question(hint: &Option<String>) -> String {
    hint.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// Advice for a key that serde reports as missing.
fn missing(place: &str, message: &str) -> String {
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let dot = if place.is_empty() { "" } else { "." };
    field.map(|field| format!("; pass --set {place}{dot}{field}=VALUE")).unwrap_or_default()
}

fn without_classes(of_data: usize) -> String {
    match of_data {
        0 => "leave it out".to_owned(),
        n => format!("pass --set model.classes={n} as well, or leave it out"),
    }
}

fn remarks(notes: &[String]) -> String {
    notes.iter().map(|note| format!(" ({note})")).collect()
}
