//! `cargo xtask package`: a folder that runs on machines without Rust and can be moved.
//!
//! ```text
//! ddpm          finds libtorch and starts the program (launcher.sh)
//! bin/ddpm      the program, optimised
//! model/        the newest valid checkpoint of a run, if there is one
//! lib/          with --with-libtorch: the CPU part of libtorch and what it needs
//! licences/     ours, the data's, those of all crates in the program, and of libtorch if included
//! README.txt
//! ```

mod libtorch;
mod licences;
mod model;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use crate::ddpm;
use crate::workspace::Workspace;

const LAUNCHER: &str = include_str!("launcher.sh");
const README: &str = include_str!("readme.txt");
const WITH_MODEL: &str = include_str!("with_model.txt");
const WITHOUT_MODEL: &str = include_str!("without_model.txt");
/// Files by which an older package is known.
const MARKS: [&str; 2] = ["bin/ddpm", "ddpm"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to make; an older package there is replaced.
    #[arg(long, value_name = "DIR", default_value = "out/ddpm")]
    out: PathBuf,
    /// The run whose newest valid checkpoint becomes the model [default: the newest in runs/ that has one].
    #[arg(long, value_name = "DIR", conflicts_with = "no_model")]
    run: Option<PathBuf>,
    /// Without a model.
    #[arg(long)]
    no_model: bool,
    /// Include the CPU part of libtorch (450 MB).
    #[arg(long)]
    with_libtorch: bool,
    /// A built program [default: build it].
    #[arg(long, hide = true, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(cfg!(target_os = "linux"), "package: expected Linux, where libtorch is found by LD_LIBRARY_PATH");
    let libraries = args.with_libtorch.then(|| libtorch::files(workspace)).transpose()?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => ddpm::build(workspace)?,
    };
    let checkpoint = match (&args.run, args.no_model) {
        (_, true) => None,
        (Some(run), _) => Some(model::newest_of(&program, run)?),
        (None, _) => model::newest(&program, Path::new("runs")),
    };

    // Built under another name, then renamed, so that `out` is always complete.
    let partial = beside(&args.out)?;
    remove(&partial)?;
    fill(workspace, &program, &partial)?;
    write(&partial.join("README.txt"), &readme(checkpoint.is_some()))?;
    if let Some(checkpoint) = &checkpoint {
        copy_files(checkpoint, &partial.join("model"))?;
    }
    if let Some(libraries) = libraries {
        libtorch::copy_to(&libraries, &partial)?;
    }
    replace(&args.out, &partial, "package", &MARKS)?;

    println!("package: {}", args.out.display());
    match checkpoint {
        Some(checkpoint) => println!("model:   {}", checkpoint.display()),
        None if args.no_model => (),
        None => println!(
            "model:   none: no run in runs/ has a checkpoint; `cargo xtask train` makes one, --run names one"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the program, its launcher and the licences of what is in it into a folder.
pub(crate) fn fill(workspace: &Workspace, program: &Path, folder: &Path) -> anyhow::Result<()> {
    make(&folder.join("bin"))?;
    copy(program, &folder.join("bin/ddpm"))?;
    write(&folder.join("ddpm"), LAUNCHER)?;
    make_executable(&folder.join("ddpm"))?;
    licences::collect(workspace, &folder.join("licences"))
}

fn readme(has_model: bool) -> String {
    let line =
        "    ./ddpm sample --count 16 --out out/              draw images with the network in model/\n";
    let (line, about) = if has_model { (line, WITH_MODEL) } else { ("", WITHOUT_MODEL) };
    README
        .replace("VERSION", env!("CARGO_PKG_VERSION"))
        .replace("SAMPLE", line)
        .replace("MODEL", about.trim_end())
}

/// The hidden name of a package under construction.
pub(crate) fn beside(out: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = out.file_name().and_then(|name| name.to_str()) else {
        bail!("--out {}: expected the name of a folder to make", out.display());
    };
    Ok(out.with_file_name(format!(".{name}.partial")))
}

/// Replaces an older folder of the same kind, known by some of its files; refuses to replace anything else.
pub(crate) fn replace(out: &Path, partial: &Path, kind: &str, marks: &[&str]) -> anyhow::Result<()> {
    if out.exists() {
        ensure!(
            marks.iter().all(|name| out.join(name).is_file()),
            "--out {}: expected a new name or an older {kind}, found something else",
            out.display()
        );
        remove(out)?;
    }
    fs::rename(partial, out).with_context(|| format!("{} cannot be made", out.display()))
}

pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Copies a file with its permissions.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = fs::copy(from, to).map(|_| ());
    copied.with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))
}

