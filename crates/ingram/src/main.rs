//! The `ingram` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ingram::run()
}
