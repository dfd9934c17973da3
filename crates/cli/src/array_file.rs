//! Arrays in files that a user names: a `.npy` file, or a named array in a `.npz` archive.

use std::path::Path;

use anyhow::Context;
use dataset::{AnyArray, Npz};

use crate::failure::bail_usage;

/// Whether a path names an archive.
fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"))
}

/// Refuses a `.npy` name for several arrays. Devices, pipes and other names are up to the user.
pub(crate) fn check_archive(flag: &str, path: &Path) -> anyhow::Result<()> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
        bail_usage!("{flag} {}: expected a name that ends in .npz, for several arrays", path.display());
    }
    Ok(())
}

/// Reads the array in a flag's file. From an archive, takes the first of `names` that it has, or its only array.
pub(crate) fn read(flag: &str, path: &Path, names: &[&str]) -> anyhow::Result<AnyArray> {
    if !is_archive(path) {
        return dataset::read_npy(path).with_context(|| flag.to_owned());
    }
    let mut npz = Npz::open(path).with_context(|| flag.to_owned())?;
    let found: Vec<String> = npz.names().map(str::to_owned).collect();
    let known = names.iter().find(|name| npz.contains(name)).map(|name| (*name).to_owned());
    let Some(name) = known.or_else(|| found.first().filter(|_| found.len() == 1).cloned()) else {
        bail_usage!(
            "{flag} {}: expected an array named {}, or one array alone, found {}",
            path.display(),
            names.join(" or "),
            if found.is_empty() { "none".to_owned() } else { found.join(", ") }
        );
    };
    npz.array(&name).with_context(|| flag.to_owned())
}

/// Writes an array for `--out`. In an archive it gets this name.
pub(crate) fn write(path: &Path, name: &str, array: AnyArray) -> anyhow::Result<()> {
    let written =
        if is_archive(path) { dataset::write_npz(path, &[(name, array)]) } else { array.write_npy(path) };
    written.with_context(|| format!("--out {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn what_is_written_is_read_back_from_either_kind() {
        let folder = tempfile::tempdir().unwrap();
        for array in [AnyArray::from(array![[1.5_f32, -2.0]]), array![0.1_f64].into()] {
            for name in ["a.npy", "a.npz", "A.NPZ"] {
                let path = folder.path().join(name);
                write(&path, "eps", array.clone()).unwrap();
                assert_eq!(read("--x", &path, &["eps"]).unwrap(), array, "{name}");
            }
        }
    }

    #[test]
    fn an_archive_is_asked_by_name_and_one_array_needs_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("several.npz");
        let (a, b) = (AnyArray::from(array![1.0_f32]), AnyArray::from(array![2.0_f32]));
        dataset::write_npz(&path, &[("x_t", a.clone()), ("t", b.clone())]).unwrap();
        assert_eq!(read("--t", &path, &["t"]).unwrap(), b);
        assert_eq!(read("--x", &path, &["x", "x_t"]).unwrap(), a);
        let error = read("--class", &path, &["class", "labels"]).unwrap_err().to_string();
        assert!(
            error.contains("--class") && error.contains("class or labels") && error.contains("x_t"),
            "{error}"
        );
        let alone = folder.path().join("alone.npz");
        dataset::write_npz(&alone, &[("anything", a.clone())]).unwrap();
        assert_eq!(read("--t", &alone, &["t"]).unwrap(), a);
    }
}
