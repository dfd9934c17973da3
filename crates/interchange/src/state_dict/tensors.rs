//! The names and shapes in a weight file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use tensor_file::Dtype;

use crate::error::InterchangeError;

/// Prefixes that wrappers and checkpoints add to every name.
const PREFIXES: [&str; 5] = ["module.", "model.", "state_dict.", "ema.", "model_ema."];
/// Maximum number of nested prefixes.
const MOST_PREFIXES: usize = 4;
/// The first bytes of files from `torch.save`: a zip archive or, before version 1.6, a pickle.
const PICKLES: [&[u8]; 2] = [b"PK\x03\x04", b"\x80\x02"];

/// Names and shapes of a file's tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    path: PathBuf,
    /// The prefix of every name in the file.
    prefix: String,
    /// Shapes by name, without the prefix.
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Tensors {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// An error that names the file: for a pickle, with the command that converts it; for an invalid safetensors
    /// header; for a tensor that is not f64, f32, f16 or bf16.
    pub fn open(path: &Path) -> Result<Self, InterchangeError> {
        let file = |error| InterchangeError::File { path: path.to_owned(), error };
        let mut start = Vec::new();
        files::open_regular(path).map_err(file)?.take(4).read_to_end(&mut start).map_err(file)?;
        if PICKLES.iter().any(|magic| start.starts_with(magic)) {
            return Err(pickle(path));
        }
        let mut shapes = BTreeMap::new();
        for (name, found) in tensor_file::read_header(path)?.tensors {
            if !matches!(found.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                let reason = format!("{name}: {}, expected F64, F32, F16 or BF16", found.dtype.name());
                return Err(InterchangeError::content(path, reason));
            }
            shapes.insert(name, found.shape);
        }
        Ok(Self::new(path, shapes))
    }

    /// Tensors of a file at `path`. A prefix that all names share, such as `module.`, is removed.
    #[must_use]
    pub fn new(path: &Path, shapes: BTreeMap<String, Vec<usize>>) -> Self {
        let mut all = Self { path: path.to_owned(), prefix: String::new(), shapes };
        for _ in 0..MOST_PREFIXES {
            let common = |prefix: &&&str| all.shapes.keys().all(|name| name.starts_with(**prefix));
            let Some(prefix) = PREFIXES.iter().find(common).filter(|_| !all.shapes.is_empty()) else { break };
            all.prefix += prefix;
            let shapes = std::mem::take(&mut all.shapes);
            let short = |(name, shape): (String, Vec<usize>)| (name[prefix.len()..].to_owned(), shape);
            all.shapes = shapes.into_iter().map(short).collect();
        }
        all
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Names without the common prefix.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    /// The name in the file.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    pub(crate) fn shape(&self, name: &str) -> Result<&[usize], InterchangeError> {
        match self.shapes.get(name) {
            Some(shape) => Ok(shape),
            None => self.refuse(name, "missing"),
        }
    }

    /// The dimensions of a tensor that must have `N` of them.
    pub(crate) fn sizes<const N: usize>(&self, name: &str) -> Result<[usize; N], InterchangeError> {
        let shape = self.shape(name)?;
        match shape.try_into() {
            Ok(sizes) => Ok(sizes),
            Err(_) => self.refuse(name, format!("shape {shape:?}, expected {N} dimensions")),
        }
    }

    /// How many numbers follow `prefix` in the names, counted from 0 and below `most`: `input_blocks.7.0.op.bias` has
    /// 7.
    pub(crate) fn count(&self, prefix: &str, most: usize) -> usize {
        let number = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        let numbers = self.names().filter_map(number).filter(|&number| number < most);
        numbers.max().map_or(0, |last| last + 1)
    }

    pub(crate) fn refuse<T>(&self, name: &str, reason: impl Into<String>) -> Result<T, InterchangeError> {
        let reason = format!("{}: {}", self.full(name), reason.into());
        Err(InterchangeError::content(&self.path, reason))
    }
}

fn pickle(path: &Path) -> InterchangeError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = path.with_extension("safetensors");
    let target = target.file_name().unwrap_or_default().to_string_lossy();
    let target = if target == name { "converted.safetensors".into() } else { target };
    let reason = format!(
        "a pickle, which can run arbitrary code when it is read; if you trust it, convert it in its folder: python3 -c \"import torch, \
         safetensors.torch as s; s.save_file(torch.load('{name}', map_location='cpu', weights_only=True), '{target}')\""
    );
    InterchangeError::content(path, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Tensors {
        let shapes = names.iter().map(|name| ((*name).to_owned(), vec![2, 3])).collect();
        Tensors::new(Path::new("w"), shapes)
    }

    #[test]
    fn a_common_prefix_is_removed() {
        for (names, prefix) in [
            (["module.a.weight", "module.b.weight"], "module."),
            (["ema.module.a.weight", "ema.module.b.weight"], "ema.module."),
        ] {
            let found = of(&names);
            assert!(found.has("a.weight") && found.full("b.weight") == format!("{prefix}b.weight"));
            assert!(found.shape("c").unwrap_err().to_string().contains(&format!("{prefix}c: missing")));
        }
        assert!(of(&["module.a", "b"]).has("module.a"));
        assert_eq!(of(&[]).names().count(), 0);
    }

    #[test]
    fn blocks_are_counted_up_to_a_bound() {
        let found =
            of(&["in.0.weight", "in.7.1.weight", "in.99999999999999999999.weight", "in.1000.weight", "in.x"]);
        assert_eq!((found.count("in.", 1000), found.count("out.", 1000)), (8, 0));
        assert_eq!(found.sizes::<2>("in.0.weight").unwrap(), [2, 3]);
        assert!(found.sizes::<1>("in.0.weight").is_err());
    }

    #[test]
    fn floats_of_every_width_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        for (dtype, bytes) in [("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("U8", 1)] {
            let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{bytes}]}}}}"#);
            let length = (header.len() as u64).to_le_bytes();
            std::fs::write(&path, [&length[..], header.as_bytes(), &vec![0; bytes]].concat()).unwrap();
            match Tensors::open(&path) {
                Ok(found) => assert!(dtype.contains('F') && found.has("w"), "{dtype}"),
                Err(error) => {
                    let message = error.to_string();
                    assert!(!dtype.contains('F'), "{message}");
                    let told = format!("w: {dtype}, expected F64, F32, F16 or BF16");
                    assert!(message.contains(&told), "{message}");
                }
            }
        }
    }

    #[test]
    fn pickles_are_refused_with_the_command_that_converts_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("a.pt", &b"PK\x03\x04..."[..]), ("b.ckpt", b"\x80\x02}"), ("c.safetensors", b"PK\x03\x04")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let message = Tensors::open(&path).unwrap_err().to_string();
            assert!(
                message.contains(&format!("torch.load('{name}'")) && message.contains("pickle"),
                "{message}"
            );
            assert!(!message.contains(&format!("'{name}')\"")), "{message}");
        }
        assert!(Tensors::open(&folder.path().join("none")).is_err());
    }
}
