//! What can be wrong with a configuration, in the words of whoever wrote it.

use std::io;
use std::path::PathBuf;

use embedding::EmbeddingError;
use schedule::ScheduleError;
use thiserror::Error;

/// A mistake in a configuration, or data that cannot be used; [`ConfigError::is_usage`] tells them apart.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is out of its range or does not go with another.
    #[error("{group}.{field} = {got}: expected {expected}")]
    Value {
        /// The group: `model`, `train`, `data`, `sample` or `images`.
        group: &'static str,
        /// The key in the group.
        field: &'static str,
        /// The value.
        got: String,
        /// What would do.
        expected: String,
    },
    /// The name of the element type is none.
    #[error("precision {got:?}: expected auto, f32, tf32 or bf16")]
    Precision {
        /// The name given.
        got: String,
    },
    /// The kind of noise schedule is unknown.
    #[error("schedule.kind: {error}")]
    ScheduleKind {
        /// With the names there are.
        error: ScheduleError,
    },
    /// A parameter of another kind of noise schedule.
    #[error("schedule.{field} = {got}: schedule.kind = {kind} has no such parameter")]
    StrayParameter {
        /// The parameter.
        field: &'static str,
        /// Its value.
        got: String,
        /// The kind of schedule.
        kind: String,
    },
    /// The numbers make no noise schedule.
    #[error("schedule: {error}")]
    Schedule {
        /// Which, and why.
        error: ScheduleError,
    },
    /// The numbers make no time embedding.
    #[error("model.embedding: {error}")]
    Embedding {
        /// Which, and why.
        error: EmbeddingError,
    },
    /// The network is for other images.
    #[error(
        "the images are {height}x{width} with {channels} channels, the network is for {size}x{size} with \
         {in_channels}: pass --set data.size={size} or data.channels, or take another --preset"
    )]
    Images {
        /// Rows of an image, border included.
        height: usize,
        /// Columns of an image, border included.
        width: usize,
        /// Channels of an image.
        channels: usize,
        /// `model.image_size`.
        size: usize,
        /// `model.in_channels`.
        in_channels: usize,
    },
    /// Classes are asked for where the data has none.
    #[error(
        "model.classes = {classes}: the data ({data}) has no labels, as a folder with a sub-folder a class has; pass \
         --set model.classes=0, the default, to train without"
    )]
    NoLabels {
        /// `model.classes`.
        classes: usize,
        /// `data.source`.
        data: String,
    },
    /// The data has more classes than the network.
    #[error(
        "model.classes = {classes}: the data ({data}) has {of_data} classes; pass --set model.classes={of_data}, or \
         0, the default, to train without labels{}",
        remarks(notes)
    )]
    TooFewClasses {
        /// `model.classes`.
        classes: usize,
        /// `data.source`.
        data: String,
        /// Classes of the data.
        of_data: usize,
        /// What reading the data has to say.
        notes: Vec<String>,
    },
    /// Labels are to be dropped where none are used.
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
    /// A value changes nothing beside the others.
    #[error("{key} = {got}: has no effect, {reason}; leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// Its value.
        got: String,
        /// Why.
        reason: &'static str,
    },
    /// A key that the program fills in.
    #[error("--set {key}: cannot be set; it says what the run and its images turned out to be")]
    NotSettable {
        /// The key.
        key: String,
    },
    /// A run goes on with another value of a key that has to stay.
    #[error(
        "--resume: {key} is {was} in this run and {is} here, and has to stay: leave it as it was, or start a new run with \
         another --run"
    )]
    Resume {
        /// The key.
        key: String,
        /// Its value in the run.
        was: String,
        /// The value that it was to go on with.
        is: String,
    },
    /// A checkpoint is of another run than its folder.
    #[error("it is of the run {found}, expected the run {expected} of this folder; remove it from there")]
    OtherRun {
        /// The id in the folder's configuration.
        expected: String,
        /// The id in the checkpoint's.
        found: String,
    },
    /// A key that says what the weights' output means has another value than where they were trained.
    #[error(
        "{key} is {is} here, and the weights of --init-from were trained with {was}: keep that value, or train without \
         --init-from"
    )]
    Init {
        /// The key.
        key: String,
        /// Its value where the weights were trained.
        was: String,
        /// The value here.
        is: String,
    },
    /// No preset of this name.
    #[error("no preset {name:?}; there are: {known}{}", question(hint))]
    UnknownPreset {
        /// The wanted name.
        name: String,
        /// The names there are.
        known: String,
        /// The nearest of them, if one is near.
        hint: Option<String>,
    },
    /// No objective of this name.
    #[error("no objective {name:?}; there are: {known}{}", question(hint))]
    UnknownObjective {
        /// The wanted name.
        name: String,
        /// The names there are.
        known: String,
        /// The nearest of them, if one is near.
        hint: Option<String>,
    },
    /// The key `preset` or `objective` of a file is no text.
    #[error("{what}: expected a name in quotes")]
    PresetName {
        /// The key.
        what: &'static str,
    },
    /// Nothing says what the network is.
    #[error("the configuration has no [model] group")]
    NoModel,
    /// A `--set` that is none.
    #[error("--set {text:?}: {reason}")]
    Set {
        /// The argument.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A `--set` that reaches into a single value.
    #[error("--set {key}: {part} is a single value, not a group")]
    NotAGroup {
        /// The whole key.
        key: String,
        /// The part of it that is a value.
        part: String,
    },
    /// Keys or types that are not those of a configuration.
    #[error(
        "configuration: {place}{}{message}{}{}",
        if place.is_empty() { "" } else { ": " },
        question(hint),
        missing(place, message)
    )]
    Mismatch {
        /// The key, or empty for the whole.
        place: String,
        /// What is expected and what is there.
        message: String,
        /// The nearest known key, if one is near.
        hint: Option<String>,
    },
    /// Text that is no TOML, or no TOML of a configuration.
    #[error("{}{message}{}", line.map(|line| format!("line {line}: ")).unwrap_or_default(), question(hint))]
    Syntax {
        /// The line, from 1.
        line: Option<usize>,
        /// What is expected and what is there.
        message: String,
        /// The nearest known key, if one is near.
        hint: Option<String>,
    },
    /// A text longer than any configuration.
    #[error("a configuration of more than {limit} bytes")]
    TooLong {
        /// The most bytes.
        limit: u64,
    },
    /// A statement with more levels of keys, groups and lists than any configuration has.
    #[error("line {line}: nested more than {limit} levels deep")]
    TooDeep {
        /// The line, from 1.
        line: usize,
        /// The most levels of one statement.
        limit: usize,
    },
    /// A file cannot be read.
    #[error("{error}")]
    Read {
        /// What the system says.
        error: io::Error,
    },
    /// A mistake in the file that the user named.
    #[error("--config {file}: {error}")]
    InFile {
        /// The file as the user wrote it.
        file: String,
        /// The mistake.
        error: Box<ConfigError>,
    },
    /// A file that this program wrote does not read.
    #[error("{}: {error}", path.display())]
    InRun {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<ConfigError>,
    },
    /// A configuration does not go into TOML: a number beyond 2^63 - 1.
    #[error("the configuration cannot be written: {error}")]
    Write {
        /// The value.
        error: toml::ser::Error,
    },
}

impl ConfigError {
    /// Whether the user can mend it by other words; otherwise a file is damaged or cannot be read.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::InRun { .. } | Self::OtherRun { .. } | Self::Write { .. })
    }

    /// A value out of its range.
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

/// How to give a key that serde misses.
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
