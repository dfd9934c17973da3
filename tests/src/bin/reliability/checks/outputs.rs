//! Outputs whose name already exists as something else.

mod choice;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ::tests::nodes::{self, Reader};
use ::tests::{Output, Place, Running};
use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::training::{PATIENCE, last_line};
use crate::trials;
use choice::At::{self, BelowFile, Dangling, Folder, Full, Link, Nothing, Null, Pipe, Private, ReadOnly};
use choice::{Trial, WITHIN};

pub(crate) const CHECK: Check = Check {
    name: "outputs",
    goal: "every output is tested before the work, and only files are replaced",
    meaning: "Each output flag of each command (as listed by the program) is given a new name in a new \
              folder, a device, a full device, a link to a file, a dangling link, a file of mode 0600, a \
              named pipe with a reader, a folder, a name below a file and a place that is not writable. \
              Files are replaced and keep their mode, links are followed and stay, pipes and devices are \
              written to and stay. Outputs that cannot be written are refused with exit code 2 and one line, \
              before a network or data are opened. With `--quick` a flag gets two names that are refused and one \
              or two of the others, in turns and by the seed.",
    run,
};

/// A flag, and the commands to try it with. `{}` is its value, `RUN` is a trained run.
struct Flag {
    command: &'static str,
    flag: &'static str,
    /// A call that succeeds.
    works: &'static str,
    /// A call that fails as soon as it opens its network or data; `None` if it opens nothing.
    hopeless: Option<&'static str>,
    /// Files written to a folder; empty for a flag that names a file.
    files: &'static [&'static str],
}

impl Flag {
    /// Whether its value is a folder, even if its files go to subfolders.
    fn is_folder(&self) -> bool {
        !self.files.is_empty() || self.flag == "--run" || self.command == "ema"
    }
}

const fn flag(
    (command, flag): (&'static str, &'static str),
    works: &'static str,
    hopeless: Option<&'static str>,
    files: &'static [&'static str],
) -> Flag {
    Flag { command, flag, works, hopeless, files }
}

const IMAGES: &[&str] = &["grid.png", "samples.npz", "00000.png"];

