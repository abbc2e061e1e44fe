//! Arguments in, exit code out.

use std::process::ExitCode;

use opgraph::secret::wipe::Wiping;

/// On the thread that opens items, memory is wiped before it is given back.
#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

fn main() -> ExitCode {
    // Where a test wants this process to die. No build that people run has this.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    opgraph::cli::main()
}
