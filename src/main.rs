//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Where a test wants this process to die. No build that people run has this.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    opgraph::cli::main()
}