const FLAGS: &[Flag] = &[
    flag(
        ("train", "--run"),
        "train --preset tiny-16 --set data.limit=30 --set train.steps=1 --set train.batch=2 --set sample.count=1 \
         --set sample.steps=1 --set train.ema_sigma_rels=[0.1] --run {}",
        Some("train --data nowhere --run {}"),
        &[],
    ),
    flag(
        ("distill", "--run"),
        "distill RUN --steps 1 --set train.batch=2 --set sample.count=1 --set sample.steps=1 --run {}",
        Some("distill nowhere --run {}"),
        &[],
    ),
    flag(
        ("distill", "--preview"),
        "distill RUN --steps 1 --set train.batch=2 --dry-run --preview {}",
        None,
        &[],
    ),
    flag(
        ("sample", "--out"),
        "sample --run RUN --count 3 --batch 2 --sampler ddim --steps 2 --save grid,png,npz --out {}",
        Some("sample --run nowhere --save grid,png,npz --out {}"),
        IMAGES,
    ),
    flag(
        ("sample", "--preview"),
        "sample --run RUN --count 1 --sampler ddim --steps 2 --preview {}",
        Some("sample --run nowhere --preview {}"),
        &[],
    ),
    flag(
        ("edit vary", "--out"),
        "edit vary --run RUN --index 0 --t-start 2 --steps 2 --count 1 --out {}",
        Some("edit vary --run nowhere --index 0 --t-start 2 --out {}"),
        &["original.png"],
    ),
    flag(
        ("edit interpolate", "--out"),
        "edit interpolate --run RUN --index 0 --to-index 1 --steps 2 --count 2 --save grid,png,npz --out {}",
        Some("edit interpolate --run nowhere --index 0 --to-index 1 --save grid,png,npz --out {}"),
        IMAGES,
    ),
    flag(
        ("edit inpaint", "--out"),
        "edit inpaint --run RUN --index 0 --box 0,0,4,4 --steps 2 --resample 1 --count 1 --save grid,png,npz --out {}",
        Some("edit inpaint --run nowhere --index 0 --box 0,0,4,4 --save grid,png,npz --out {}"),
        IMAGES,
    ),
    flag(
        ("edit outpaint", "--out"),
        "edit outpaint --run RUN --index 0 --left 4 --steps 2 --resample 1 --count 1 --save grid,png,npz --out {}",
        Some("edit outpaint --run nowhere --index 0 --left 4 --save grid,png,npz --out {}"),
        IMAGES,
    ),
    flag(
        ("edit upscale", "--out"),
        "edit upscale --run RUN --index 0 --factor 2 --steps 2 --resample 1 --count 1 --save grid,png,npz --out {}",
        Some("edit upscale --run nowhere --index 0 --factor 2 --save grid,png,npz --out {}"),
        IMAGES,
    ),
    flag(
        ("edit encode", "--out"),
        "edit encode --run RUN --index 0 --steps 2 --out {}",
        Some("edit encode --run nowhere --index 0 --out {}"),
        &["grid.png", "latent.npy"],
    ),
    flag(
        ("edit decode", "--out"),
        "edit decode --run RUN --latent RUN/latent.npy --steps 2 --save grid,png,npz --out {}",
        Some("edit decode --run nowhere --latent nowhere.npy --save grid,png,npz --out {}"),
        IMAGES,
    ),
    flag(
        ("figures", "--out"),
        "figures --run RUN --only 1 --out {}",
        Some("figures --run nowhere --only 1 --out {}"),
        &["report.html"],
    ),
    flag(
        ("compare", "--out"),
        "compare RUN RUN --count 1 --steps 2 --out {}",
        Some("compare nowhere nowhere --out {}"),
        &["compare.html", "01-loss.png", "02-samples.png"],
    ),
    flag(
        ("draw-scaling", "--out"),
        "draw-scaling --out {}",
        // It gets no input then.
        Some("draw-scaling --quiet --out {}"),
        &["scaling.png"],
    ),
    flag(
        ("draw-ablation", "--out"),
        "draw-ablation --out {}",
        // It gets no input then.
        Some("draw-ablation --quiet --out {}"),
        &[],
    ),
    flag(("export", "--out"), "export --run RUN --out {}", Some("export --run nowhere --out {}"), &[]),
    flag(
        ("export", "--folder"),
        concat!(
            "export --model ",
            env!("CARGO_MANIFEST_DIR"),
            "/fixtures/diffusers/ddim --format diffusers --folder {}"
        ),
        Some("export --run nowhere --format diffusers --folder {}"),
        &["README.md", "model_index.json"],
    ),
    flag(
        ("import", "--out"),
        concat!("import ", env!("CARGO_MANIFEST_DIR"), "/fixtures/diffusers/ddim --out {}"),
        Some("import nowhere --out {}"),
        &[],
    ),
    flag(
        ("ema", "--out"),
        "ema --run RUN --sigma-rel 0.1 --out {}",
        Some("ema --run nowhere --sigma-rel 0.1 --out {}"),
        &[],
    ),
    flag(
        ("mixture", "--out"),
        "mixture --run RUN --components 2 --out {}",
        Some("mixture --run nowhere --out {}"),
        &[],
    ),
    flag(
        ("evaluate", "--out"),
        "evaluate --run RUN --n 4 --steps 2 --metrics copying --out {}",
        Some("evaluate --run nowhere --out {}"),
        &["evaluation.json", "nearest.png", "samples.npz"],
    ),
    flag(
        ("train-features", "--out"),
        "train-features --set data.limit=30 --epochs 1 --out {}",
        Some("train-features --data nowhere --out {}"),
        &[],
    ),
    flag(
        ("predict", "--out"),
        "predict --run RUN --x RUN/latent.npy --t RUN/t.npy --out {}",
        Some("predict --run nowhere --x nowhere.npy --t nowhere.npy --out {}"),
        &[],
    ),
    flag(
        ("train", "--preview"),
        "train --preset tiny-16 --set data.limit=8 --set train.batch=2 --dry-run --preview {}",
        None,
        &[],
    ),
    flag(("inspect schedule", "--out"), "inspect schedule --out {}", None, &[]),
    flag(("inspect embedding", "--out"), "inspect embedding --out {}", None, &[]),
    flag(
        ("inspect data", "--out"),
        "inspect data --set data.limit=3 --out {}",
        Some("inspect data --data nowhere --out {}"),
        &[],
    ),
];

