//! The `ddpm` program: reads flags and configuration, calls the library crates, and prints one-line errors.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 training diverged, 4 wrong data, 5 an invalid
//! checkpoint, 6 disk or memory full, the run in use or its files unreadable, 7 another rank failed or has gone, 129, 130 and
//! 143 stopped by SIGHUP, SIGINT and SIGTERM after saving.

mod adapter;
mod args;
mod array_file;
mod commands;
mod conditioning;
mod config;
mod device;
mod diagnostics;
mod exit;
mod failure;
mod flags;
mod guidance_flags;
mod guide;
mod help;
mod inputs;
mod logging;
mod memory;
mod mixture_flags;
mod model;
mod model_source;
mod networks;
mod noise_end;
mod output;
mod own_png;
mod paths;
mod preferred;
mod progress;
mod rank_log;
mod ranks;
mod run_data;
mod sampler_flags;
mod screen;
mod signals;
mod state_dict;
mod threads;

fn main() {
    signals::survive_large_files();
    let code = match args::parse() {
        Ok(cli) => {
            logging::start(&cli.global);
            failure::guard(cli.global.verbose > 0, || cli.run())
        }
        Err(told) => failure::guard(false, || told),
    };
    exit::end(code)
}