/// Copies the files of a folder, not its subfolders.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    make(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

pub(crate) fn make_executable(path: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, permissions)
            .with_context(|| format!("{} cannot be made executable", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::process::{Command, Output};

    /// A package whose program prints the library path it was given.
    fn package() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make(&at("bin")).unwrap();
        write(&at("bin/ddpm"), "#!/bin/sh\necho \"${LD_LIBRARY_PATH-}|$*\"\n").unwrap();
        write(&at("ddpm"), LAUNCHER).unwrap();
        make_executable(&at("bin/ddpm")).unwrap();
        make_executable(&at("ddpm")).unwrap();
        folder
    }

    fn libtorch(folder: &Path) -> PathBuf {
        make(folder).unwrap();
        write(&folder.join("libtorch_cpu.so"), "").unwrap();
        folder.to_owned()
    }

    /// A folder for PATH with a python3 that has PyTorch of some version.
    fn python(folder: &Path, version: &str) -> PathBuf {
        make(&folder.join("path")).unwrap();
        let lib = libtorch(&folder.join("torch/lib"));
        // It answers like the launcher's Python code: the folder, and whether the version fits.
        let code = if version.starts_with("2.11.") { 0 } else { 1 };
        write(&folder.join("path/python3"), &format!("#!/bin/sh\necho {}\nexit {code}\n", lib.display()))
            .unwrap();
        make_executable(&folder.join("path/python3")).unwrap();
        folder.join("path")
    }

    /// Runs the launcher with a PATH that starts with `path` and has no other Python.
    fn launch(program: &Path, path: &Path, libraries: &str) -> Output {
        let tools = tempfile::tempdir().unwrap();
        for tool in ["dirname", "readlink", "sh"] {
            let found = crate::setup::tools::in_path(tool).unwrap();
            std::os::unix::fs::symlink(found, tools.path().join(tool)).unwrap();
        }
        let mut command = Command::new(program);
        command.args(["a b", "--c"]).env("PATH", std::env::join_paths([path, tools.path()]).unwrap());
        command.env("LD_LIBRARY_PATH", libraries).output().unwrap()
    }

    fn said(output: &Output) -> String {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn the_launcher_is_posix_shell() {
        let folder = package();
        let checked = Command::new("sh").arg("-n").arg(folder.path().join("ddpm")).status().unwrap();
        assert!(checked.success());
    }

    #[test]
    fn libtorch_is_looked_for_in_order() {
        let (folder, elsewhere) = (package(), tempfile::tempdir().unwrap());
        let program = folder.path().join("ddpm");
        let none = Path::new("/no/such/folder");
        // Nowhere: one line of error, and the program does not start.
        let output = launch(&program, none, "");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{error}");
        assert!(error.contains("libtorch 2.11") && error.lines().count() == 1, "{error}");
        // In Python, if it is 2.11.
        let path = python(&elsewhere.path().join("new"), "2.13.0");
        assert_eq!(launch(&program, &path, "").status.code(), Some(1));
        let path = python(&elsewhere.path().join("py thon"), "2.11.0+cpu");
        // Written by a shell script, so the space needs no quoting there.
        let of_python = elsewhere.path().join("py thon/torch/lib").display().to_string();
        assert_eq!(said(&launch(&program, &path, "/x")), format!("{of_python}:/x|a b --c"));
        // Beside the launcher.
        let lib = libtorch(&folder.path().canonicalize().unwrap().join("lib")).display().to_string();
        assert_eq!(said(&launch(&program, &path, "")), format!("{lib}|a b --c"));
        // In the search path, where only absolute paths are kept.
        let given = libtorch(&elsewhere.path().join("given")).display().to_string();
        assert_eq!(said(&launch(&program, &path, &format!("/x::{given}"))), format!("/x:{given}|a b --c"));
    }

    /// Starting the program in a stranger's folder runs nothing from that folder.
    #[test]
    fn nothing_of_the_current_folder_is_run_or_loaded() {
        let (folder, stranger) = (package(), tempfile::tempdir().unwrap());
        let path = python(&stranger.path().join("bin"), "2.11.0");
        make(&stranger.path().join("torch/lib")).unwrap();
        libtorch(&stranger.path().join("torch/lib"));
        let trace = stranger.path().join("was-run");
        let code = format!("open({:?}, 'w')\n", trace.display().to_string());
        for module in ["csv.py", "importlib.py", "os.py", "torch/__init__.py"] {
            write(&stranger.path().join(module), &code).unwrap();
        }
        // The python3 of this machine, with the stranger's folder as the current one and in every path.
        let found = crate::setup::tools::in_path("python3").unwrap();
        let system = found.parent().unwrap();
        let run = |path: &str| {
            let mut command = Command::new(folder.path().join("ddpm"));
            command.current_dir(stranger.path()).env("PATH", path).env("LD_LIBRARY_PATH", "torch/lib::.");
            command.env("PYTHONPATH", ":.").output().unwrap()
        };
        let _ = run(&format!("{}:/usr/bin:/bin", system.display()));
        assert!(!trace.exists(), "a module of the current folder ran");
        let relative = path.strip_prefix(stranger.path()).unwrap().display().to_string();
        let output = run(&format!("{relative}:/usr/bin:/bin"));
        assert!(!said(&output).contains(&stranger.path().display().to_string()), "{output:?}");
    }

    /// The program learns of model/ only if there is one, and a model of the user's comes first.
    #[test]
    fn the_launcher_names_the_model_of_the_package() {
        let folder = package();
        write(&folder.path().join("bin/ddpm"), "#!/bin/sh\necho \"${DDPM_MODEL-none}\"\n").unwrap();
        let home = folder.path().canonicalize().unwrap();
        libtorch(&home.join("lib"));
        let model = |own: Option<&str>| {
            let mut command = Command::new(folder.path().join("ddpm"));
            command.current_dir("/").env_remove("DDPM_MODEL").env_remove("LD_LIBRARY_PATH");
            command.envs(own.map(|own| ("DDPM_MODEL", own)));
            said(&command.output().unwrap())
        };
        assert_eq!(model(None), "none");
        make(&home.join("model")).unwrap();
        write(&home.join("model/manifest.json"), "{}").unwrap();
        assert_eq!(model(None), home.join("model").display().to_string());
        assert_eq!(model(Some("/mine")), "/mine");
        assert_eq!(model(Some("")), home.join("model").display().to_string());
    }

    #[test]
    fn a_link_to_the_launcher_works() {
        let folder = package();
        let lib = libtorch(&folder.path().canonicalize().unwrap().join("lib")).display().to_string();
        let links = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path().join("ddpm"), links.path().join("one")).unwrap();
        std::os::unix::fs::symlink("one", links.path().join("two")).unwrap();
        let output = launch(&links.path().join("two"), Path::new("/no/such/folder"), "");
        assert_eq!(said(&output), format!("{lib}|a b --c"));
    }

    #[test]
    fn only_a_package_is_replaced() {
        let (home, old) = (tempfile::tempdir().unwrap(), package());
        let out = home.path().join("out");
        let partial = beside(&out).unwrap();
        make(&partial).unwrap();
        make(&out).unwrap();
        write(&out.join("photo.png"), "").unwrap();
        assert!(
            replace(&out, &partial, "package", &MARKS)
                .unwrap_err()
                .to_string()
                .contains("found something else")
        );
        assert!(out.join("photo.png").exists());
        replace(old.path(), &partial, "package", &MARKS).unwrap();
        assert!(!old.path().join("bin").exists() && !partial.exists());
        assert!(beside(Path::new("/")).is_err());
    }

    #[test]
    fn the_readme_names_the_model_only_where_there_is_one() {
        assert!(readme(true).contains("./ddpm sample --count") && readme(true).contains("--init-from model"));
        assert!(!readme(false).contains("./ddpm sample --count") && !readme(false).contains("model/"));
        for text in [readme(true), readme(false)] {
            let mut words = text.split_whitespace();
            assert!(!words.any(|word| ["VERSION", "SAMPLE", "MODEL"].contains(&word)), "{text}");
        }
    }
}