/// Panels for `ddpm draw-scaling`.
const PANELS: &str = r#"[{"heading": "h", "x_label": "x", "y_label": "y", "fitted": [[1, 2], [2, 4.1]], "held_out": [],
                          "law": [[1, 2.5], [2, 5]]}]"#;

/// A study for `ddpm draw-ablation`.
const STUDY: &str = r#"{"metric": "FD", "kinds": ["ddim 30"], "groups": [{"heading": "v", "lines": [
                         {"label": "own", "kind": 0, "value": 2, "interval": [1.5, 2.5], "seeds": []}]}]}"#;

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let place = trained(context)?;
    let mut complaints = unlisted(&place)?;
    let devices =
        nodes::device(&place.at("null"), nodes::NULL) && nodes::device(&place.at("full"), nodes::FULL);
    let mut all: Vec<(&Flag, Trial)> = Vec::new();
    for (number, flag) in FLAGS.iter().enumerate() {
        let trials = if flag.is_folder() {
            choice::of_folder(context, number, !flag.files.is_empty())
        } else {
            choice::of_file(context, number)
        };
        all.extend(trials.into_iter().map(|trial| (flag, trial)));
    }
    all.retain(|(_, trial)| devices || !matches!(trial, Trial::File(Null | Full) | Trial::Refused(Null)));
    let tried = trials::run(context.jobs, all.len() as u64, |number| {
        let (flag, trial) = &all[number as usize];
        tried(context, &place, flag, *trial, devices)
            .with_context(|| format!("{} {}: {trial:?}", flag.command, flag.flag))
    });
    complaints.extend(tried.complaints.iter().cloned());
    let skipped = if devices { "" } else { ", no devices: this user cannot make them" };
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!("{} flags of {} calls{skipped}", FLAGS.len(), all.len()),
        complaints,
    })
}

/// A working folder with everything the calls need.
fn trained(context: &Context) -> anyhow::Result<Place> {
    let place = context.place()?;
    let train = FLAGS[0].works.replace("{}", "run");
    for line in [train.as_str(), "edit encode --run run --index 0 --steps 2 --out latent"] {
        let output = place.ddpm(line)?;
        ensure!(output.code == Some(0), "ddpm {line}: {}", last_line(&output));
    }
    fs::rename(place.at("latent/latent.npy"), place.at("run/latent.npy"))?;
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }");
    place.write("run/t.npy", [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &[0; 4]].concat())?;
    Ok(place)
}

/// Flags of the program missing from the table, and the reverse.
fn unlisted(place: &Place) -> anyhow::Result<Vec<String>> {
    let said: Value = serde_json::from_str(&place.run("flags")?.stdout).context("ddpm flags")?;
    let of =
        |entry: &Value| Some((entry["command"].as_str()?.to_owned(), entry["flag"].as_str()?.to_owned()));
    let is_output = |entry: &&Value| entry["kind"].as_str().is_some_and(|kind| kind.starts_with("output"));
    let all = said.as_array().context("no array")?;
    let outputs: Vec<(String, String)> = all.iter().filter(is_output).filter_map(of).collect();
    ensure!(!outputs.is_empty(), "the program lists no output");
    let mine =
        |(command, name): &(String, String)| FLAGS.iter().any(|f| f.command == command && f.flag == name);
    let missing = outputs.iter().filter(|output| !mine(output));
    let mut complaints: Vec<String> =
        missing.map(|(command, flag)| format!("ddpm {command} {flag}: it has no trial")).collect();
    for Flag { command, flag, .. } in FLAGS {
        if !outputs.iter().any(|(c, f)| c == command && f == flag) {
            complaints.push(format!("ddpm {command} {flag}: the program has no such output"));
        }
    }
    Ok(complaints)
}

