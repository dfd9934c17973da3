//! Takes the chosen members out of a wheel, which is a zip archive, and writes nothing outside the target folder.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use zip::ZipArchive;

/// The folder for the CUDA part of libtorch, apart from the CPU part. torch-sys links a libtorch_cuda.so that is beside
/// the CPU part, and the program would then not start without CUDA. From here it is loaded at start if there is a
/// driver. `$ORIGIN/../../nvidia` means the same from both folders.
const CUDA_FOLDER: &str = "torch/lib-cuda";

/// The folder for licences, by package and version.
pub(crate) const LICENCES: &str = "licences";

/// Code in libtorch_cpu.so opens these two by name on first use, so they must be beside it.
const OPENED_BY_CPU_PART: [&str; 2] = ["libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so"];

/// Unpacks `members` (see [`super::wheels::Wheel`]) of the wheel into `target`. Each must match at least one file.
pub(crate) fn unpack(
    wheel: &Path,
    members: impl Iterator<Item = &'static str>,
    target: &Path,
) -> anyhow::Result<()> {
    let what = wheel.display();
    let file = File::open(wheel).with_context(|| format!("{what} cannot be read"))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).with_context(|| format!("{what} is not a zip archive"))?;
    let mut open: Vec<(&str, bool)> = members.map(|member| (member, false)).collect();
    for index in 0..archive.len() {
        let mut entry =
            archive.by_index(index).with_context(|| format!("{what}: entry {index} is damaged"))?;
        let name = entry.name().to_owned();
        let Some((_, found)) = open.iter_mut().find(|(member, _)| is_chosen(member, &name)) else { continue };
        *found = true;
        if name.ends_with('/') {
            continue;
        }
        // A link could lead a later member outside the target.
        let is_link = entry.unix_mode().is_some_and(|mode| mode & 0o170_000 == 0o120_000);
        ensure!(!is_link, "{what}: expected files, found the link {name}");
        let path = target.join(place(&name)?);
        write_file(&mut entry, &path).with_context(|| format!("{what}: {name} cannot be unpacked"))?;
    }
    if let Some((member, _)) = open.iter().find(|(_, found)| !found) {
        bail!("{what}: expected {member} in it, found no such file");
    }
    Ok(())
}

fn is_chosen(member: &str, name: &str) -> bool {
    match member.strip_suffix('*') {
        Some(start) => name.strip_prefix(start).is_some_and(|rest| !rest.contains('/')),
        None if member.ends_with('/') => name.starts_with(member),
        None => name == member,
    }
}

/// The path of a member below the target folder.
///
/// # Errors
/// When the name could lead outside it.
fn place(name: &str) -> anyhow::Result<PathBuf> {
    let is_plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':', '\0']);
    ensure!(name.split('/').all(is_plain), "expected a relative path in the wheel, found {name:?}");
    if let Some((package, text)) = name.split_once(".dist-info/licenses/") {
        return Ok(Path::new(LICENCES).join(package).join(text));
    }
    let Some(library) = name.strip_prefix("torch/lib/") else { return Ok(PathBuf::from(name)) };
    let is_cuda = library.contains("cuda") || library.contains("nvshmem");
    if is_cuda && !OPENED_BY_CPU_PART.contains(&library) {
        return Ok(Path::new(CUDA_FOLDER).join(library));
    }
    Ok(PathBuf::from(name))
}

fn write_file(from: &mut impl io::Read, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut to = BufWriter::with_capacity(1 << 20, File::create(path)?);
    // The archive's checksum is compared at the end of the member.
    io::copy(from, &mut to)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zip::ZipWriter;
    use zip::write::FileOptions;

    fn wheel(folder: &Path, names: &[&str]) -> PathBuf {
        let path = folder.join("w.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for name in names {
            writer.start_file(*name, FileOptions::default()).unwrap();
            writer.write_all(name.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn files_below(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    found.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn only_the_chosen_members_come_out() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "torch/lib/libc10.so",
            "torch/lib/libc10.so.1",
            "torch/include/a/b.h",
            "torch/x.py",
            "n/l/so.1",
            "n/l/deep/so.2",
        ];
        let path = wheel(folder.path(), &names);
        let target = folder.path().join("out");
        unpack(&path, ["torch/lib/libc10.so", "torch/include/", "n/l/so*"].into_iter(), &target).unwrap();
        assert_eq!(files_below(&target), ["n/l/so.1", "torch/include/a/b.h", "torch/lib/libc10.so"]);
        assert_eq!(fs::read_to_string(target.join("n/l/so.1")).unwrap(), "n/l/so.1");
    }

    #[test]
    fn the_cuda_part_goes_apart_but_for_what_the_cpu_part_opens() {
        let placed = |name: &str| place(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(placed("torch-2.11.0.dist-info/licenses/a/NOTICE"), "licences/torch-2.11.0/a/NOTICE");
        assert_eq!(placed("torch/lib/libtorch_cuda.so"), "torch/lib-cuda/libtorch_cuda.so");
        assert_eq!(placed("torch/lib/libc10_cuda.so"), "torch/lib-cuda/libc10_cuda.so");
        assert_eq!(placed("torch/lib/libtorch_nvshmem.so"), "torch/lib-cuda/libtorch_nvshmem.so");
        for same in [
            "torch/lib/libtorch_cuda_linalg.so",
            "torch/lib/libcaffe2_nvrtc.so",
            "torch/lib/libc10.so",
            "torch/include/c10/cuda/x.h",
        ] {
            assert_eq!(placed(same), same);
        }
    }

    #[test]
    fn names_that_lead_out_of_the_target_are_refused() {
        for name in [
            "../evil",
            "torch/include/../../evil",
            "/etc/passwd",
            "torch//x",
            "torch/./x",
            "a\\..\\b",
            "c:/x",
            "",
        ] {
            assert!(place(name).is_err(), "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &["torch/include/../../evil.h"]);
        let error = unpack(&path, ["torch/include/"].into_iter(), &folder.path().join("a/out")).unwrap_err();
        assert!(error.to_string().contains("evil.h"), "{error}");
        assert_eq!(files_below(folder.path()), ["w.whl"]);
    }

    #[test]
    fn a_link_in_the_archive_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        writer.add_symlink("torch/include/link", "/etc", FileOptions::default()).unwrap();
        writer.finish().unwrap();
        let error = unpack(&path, ["torch/include/"].into_iter(), folder.path()).unwrap_err();
        assert!(error.to_string().contains("link torch/include/link"), "{error}");
    }

    #[test]
    fn a_member_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &["torch/lib/libc10.so"]);
        let members = ["torch/lib/libc10.so", "torch/lib/libtorch_cpu.so"];
        let error = unpack(&path, members.into_iter(), &folder.path().join("out")).unwrap_err();
        assert!(error.to_string().contains("libtorch_cpu.so"), "{error}");
    }

    #[test]
    fn a_truncated_wheel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = wheel(folder.path(), &["torch/lib/libc10.so"]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        let error = unpack(&path, ["torch/lib/libc10.so"].into_iter(), folder.path()).unwrap_err();
        assert!(error.to_string().contains("not a zip archive"), "{error}");
    }
}
