//! `opgraph generate`: shell completions and man pages, out of the command line itself.

use std::{fs, io, path::Path};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::{
    args::{Cli, Generate},
    failed::{Exit, Failed},
};

/// Runs the command: `completions/` and `man/` in the folder.
pub(super) fn run(generate: &Generate) -> Result<(), Failed> {
    let all = completions(&generate.dir.join("completions")).and_then(|()| man(&generate.dir.join("man")));
    all.map_err(|error| {
        Failed::new(Exit::Other, &format!("write into `{}`", generate.dir.display())).because(error)
    })
}

/// One file a shell, under the name by which the shell looks for it.
fn completions(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Cli::command(), "opgraph", dir)?;
    }
    Ok(())
}

/// One page a command: `opgraph.1`, `opgraph-cursors-show.1`.
fn man(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        fn pages(command: &clap::Command, name: &str, found: &mut Vec<String>) {
            found.push(format!("{name}.1"));
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            {
                pages(sub, &format!("{name}-{}", sub.get_name()), found);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        run(&Generate { dir: PathBuf::from(dir.path()) }).unwrap();
        let mut expect = Vec::new();
        pages(&Cli::command(), "opgraph", &mut expect);
        assert!(expect.contains(&"opgraph-quarantine-retry.1".to_owned()), "{expect:?}");
        for page in expect {
            let text = fs::read_to_string(dir.path().join("man").join(&page)).unwrap_or_default();
            assert!(text.contains(".SH NAME"), "{page}: {text}");
        }
        for name in ["opgraph.bash", "_opgraph", "opgraph.fish"] {
            let text = fs::read_to_string(dir.path().join("completions").join(name)).unwrap();
            assert!(text.contains("quarantine"), "{name}");
        }
    }
}
