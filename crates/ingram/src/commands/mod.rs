//! The commands, a file each.

mod doctor;
mod next;
mod serve;
mod token;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command, Place, TokenCommand};
use crate::config::{Config, Environment, Overrides};
use crate::logging;

/// Runs the program as the command line says.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli, &Environment::of_process()) {
        Ok(code) => code,
        Err(error) => {
            say_wrong(&format!("ingram: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli, environment: &Environment) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve { place, listen } => {
            let config = Config::load(environment, &Overrides { listen, ..overrides(place) })?;
            logging::start(&config.settings.log);
            block_on(serve::serve(config))
        }
        Command::Token { command: TokenCommand::Create { place, token } } => {
            let config = Config::load(environment, &overrides(place))?;
            logging::start("warn");
            let text = block_on(token::create(config, token))?;
            say(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { place, online } => {
            logging::start("off");
            block_on(doctor::doctor(environment.clone(), overrides(place), online))
        }
    }
}

fn overrides(place: Place) -> Overrides {
    let Place { data, database_url, config } = place;
    Overrides { config, data, listen: None, database_url }
}

fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A look-up of a name or a read of a file that hangs must not keep the program.
    runtime.shutdown_background();
    outcome
}

/// Prints a line on standard output.
fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// Prints a line on standard error. If nobody can be told, there is nobody to tell that.
fn say_wrong(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