fn tried(context: &Context, trained: &Place, flag: &Flag, trial: Trial, devices: bool) -> anyhow::Result<()> {
    let place = context.place()?;
    match trial {
        Trial::File(at) => {
            let is_folder = flag.is_folder();
            let path = if is_folder { folder(&place, at)? } else { prepared(&place, "x.png", at)? };
            let reader = (at == Pipe).then(|| Reader::of(&path)).transpose()?;
            let output = call(&place, trained, flag.works, &path, flag)?;
            let code = if at == Full { 6 } else { 0 };
            ensure!(output.code == Some(code), "exit code {:?}: {}", output.shell_code(), last_line(&output));
            if is_folder {
                ensure!(fs::read_dir(&path)?.count() > 0, "nothing in {}", path.display());
                ensure!(at != Link || path.is_symlink(), "the link is gone");
                return Ok(());
            }
            written(&place, "x.png", at, reader)
        }
        Trial::Files(turn) => {
            fs::create_dir(place.at("folder"))?;
            let at = |index: usize| match WITHIN[(index + turn) % WITHIN.len()] {
                Null if !devices => Private,
                at => at,
            };
            let mut readers = Vec::new();
            for (index, file) in flag.files.iter().enumerate() {
                let path = prepared(&place, &format!("folder/{file}"), at(index))?;
                readers.push((at(index) == Pipe).then(|| Reader::of(&path)).transpose()?);
            }
            let output = call(&place, trained, flag.works, &place.at("folder"), flag)?;
            ensure!(output.code == Some(0), "exit code {:?}: {}", output.shell_code(), last_line(&output));
            for ((index, file), reader) in flag.files.iter().enumerate().zip(readers) {
                written(&place, &format!("folder/{file}"), at(index), reader).context(*file)?;
            }
            Ok(())
        }
        Trial::Refused(at) => {
            let path = prepared(&place, "x.png", at)?;
            let before = all_names(&place)?;
            // If it opened a network or data first, the error would be about that.
            let output = call(&place, trained, flag.hopeless.unwrap_or(flag.works), &path, flag)?;
            let errors = output.errors();
            ensure!(output.code == Some(2), "exit code {:?}: {}", output.shell_code(), last_line(&output));
            ensure!(
                errors.len() == 1 && errors[0].contains(flag.flag),
                "expected one line about it: {errors:?}"
            );
            ensure!(all_names(&place)? == before, "expected no new file, found {:?}", all_names(&place)?);
            ensure!(at != Private || fs::read(&path)? == b"old", "the file has changed");
            Ok(())
        }
    }
}

/// A name for a folder.
fn folder(place: &Place, at: At) -> anyhow::Result<PathBuf> {
    if at == Link {
        fs::create_dir(place.at("elsewhere"))?;
        symlink("elsewhere", place.at("x"))?;
        return Ok(place.at("x"));
    }
    Ok(place.at("new/deeper/x"))
}

/// Creates something at a name; returns the name as the flag spells it.
fn prepared(place: &Place, name: &str, at: At) -> anyhow::Result<PathBuf> {
    let path = place.at(name);
    match at {
        Nothing => return Ok(place.at(&format!("new/deeper/{name}"))),
        Null | Full => {
            let minor = if at == Null { nodes::NULL } else { nodes::FULL };
            ensure!(nodes::device(&path, minor), "cannot make the device");
        }
        Link => {
            let target = place.write(&format!("elsewhere/{name}"), "old")?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o640))?;
            symlink(target, &path)?;
        }
        Dangling => symlink(place.at(&format!("elsewhere/{name}")), &path)?,
        Private => {
            place.write(name, "old")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Pipe => nodes::pipe(&path)?,
        Folder => fs::create_dir(&path)?,
        BelowFile => return Ok(place.write("file", "old")?.join(name)),
        // Nobody can create files there, not even root.
        ReadOnly => return Ok(Path::new("/proc/self").join(name)),
    }
    Ok(path)
}

