//! The stamp: what setup has put into `.libtorch/`. It is written last, so it exists only when all is complete.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::contents;
use super::wheels::{self, Parts};

/// Version of the layout that this code writes; the table's hash covers the wheels, not the layout.
const LAYOUT: u32 = 1;

const FILE: &str = "stamp";

/// The record of a finished setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) parts: Parts,
    /// The user requested these parts; a driver installed later changes nothing.
    pub(crate) chosen: bool,
}

impl Stamp {
    /// The stamp in `home`, if it matches this table of wheels and the libraries are unchanged.
    pub(crate) fn read(home: &Path) -> Option<Self> {
        let stamp = Self::written(home)?;
        contents::changed(home).is_none().then_some(stamp)
    }

    /// What has changed since the stamp in `home` was written, if anything.
    pub(crate) fn broken(home: &Path) -> Option<String> {
        Self::written(home).and_then(|_| contents::changed(home))
    }

    /// The stamp, without checking the libraries.
    fn written(home: &Path) -> Option<Self> {
        let text = fs::read_to_string(home.join(FILE)).ok()?;
        // There are only four possible stamps.
        [Parts::Cpu, Parts::CpuAndCuda]
            .into_iter()
            .flat_map(|parts| [false, true].map(|chosen| Self { parts, chosen }))
            .find(|stamp| stamp.text() == text)
    }

    /// Writes the stamp and syncs it to disk before returning.
    pub(crate) fn write(self, home: &Path) -> anyhow::Result<()> {
        contents::note(home)?;
        let path = home.join(FILE);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Removes the stamp before anything under it changes.
    pub(crate) fn remove(home: &Path) {
        // A missing stamp counts as removed; one that stays is overwritten later.
        let _ = fs::remove_file(home.join(FILE));
    }

    fn text(self) -> String {
        let parts = match self.parts {
            Parts::Cpu => "cpu",
            Parts::CpuAndCuda => "cpu+cuda",
        };
        let by = if self.chosen { "chosen" } else { "automatic" };
        format!("libtorch {}\n{parts}\n{by}\n{}\n", wheels::LIBTORCH_VERSION, wheels::table_hash(LAYOUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the required libraries.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("torch/lib")).unwrap();
        for name in ["libc10.so", "libtorch_cpu.so", "libgomp.so.1"] {
            fs::write(home.path().join("torch/lib").join(name), name).unwrap();
        }
        home
    }

    #[test]
    fn a_stamp_is_not_believed_when_a_library_is_gone_or_cut() {
        let home = home();
        let stamp = Stamp { parts: Parts::Cpu, chosen: false };
        let gomp = home.path().join("torch/lib/libgomp.so.1");
        stamp.write(home.path()).unwrap();
        for damage in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, "lib")] {
            damage(&gomp).unwrap();
            assert_eq!(Stamp::read(home.path()), None);
            assert!(Stamp::broken(home.path()).unwrap().contains("libgomp.so.1"));
            fs::write(&gomp, "libgomp.so.1").unwrap();
            assert_eq!(Stamp::read(home.path()), Some(stamp));
        }
        // Stamps of earlier versions had no list; the libraries of every setup must exist.
        contents::forget(home.path());
        assert_eq!(Stamp::read(home.path()), Some(stamp));
        fs::remove_file(home.path().join("torch/lib/libtorch_cpu.so")).unwrap();
        assert_eq!(Stamp::read(home.path()), None);
    }

    #[test]
    fn a_stamp_comes_back_as_it_was_written() {
        let home = home();
        assert_eq!(Stamp::read(home.path()), None);
        for parts in [Parts::Cpu, Parts::CpuAndCuda] {
            for chosen in [false, true] {
                let stamp = Stamp { parts, chosen };
                stamp.write(home.path()).unwrap();
                assert_eq!(Stamp::read(home.path()), Some(stamp));
            }
        }
        Stamp::remove(home.path());
        assert_eq!(Stamp::read(home.path()), None);
    }

    #[test]
    fn a_stamp_of_another_table_does_not_count() {
        let home = home();
        Stamp { parts: Parts::Cpu, chosen: false }.write(home.path()).unwrap();
        let path = home.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let hash = wheels::table_hash(LAYOUT);
        assert!(text.contains(&hash));
        fs::write(&path, text.replace(&hash, &wheels::table_hash(LAYOUT + 1))).unwrap();
        assert_eq!(Stamp::read(home.path()), None);
    }
}
