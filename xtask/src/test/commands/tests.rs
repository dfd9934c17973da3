//! The lines of the commands.

use super::super::{ON_GPU, packages};
use super::*;
use std::fs;

fn words(command: &Command) -> String {
    let line = process::line_of(command);
    line.split_once(' ').map(|(_, args)| args.to_owned()).unwrap_or_default()
}

fn env_of(command: &Command, name: &str) -> Option<String> {
    let (_, value) = command.get_envs().find(|(key, _)| *key == name)?;
    Some(value?.to_str().unwrap().to_owned())
}

#[test]
fn parquet_has_steps_of_its_own() {
    let workspace = Workspace::find().unwrap();
    let args = Args { locked: true, package: vec![DATASET.to_owned()], ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    let steps = run.of_parquet();
    let want = "clippy --locked -p dataset --features parquet --all-targets -- -D warnings";
    assert_eq!(words(&steps[0].1), want);
    assert_eq!(words(&steps[1].1), "test --locked -p dataset --features parquet --lib --test tables");
    assert_eq!(env_of(&steps[1].1, "LIBTORCH").as_deref(), Some(NOWHERE));
    assert_eq!(words(&run.tests(DATASET)), "test --locked -p dataset");

    let args = Args { locked: true, ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    assert_eq!(run.of_parquet().len(), 1);
    let want = "test --locked -p dataset -p cli --lib --test * --features parquet";
    assert_eq!(words(&run.tests(DATASET)), want);
}

#[test]
fn a_named_crate_limits_every_step() {
    let workspace = Workspace::find().unwrap();
    let args = Args { package: vec![String::from("schedule")], ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    assert_eq!(words(&run.format()), "fmt -p schedule --check");
    assert_eq!(words(&run.lints()), "clippy -p schedule --all-targets -- -D warnings");
    assert_eq!(words(&run.docs()), "doc -p schedule --no-deps");
    assert_eq!(packages(&workspace, &args).unwrap(), ["schedule"]);
}

#[test]
fn a_named_crate_is_tested_alone() {
    let workspace = Workspace::find().unwrap();
    let args = Args { package: vec![String::from("unet")], ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    assert_eq!(words(&run.tests("unet")), "test -p unet");
    assert_eq!(words(&run.test_programs("unet")), "test -p unet --tests");
    assert!([true, false].iter().all(|libtorch| run.doc_tests(&args.package, *libtorch).is_none()));
    assert!(run.build_of_example("unet", "predict").is_none() && run.builds(&args.package).is_empty());
    let example = run.example("unet", "predict").unwrap();
    assert_eq!(words(&example), "run --quiet -p unet --example predict");
    assert_eq!(words(&run.on_gpu(&["unet"])), "test -p unet --test gpu -- --ignored");
}

#[test]
fn in_a_run_of_all_crates_the_dependencies_have_the_features_of_ddpm() {
    let workspace = Workspace::find().unwrap();
    let args = Args { locked: true, ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    assert_eq!(words(&run.lints()), "clippy --workspace --locked --all-targets -- -D warnings");
    let line = "test --locked -p unet -p cli --lib --test *";
    assert_eq!(words(&run.tests("unet")), line);
    assert_eq!(words(&run.test_programs("unet")), line);
    assert_eq!(words(&run.tests("denoiser")), "test --locked -p denoiser -p cli --lib");
    assert_eq!(words(&run.tests(PROGRAM)), "test --locked -p examples -p cli --bin own_data --test *");
    let build = run.build_of_example("unet", "predict").unwrap();
    assert_eq!(words(&build), "build --quiet --locked -p unet -p cli --example predict");
    let example = run.example("unet", "predict").unwrap();
    assert!(example.get_program().to_string_lossy().contains("debug/examples/predict"));
    assert_eq!(words(&run.tests("schedule")), "test --locked -p schedule -p cli --lib --test *");
    assert_eq!(words(&run.tests(FUZZ_BODIES)), "test --locked -p fuzz-bodies -p cli --lib --test *");
    assert_eq!(words(&run.end_to_end()), "test --locked -p tests -p cli");
    for name in ["cli", "xtask"] {
        assert_eq!(words(&run.tests(name)), format!("test --locked -p {name}"));
    }
    let all = packages(&workspace, &args).unwrap();
    for (libtorch, named, other) in [(true, " -p unet ", "schedule"), (false, " -p schedule ", "unet")] {
        let tests = run.doc_tests(&all, libtorch).unwrap();
        let documented = words(&tests);
        assert!(documented.starts_with("test --locked -p cli -p ") && documented.ends_with(" --doc"));
        assert!(documented.contains(named) && !documented.contains(other), "{documented}");
        assert_eq!(env_of(&tests, "LIBTORCH").is_none(), libtorch);
    }
}

/// Each step finds its tests and its example built.
#[test]
fn what_a_run_of_all_crates_needs_is_built_before() {
    let workspace = Workspace::find().unwrap();
    let args = Args { locked: true, ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    let all = packages(&workspace, &args).unwrap();
    let builds: Vec<String> = run.builds(&all).iter().map(words).collect();
    let joint = &builds[0];
    for name in all.iter().filter(|name| run.is_beside_ddpm(name) && *name != DATASET) {
        assert!(joint.contains(&format!(" -p {name} ")), "{name}: {joint}");
    }
    assert!(joint.starts_with("test --locked -p cli -p ") && !joint.contains(" dataset "), "{joint}");
    assert!(joint.contains(" --no-run --lib --bin own_data --test * --example "), "{joint}");
    for (_, example, _) in EXAMPLES {
        let flag = format!(" --example {example}");
        assert!(builds.iter().any(|line| line.contains(&flag)), "{example}: {builds:?}");
    }
    for name in [DATASET, XTASK] {
        assert!(builds.contains(&format!("{} --no-run", words(&run.tests(name)))), "{name}: {builds:?}");
    }
    assert_eq!(builds.last().unwrap(), "build --locked -p cli -p tests --bins --tests");
    // Without the end-to-end tests there is no need for the program.
    let fast = Args { fast: true, ..args };
    let builds = Run { workspace: &workspace, args: &fast }.builds(&all);
    assert_eq!(builds.last().map(words).as_deref(), Some("test --locked -p cli --no-run"));
}

#[test]
fn crates_without_libtorch_are_also_checked_alone() {
    let workspace = Workspace::find().unwrap();
    let args = Args { locked: true, ..Args::default() };
    let check = Run { workspace: &workspace, args: &args }.alone("schedule");
    assert_eq!(words(&check), "check --quiet --locked -p schedule --lib");
    assert_eq!(env_of(&check, "LIBTORCH").as_deref(), Some(NOWHERE));
}

/// With these, tests of `ddpm` would run with every crate's.
#[test]
fn ddpm_has_neither_a_library_nor_test_programs_nor_examples() {
    let folder = Workspace::find().unwrap().root().join("crates").join(DDPM);
    assert!(folder.join("src/main.rs").is_file());
    for absent in ["src/lib.rs", "tests", "examples"] {
        assert!(!folder.join(absent).exists(), "{absent}");
    }
}

/// Otherwise a crate might work only beside `ddpm`, which turns on what the crate forgot to ask for.
#[test]
fn crates_take_their_dependencies_as_the_workspace_has_them() {
    let workspace = Workspace::find().unwrap();
    let args = Args::default();
    let run = Run { workspace: &workspace, args: &args };
    let as_in_workspace = toml::Table::from_iter([("workspace".to_owned(), true.into())]);
    let mut found = 0;
    for name in packages(&workspace, &args).unwrap() {
        if [DDPM, XTASK].contains(&name.as_str()) {
            continue;
        }
        let manifest = fs::read_to_string(run.folder_of(&name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        let listed = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flatten();
        for (dependency, how) in listed {
            let mut how = how.as_table().cloned().unwrap_or_default();
            how.remove("optional");
            assert_eq!(how, as_in_workspace, "{name}: {dependency}");
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn crates_without_libtorch_are_tested_without_it() {
    let workspace = Workspace::find().unwrap();
    let args = Args::default();
    let run = Run { workspace: &workspace, args: &args };
    assert_eq!(env_of(&run.tests("schedule"), "LIBTORCH").as_deref(), Some(NOWHERE));
    let example = run.example("schedule", "tables").unwrap();
    assert_eq!(env_of(&example, "LIBTORCH").as_deref(), Some(NOWHERE));
    assert_eq!(env_of(&run.tests("unet"), "LIBTORCH").as_deref(), None);
}

/// Every test that needs a GPU is in this target, and nothing else is.
#[test]
fn tests_on_a_gpu_are_those_of_the_targets_of_that_name() {
    let workspace = Workspace::find().unwrap();
    let args = Args { locked: true, ..Args::default() };
    let run = Run { workspace: &workspace, args: &args };
    let expected = "test --locked -p torch-ext -p unet -p trainer -p sampler -p cli --test gpu -- --ignored";
    assert_eq!(words(&run.on_gpu(&ON_GPU)), expected);
    for name in workspace.crates_bottom_up().unwrap() {
        let path = workspace.root().join("crates").join(&name).join("tests/gpu.rs");
        assert_eq!(path.is_file(), ON_GPU.contains(&name.as_str()), "{}", path.display());
        if let Ok(text) = fs::read_to_string(&path) {
            let (tests, ignored) = (text.matches("#[test]").count(), text.matches("#[ignore =").count());
            assert!(tests > 0 && tests == ignored, "{}", path.display());
        }
    }
}
