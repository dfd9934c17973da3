//! Hostile run folders, passed to every command that takes one.

mod kinds;
mod measure;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ::tests::{Place, arrays};
use anyhow::{Context as _, ensure};
use image::GrayImage;
use ndarray::{Array1, Array4};

use crate::context::Context;
use crate::outcome::{Check, Outcome};
use crate::trials;
use kinds::{KINDS, Kind, NEWEST, READER};
use measure::{Cost, watch};

pub(crate) const CHECK: Check = Check {
    name: "hostile",
    goal: "a stranger's run folder does no harm",
    meaning: "A valid run folder is changed in one way: links, pipes and devices in place of its files, \
              sparse files of gigabytes, configurations that ask for huge networks and images or for the \
              reader's own data, names with terminal control codes. Every command that takes a run or a \
              checkpoint may use 1 s of CPU time more than with the valid run, and 300 MB above an idle \
              process. Nothing outside the folder may change, and no control character may be printed. A quick \
              run gives each folder to `train --resume` and one other command, drawn by the seed.",
    run,
};

/// CPU seconds above those of the same command on the valid run.
const CPU_SECONDS: f64 = 1.0;
/// MB above an idle process.
const MEMORY_MB: f64 = 300.0;
/// A process that waits for a pipe takes no CPU time.
const PATIENCE: Duration = Duration::from_secs(60);

const TRAIN: &str = "train --preset tiny-16 --run run --set train.steps=6 --set train.batch=8 --set data.limit=40 \
                     --set sample.count=4 --set sample.steps=4 --set train.log_every=2 \
                     --set train.checkpoint_every=3 --set precision=f32";

/// The commands run on each folder. `train` comes last, since it writes there.
const COMMANDS: [&str; 17] = [
    "sample --run run --count 2 --sampler ddim --steps 2 --out out",
    "sample --model run/checkpoints/step-00000006 --count 2 --sampler ddim --steps 2 --out out",
    "edit vary --run run --index 0 --t-start 5 --count 1 --sampler ddim --out out",
    "edit interpolate --run run --index 0 --to-index 1 --count 3 --t-start 10 --out out",
    "edit inpaint --run run --index 0 --box 4,4,4,4 --steps 2 --resample 1 --count 1 --out out",
    "edit outpaint --run run --index 0 --right 8 --steps 2 --resample 1 --count 1 --out out",
    "edit upscale --run run --index 0 --factor 2 --steps 2 --resample 1 --count 1 --out out",
    "edit encode --run run --index 0 --steps 2 --out out",
    "edit decode --run run --latent latent.npy --steps 2 --out out",
    "figures --run run --only 2,6,10 --quick --steps 2 --out out",
    "predict --run run --x x.npy --t t.npy --out eps.npy",
    "inspect checkpoint run",
    "inspect checkpoint run/checkpoints/step-00000006 --all",
    "inspect model --run run",
    "inspect model --model run/checkpoints/step-00000006",
    "train --resume --run run --dump-config",
    "train --resume --run run --set train.steps=7",
];

fn run(context: &Context) -> anyhow::Result<Outcome> {
    let sound = sound(context)?;
    let idle = call(&sound, "inspect schedule", f64::INFINITY)?.0;
    let before = costs(context, &sound)?;
    let pairs = pairs(context);
    let tried = trials::run(context.jobs, pairs.len() as u64, |trial| {
        let (kind, command) = pairs[trial as usize];
        let place = copied(context, &sound)?;
        harmless(&place, &KINDS[kind], COMMANDS[command], (idle, before[command]))
            .with_context(|| format!("{}: {}", KINDS[kind].name, COMMANDS[command]))
    });
    let most = |of: fn(&Cost) -> f64| tried.held.iter().map(of).fold(0.0, f64::max);
    Ok(Outcome {
        tried: tried.count(),
        survived: tried.held.len() as u64,
        figure: format!(
            "{} kinds, {} commands; at most {:.0} MB above idle and {:.2} s of CPU time",
            KINDS.len(),
            COMMANDS.len(),
            most(|cost| cost.peak_mb) - idle.peak_mb,
            most(|cost| cost.cpu)
        ),
        complaints: tried.complaints,
    })
}

/// The cost of every command on the valid run. All must succeed there, or they would prove nothing on others.
fn costs(context: &Context, sound: &Place) -> anyhow::Result<Vec<Cost>> {
    let tried = trials::run(context.jobs, COMMANDS.len() as u64, |number| {
        let command = usize::try_from(number)?;
        let (cost, code, said) = call(&copied(context, sound)?, COMMANDS[command], f64::INFINITY)?;
        let line = COMMANDS[command];
        ensure!(code == Some(0), "{line}: exit code {code:?} on the valid run: {said}");
        Ok((command, cost))
    });
    ensure!(tried.complaints.is_empty(), "{}", tried.complaints.join("; "));
    let mut costs = tried.held;
    costs.sort_by_key(|(command, _)| *command);
    Ok(costs.into_iter().map(|(_, cost)| cost).collect())
}

