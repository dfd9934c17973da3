//! The launcher of a package: a shell script that finds libtorch and starts the program.

use std::path::Path;

use super::folder::{make_executable, write};

const LAUNCHER: &str = include_str!("launcher.sh");

/// Puts the launcher into a package.
pub(super) fn put(package: &Path) -> anyhow::Result<()> {
    let path = package.join("ddpm");
    write(&path, LAUNCHER)?;
    make_executable(&path)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::folder::make;
    use super::*;
    use std::path::PathBuf;
    use std::process::{Command, Output};

    /// A package whose program prints the library path it was given.
    fn package() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make(&at("bin")).unwrap();
        write(&at("bin/ddpm"), "#!/bin/sh\necho \"${LD_LIBRARY_PATH-}|$*\"\n").unwrap();
        make_executable(&at("bin/ddpm")).unwrap();
        put(folder.path()).unwrap();
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
}
