//! Fills `.libtorch/` from the pinned wheels, or with a link to an installed libtorch.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};

use super::fetch::Pip;
use super::platform::Platform;
use super::stamp::Stamp;
use super::wheels::{self, LIBTORCH_VERSION, Parts};
use super::{MANUAL, unpack};

/// The folder for wheels until all are unpacked; an interrupted setup continues from it.
const WHEELS: &str = "wheels";

/// The folder for unpacked files until they are complete.
const PARTIAL: &str = "partial";

/// The folders of the layout, which are moved into place together.
const FOLDERS: [&str; 3] = ["torch", "nvidia", unpack::LICENCES];

/// Fetches what `parts` needs and unpacks it. The folders in place are replaced last.
pub(crate) fn wheels(home: &Path, parts: Parts) -> anyhow::Result<()> {
    let Some(platform) = Platform::current() else {
        bail!(
            "libtorch: expected Linux x86-64 or arm64 (glibc) or macOS arm64 to fetch it for, found {} {}; {MANUAL}",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    };
    let parts = if platform.is_linux() { parts } else { Parts::Cpu };
    let start = Instant::now();
    let pip = Pip::find()?;
    let needed = wheels::needed(platform, parts);
    let megabytes: u32 = needed.iter().map(|(_, build)| build.megabytes).sum();
    eprintln!(
        "libtorch {LIBTORCH_VERSION} for {platform}: {} wheels, {megabytes} MB to fetch, into {}",
        needed.len(),
        home.display()
    );

    // Fetch all before unpacking the first, so network errors come early.
    let folder = home.join(WHEELS);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut files = Vec::new();
    for (index, (wheel, build)) in needed.iter().enumerate() {
        let (name, version) = (wheel.name, wheel.version);
        eprintln!("[{}/{}] {name} {version} ({} MB)", index + 1, needed.len(), build.megabytes);
        files.push((pip.fetch(wheel, build, &folder)?, wheel.members(parts)));
    }

    let partial = home.join(PARTIAL);
    remove(&partial)?;
    for (index, (file, members)) in files.into_iter().enumerate() {
        eprintln!("[{}/{}] unpacking {}", index + 1, needed.len(), needed[index].0.name);
        unpack::unpack(&file, members, &partial)?;
    }
    complete(&partial, platform).with_context(|| format!("{} cannot be completed", partial.display()))?;
    exchange(home, &partial)?;
    remove(&partial)?;
    remove(&folder)?;
    eprintln!("libtorch is set up, {} s", start.elapsed().as_secs());
    Ok(())
}

/// Makes `.libtorch/torch` a link to an installed libtorch, since LIBTORCH points there whatever is installed.
pub(crate) fn link(home: &Path, root: &Path) -> anyhow::Result<()> {
    Stamp::remove(home);
    let torch = home.join(FOLDERS[0]);
    remove(&torch)?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(root, &torch);
    #[cfg(not(unix))]
    let linked = Err(io::Error::from(io::ErrorKind::Unsupported));
    linked.with_context(|| format!("{} cannot be linked to {}", torch.display(), root.display()))?;
    eprintln!("using libtorch {LIBTORCH_VERSION} installed in {}", root.display());
    Ok(())
}

/// Adds two small files that torch-sys needs and the wheels lack.
fn complete(partial: &Path, platform: Platform) -> io::Result<()> {
    // The version check of torch-sys reads this file.
    fs::write(partial.join("torch/build-version"), format!("{LIBTORCH_VERSION}\n"))?;
    if platform.is_linux() {
        // The wheel's libtorch.so only depends on the CUDA part. torch-sys links `torch`, so a linker script of that
        // name stands for the CPU part.
        fs::write(partial.join("torch/lib/libtorch.so"), "INPUT(-ltorch_cpu -lc10)\n")?;
    }
    Ok(())
}

/// Moves the new folders into the place of the old ones. Until the stamp is written again, setup counts as incomplete.
fn exchange(home: &Path, partial: &Path) -> anyhow::Result<()> {
    Stamp::remove(home);
    for name in FOLDERS {
        let (new, place) = (partial.join(name), home.join(name));
        remove(&place)?;
        if new.exists() {
            fs::rename(&new, &place).with_context(|| format!("{} cannot be renamed", new.display()))?;
        }
    }
    Ok(())
}

/// Removes a folder with its content, a file, or a link but not its target. It may be missing.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("{} cannot be removed", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn new_folders_take_the_place_of_old_ones_and_of_a_link() {
        let home = tempfile::tempdir().unwrap();
        let (home, elsewhere) = (home.path(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("kept"), "").unwrap();
        link(home, elsewhere.path()).unwrap();
        assert!(home.join("torch/kept").exists());
        fs::create_dir_all(home.join("nvidia/old")).unwrap();

        let partial = home.join(PARTIAL);
        fs::create_dir_all(partial.join("torch/lib")).unwrap();
        Stamp { parts: Parts::Cpu, chosen: false }.write(home).unwrap();
        exchange(home, &partial).unwrap();

        assert!(home.join("torch/lib").is_dir() && !home.join("nvidia").exists());
        assert!(elsewhere.path().join("kept").exists(), "the link's target was emptied");
        assert_eq!(Stamp::read(home), None);
    }

    #[test]
    fn linux_gets_a_linker_script_and_a_version() {
        let partial = tempfile::tempdir().unwrap();
        fs::create_dir_all(partial.path().join("torch/lib")).unwrap();
        complete(partial.path(), Platform::LinuxX64).unwrap();
        let read = |name: &str| fs::read_to_string(partial.path().join(name)).unwrap();
        assert_eq!(read("torch/build-version").trim(), "2.11.0");
        assert!(read("torch/lib/libtorch.so").contains("-ltorch_cpu"));
    }
}
