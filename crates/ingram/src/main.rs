//! The `ingram` program.

use std::process::ExitCode;

// A run makes thousands of small allocations on several threads; the system's allocator takes a sixth of its time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ingram::run()
}
