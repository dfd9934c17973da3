//! Computes the time vector that blocks receive, from t and a label.
//!
//! Angles reach thousands of radians, where f32 is wrong in the fourth decimal. Many ONNX runtimes have no f64, so the
//! angle is computed in cycles and in parts. Let `t = n + r` with n whole, and let the frequency be `f = g + e` cycles
//! per step, where g has so few bits that `n g` is exact in f32. Then the angle is `frac(n g) + n e + r f`.

use std::f32::consts::TAU;

use config::EmbeddingConfig;
use embedding::{Order, TimeEmbedding};

use super::graph::Attribute::Int;
use super::graph::Name;
use super::layers::Builder;
use crate::error::InterchangeError;

/// Whole numbers up to this many bits are exact in f32.
const BITS: u32 = f32::MANTISSA_DIGITS;
/// `TensorProto.INT64`.
const INT64: i64 = 7;

/// The activated time vector `[b, d]`.
pub(super) fn vector(builder: &mut Builder<'_>, timesteps: usize) -> Result<Name, InterchangeError> {
    let config = builder.config;
    let width = config.time_width();
    let (encoded, dim) = match config.embedding.kind(timesteps) {
        Some(kind) => {
            let refused = |error: embedding::EmbeddingError| InterchangeError::NotInOnnx {
                key: "model.embedding".to_owned(),
                got: kind.name().to_owned(),
                reason: error.to_string(),
            };
            let embedding = TimeEmbedding::new(&kind).map_err(refused)?;
            (sinusoids(builder, &embedding, timesteps)?, embedding.dim())
        }
        None => rows(builder)?,
    };
    let scope = "time_embedding";
    let hidden = builder.linear("time_embedding.linear_1", &encoded, (dim, width))?;
    let hidden = builder.activated(scope, &hidden, config::Activation::Silu);
    let mut time = builder.linear("time_embedding.linear_2", &hidden, (width, width))?;
    if let Some(classes) = config.classes {
        // The label -1, for none, selects the last row, which is zero.
        let learned = builder.weight("class_embedding.weight")?.values;
        let table: Vec<f32> = learned.iter().copied().chain(std::iter::repeat_n(0.0, width)).collect();
        let table = builder.graph.floats("class_embedding.weight", &[classes + 1, width], table);
        let told = builder.two("Gather", "class_embedding", &table, "class");
        time = builder.two("Add", "class_embedding", &time, &told);
    }
    Ok(builder.activated(scope, &time, config.layout.activation))
}

/// Sines and cosines, `[b, 2k]`.
fn sinusoids(
    builder: &mut Builder<'_>,
    embedding: &TimeEmbedding,
    timesteps: usize,
) -> Result<Name, InterchangeError> {
    // In cycles per step.
    let frequencies: Vec<f64> =
        embedding.angular_frequencies().iter().map(|omega| omega / std::f64::consts::TAU).collect();
    if let Some(wrong) = frequencies.iter().find(|&&cycles| !(cycles as f32).is_finite()) {
        return Err(InterchangeError::NotInOnnx {
            key: "model.embedding.scale".to_owned(),
            got: format!("{wrong:e} cycles per step"),
            reason: "expected frequencies that are finite in f32; train with a smaller scale".to_owned(),
        });
    }
    let bits = BITS.saturating_sub(usize::BITS - timesteps.leading_zeros()).max(1);
    let coarse: Vec<f32> = frequencies.iter().map(|&f| rounded(f, bits)).collect();
    let rest = frequencies.iter().zip(&coarse).map(|(f, &coarse)| (f - f64::from(coarse)) as f32).collect();
    let whole = frequencies.iter().map(|&f| f as f32).collect();
    let count = frequencies.len();
    let [coarse, rest, f] =
        [("coarse", coarse), ("rest", rest), ("whole", whole)].map(|(part, values): (_, Vec<f32>)| {
            builder.graph.floats(&format!("frequencies/{part}"), &[1, count], values)
        });

    let scope = "time_proj";
    let t = builder.reshaped(scope, "t", &[-1, 1]); // [b, 1]
    let n = builder.one("Floor", scope, &t);
    let r = builder.two("Sub", scope, &t, &n);
    let turns = builder.two("Mul", scope, &n, &coarse); // [b, k], exact
    let full = builder.one("Floor", scope, &turns);
    let turns = builder.two("Sub", scope, &turns, &full);
    let of_rest = builder.two("Mul", scope, &n, &rest);
    let turns = builder.two("Add", scope, &turns, &of_rest);
    let between = builder.two("Mul", scope, &r, &f);
    let turns = builder.two("Add", scope, &turns, &between);
    let tau = builder.graph.float(TAU);
    let angle = builder.two("Mul", scope, &turns, &tau);
    let (sin, cos) = (builder.one("Sin", scope, &angle), builder.one("Cos", scope, &angle));
    let halves = match embedding.order() {
        Order::SinFirst => [sin, cos],
        Order::CosFirst => [cos, sin],
    };
    Ok(builder.graph.node("Concat", scope, halves, [("axis", Int(1))]))
}

/// Truncates a number to this many significant bits.
fn rounded(value: f64, bits: u32) -> f32 {
    let mask = u64::MAX << (f64::MANTISSA_DIGITS - bits);
    f64::from_bits(value.to_bits() & mask) as f32
}

/// Rows of the learned table, `[b, dim]`; between two t they are interpolated.
fn rows(builder: &mut Builder<'_>) -> Result<(Name, usize), InterchangeError> {
    let EmbeddingConfig::Table { rows, dim } = builder.config.embedding else {
        return Err(InterchangeError::NotInOnnx {
            key: "model.embedding.kind".to_owned(),
            got: format!("{:?}", builder.config.embedding),
            reason: "expected sinusoids or a table".to_owned(),
        });
    };
    let scope = "time_proj";
    let table = builder.tensor("time_proj.weight", &[rows, dim])?;
    let [first, last] = [0.0, (rows - 1) as f32].map(|t| builder.graph.float(t));
    let t = builder.graph.node("Clip", scope, ["t", &first, &last], []);
    let below = builder.one("Floor", scope, &t);
    let above = builder.one("Ceil", scope, &t);
    let share = builder.two("Sub", scope, &t, &below);
    let share = builder.reshaped(scope, &share, &[-1, 1]);
    let mut row = |at: &str| {
        let at = builder.graph.node("Cast", scope, [at], [("to", Int(INT64))]);
        builder.two("Gather", scope, &table, &at)
    };
    let (low, high) = (row(&below), row(&above));
    let step = builder.two("Sub", scope, &high, &low);
    let step = builder.two("Mul", scope, &step, &share);
    Ok((builder.two("Add", scope, &low, &step), dim))
}