/// Kinds of folders and the commands to run on them, by index.
fn pairs(context: &Context) -> Vec<(usize, usize)> {
    let (last, all) = (COMMANDS.len() - 1, 0..COMMANDS.len());
    if context.full {
        return (0..KINDS.len()).flat_map(|kind| all.clone().map(move |command| (kind, command))).collect();
    }
    // Neighbouring kinds get neighbouring commands, so that every command has its turn.
    let first = context.draws("hostile", 0).below("first", last as u64) as usize;
    let other = |kind: usize| {
        let mut turns = (0..last).map(|turn| (first + kind + turn) % last);
        turns.find(|&command| KINDS[kind].name != READER || is_by_index(COMMANDS[command]))
    };
    (0..KINDS.len()).flat_map(|kind| other(kind).into_iter().chain([last]).map(move |c| (kind, c))).collect()
}

/// Whether a command takes images of the run by their index, and so its data.
fn is_by_index(line: &str) -> bool {
    line.contains("--index")
}

/// Runs one command on one folder; returns its cost if it did no harm.
fn harmless(place: &Place, kind: &Kind, line: &str, (idle, sound): (Cost, Cost)) -> anyhow::Result<Cost> {
    (kind.plant)(place)?;
    let outside = snapshot(&place.at("outside"))?;
    let (cost, code, said) = call(place, line, idle.peak_mb + MEMORY_MB)?;
    ensure!(code.is_some(), "killed by a signal: {said}");
    ensure!(!said.contains("panicked") && !said.contains("unexpected: "), "panicked: {said}");
    ensure!(
        cost.cpu < sound.cpu + CPU_SECONDS,
        "{:.2} s of CPU time, {:.2} s on the valid run",
        cost.cpu,
        sound.cpu
    );
    let printed = said.chars().find(|c| c.is_control() && *c != '\n');
    ensure!(printed.is_none(), "it printed {printed:?}: {said:?}");
    ensure!(snapshot(&place.at("outside"))? == outside, "something outside the folder has changed: {said}");
    if kind.name == READER && is_by_index(line) {
        ensure!(code != Some(0) && said.contains("--data"), "it used the reader's images: {code:?}: {said}");
    }
    Ok(cost)
}

/// A run, and files beside it that must not be touched.
fn sound(context: &Context) -> anyhow::Result<Place> {
    let place = context.place()?;
    let output = place.ddpm(TRAIN)?;
    ensure!(output.code == Some(0), "exit code {:?}: {}", output.shell_code(), output.stderr);
    ensure!(place.at(NEWEST).is_dir(), "no checkpoint of step 6");
    place.write("outside/file", "kept")?;
    place.write("outside/folder/file", "kept")?;
    for n in 0..40 {
        let path = place.write(&format!("outside/private/{n}.png"), "")?;
        GrayImage::from_pixel(16, 16, image::Luma([n])).save(path)?;
    }
    place.write("x.npy", arrays::npy(&Array4::<f32>::zeros((1, 1, 16, 16)))?)?;
    place.write("latent.npy", arrays::npy(&Array4::<f32>::zeros((1, 1, 16, 16)))?)?;
    place.write("t.npy", arrays::npy(&Array1::<i64>::zeros(1))?)?;
    Ok(place)
}

fn copied(context: &Context, sound: &Place) -> anyhow::Result<Place> {
    let place = context.place()?;
    let mut folders = vec![sound.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let to = place.path().join(path.strip_prefix(sound.path())?);
            if path.is_dir() {
                fs::create_dir_all(to)?;
                folders.push(path);
            } else {
                fs::create_dir_all(to.parent().unwrap_or(place.path()))?;
                fs::copy(&path, to)?;
            }
        }
    }
    Ok(place)
}

/// Everything below a folder: file contents and link targets.
fn snapshot(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let content = match () {
                () if kind.is_dir() => {
                    folders.push(path.clone());
                    b"a folder".to_vec()
                }
                () if kind.is_symlink() => fs::read_link(&path)?.into_os_string().into_encoded_bytes(),
                () => fs::read(&path)?,
            };
            found.insert(path, content);
        }
    }
    Ok(found)
}

/// Runs a command to its end; returns its cost, exit code and all output.
fn call(place: &Place, line: &str, most_mb: f64) -> anyhow::Result<(Cost, Option<i32>, String)> {
    let mut command = place.command(&format!("{line} --device cpu --threads 1"))?;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Read on threads, or a process with much output would block.
    std::thread::scope(|scope| {
        let out = scope.spawn(move || all(stdout));
        let err = scope.spawn(move || all(stderr));
        let cost = watch(&mut child, most_mb, PATIENCE);
        let said = [out.join().unwrap_or_default(), err.join().unwrap_or_default()].concat();
        let cost = cost.with_context(|| said.clone())?;
        Ok((cost, child.wait()?.code(), said))
    })
}

fn all(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // A broken pipe has delivered all it will.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_tries_every_kind_and_every_command() {
        assert_eq!(pairs(&Context::example()).len(), KINDS.len() * COMMANDS.len());
        assert!(KINDS.iter().any(|kind| kind.name == READER));
        for seed in 0..50 {
            let pairs = pairs(&Context { full: false, seed, ..Context::example() });
            assert_eq!(pairs.len(), 2 * KINDS.len());
            for (index, command) in COMMANDS.iter().enumerate() {
                assert!(pairs.iter().any(|pair| pair.1 == index), "{seed}: {command}");
            }
            for (kind, both) in pairs.chunks(2).enumerate() {
                let ((first, other), (second, last)) = (both[0], both[1]);
                assert!(first == kind && second == kind && other < last, "{seed}: {both:?}");
                assert_eq!(last, COMMANDS.len() - 1);
                assert!(KINDS[kind].name != READER || is_by_index(COMMANDS[other]), "{seed}: {other}");
            }
        }
    }
}