/// Fails unless the output is where it should be, and what was there is still of the same kind.
fn written(place: &Place, name: &str, at: At, reader: Option<Reader>) -> anyhow::Result<()> {
    let path = place.at(name);
    let kind = || Ok::<_, anyhow::Error>(fs::symlink_metadata(&path)?.file_type());
    let (real, mode) = match at {
        Null | Full => {
            ensure!(kind()?.is_char_device(), "the device is gone");
            return tidy(place);
        }
        Pipe => {
            let read = reader.context("no reader")?.finish()?;
            ensure!(kind()?.is_fifo(), "the pipe is gone");
            ensure!(read.len() > 20, "only {} bytes came through the pipe", read.len());
            return tidy(place);
        }
        Nothing => (place.at(&format!("new/deeper/{name}")), None),
        Link | Dangling => {
            ensure!(kind()?.is_symlink(), "the link is gone");
            (place.at(&format!("elsewhere/{name}")), (at == Link).then_some(0o640))
        }
        _ => (path.clone(), Some(0o600)),
    };
    let found = fs::metadata(&real).with_context(|| real.display().to_string())?;
    ensure!(found.is_file() && found.len() > 20, "{} bytes in {}", found.len(), real.display());
    ensure!(mode.is_none_or(|mode| found.mode() & 0o7777 == mode), "mode {:o}", found.mode());
    tidy(place)
}

fn tidy(place: &Place) -> anyhow::Result<()> {
    let left = all_names(place)?.into_iter().find(|name| name.contains("/.") || name.contains("partial"));
    ensure!(left.is_none(), "left behind: {left:?}");
    Ok(())
}

/// Everything in the folder and below it.
fn all_names(place: &Place) -> anyhow::Result<Vec<String>> {
    let (mut names, mut folders) = (Vec::new(), vec![place.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            names.push(entry.path().display().to_string().replacen(
                &place.path().display().to_string(),
                "",
                1,
            ));
        }
    }
    names.sort();
    Ok(names)
}

/// Runs a call of the table.
fn call(place: &Place, trained: &Place, line: &str, path: &Path, flag: &Flag) -> anyhow::Result<Output> {
    let run = trained.at("run").display().to_string();
    let input = match flag.command {
        "draw-ablation" => Some(STUDY),
        "draw-scaling" => Some(PANELS),
        _ => None,
    };
    let input = input.filter(|_| line == flag.works);
    let line = line.replace("RUN", &run).replace("{}", &path.display().to_string());
    let line = format!("{line} --device cpu --threads 1");
    let mut command = place.command(&line)?;
    if let Some(input) = input {
        command.stdin(Stdio::from(fs::File::open(place.write(".input/all.json", input)?)?));
        let output = Running::start(&line, &mut command)?.wait_within(PATIENCE)?;
        fs::remove_dir_all(place.at(".input"))?;
        return Ok(output);
    }
    Running::start(&line, &mut command)?.wait_within(PATIENCE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_quick_run_tries_every_flag_and_every_kind() {
        let chosen = |context: &Context| {
            let of = |(number, flag): (usize, &Flag)| {
                let has_files = !flag.files.is_empty();
                match flag.is_folder() {
                    true => (true, choice::of_folder(context, number, has_files)),
                    false => (false, choice::of_file(context, number)),
                }
            };
            FLAGS.iter().enumerate().map(of).collect::<Vec<(bool, Vec<Trial>)>>()
        };
        let kinds = |chosen: &[(bool, Vec<Trial>)]| -> BTreeSet<String> {
            let of = |(is_folder, trials): &(bool, Vec<Trial>)| {
                trials.iter().map(|trial| format!("{is_folder} {trial:?}")).collect::<Vec<_>>()
            };
            chosen.iter().flat_map(of).collect()
        };
        let all = chosen(&Context::example());
        for seed in [0, 1, 2, 3, 5, 8, 13, 839, u64::MAX] {
            let few = chosen(&Context { full: false, seed, ..Context::example() });
            assert_eq!(kinds(&few), kinds(&all), "{seed}");
            for ((_, few), (_, all)) in few.iter().zip(&all) {
                let refused =
                    |trials: &[Trial]| trials.iter().filter(|t| matches!(t, Trial::Refused(_))).count();
                assert!(refused(few) == 2 && (3..=4).contains(&few.len()), "{seed}: {few:?}");
                assert!(few.len() < all.len(), "{seed}: {few:?}");
            }
        }
    }
}
