//! Tar shards.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::{Bomb, open_data};
use crate::tar::{archive, header, member};

pub(super) const BOMBS: &[Bomb] = &[
    bomb("tar-image-of-8-gib", |path| fs::write(path, header("a.png", b'0', 0o77_777_777_777))),
    bomb("tar-name-of-8-gib", |path| fs::write(path, header("a", b'L', 0o77_777_777_777))),
    // The size is real, but the file has a hole.
    bomb("tar-name-of-1-gib-hole", |path| plant_hole(path, b'L')),
    bomb("tar-image-of-1-gib-hole", |path| plant_hole(path, b'0')),
    bomb("tar-pax-size-of-2^64", |path| {
        let pax = member("pax", b'x', b"29 size=18446744073709551615\n");
        fs::write(path, archive(&[pax, member("a.png", b'0', b"1")]))
    }),
    bomb("tar-of-100000-links", |path| {
        let link = member("a.png", b'2', &[]);
        let mut file = File::create(path)?;
        (0..100_000).try_for_each(|_| file.write_all(&link))?;
        file.write_all(&[0; 512])
    }),
    Bomb {
        name: "tar-pattern-of-10^10-shards",
        plant: |path| fs::create_dir(path),
        set_off: |path| open_data(&path.join("{00000..99999}-{00000..99999}.tar")),
    },
];

const fn bomb(name: &'static str, plant: fn(&Path) -> io::Result<()>) -> Bomb {
    Bomb { name, plant, set_off: open_data }
}

/// A member of 1 GiB without data on the disk.
fn plant_hole(path: &Path, kind: u8) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&header("a.png", kind, 1 << 30))?;
    file.set_len((1 << 30) + 1024)
}
