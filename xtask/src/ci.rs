//! `cargo xtask ci`: what the public CI runs for the whole workspace.

use std::process::ExitCode;

use crate::check::Report;
use crate::workspace::Workspace;
use crate::{process, setup, test};

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    if setup::tools::in_path("cargo-deny").is_some() {
        let mut deny = process::cargo(workspace);
        deny.args(["deny", "check"]).current_dir(workspace.root());
        report.command("licences, advisories, sources", &mut deny);
    } else {
        println!("cargo-deny is not installed: licences and advisories are not checked");
    }
    test::steps(workspace, &test::Args::all_locked(), &mut report)?;
    Ok(test::finish(&report))
}
