//! Writes the seeds of every target into `fuzz/corpus`: `cargo run -p fuzz-bodies --example seeds`.

use std::fs;
use std::path::Path;

use anyhow::Context;
use fuzz_bodies::TARGETS;

fn main() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, bytes) in (target.seeds)() {
            let path = folder.join(format!("seed-{name}"));
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
