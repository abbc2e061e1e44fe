//! `opgraph init`: a configuration file, from a few questions or from flags.

mod answers;

mod dialogue;

mod written;

#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use self::answers::Answers;
pub(super) use self::dialogue::Person;
use super::{
    args::Init,
    ask::Terminal,
    failed::{Exit, Failed},
    out,
};
use crate::secret::{TokenSource, write_token};

/// Runs the command: asks on a terminal, else takes flags and defaults; writes the file once all of it makes sense.
pub(super) fn run(init: Init) -> Result<(), Failed> {
    refuse_to_overwrite(&init)?;
    let mut answers = Answers::of(&init, &|name| std::env::var_os(name))?;
    let folder = init.file.parent().unwrap_or(Path::new("")).to_owned();
    let mut typed = Vec::new();
    if !init.no_input && io::stdin().is_terminal() {
        typed = dialogue::ask(&mut Terminal, &init, &folder, &mut answers)?;
    }
    answers.checked()?;
    for (path, token) in typed {
        write_token(&path, &token).map_err(|error| {
            Failed::new(Exit::Other, &format!("write the token file `{}`", path.display())).because(error)
        })?;
        out::print(format_args!("wrote the token into {} (mode 600)", path.display()));
    }
    write(&init, &written::text(&answers))?;
    out::print(format_args!("wrote {}", init.file.display()));
    for line in left_to_do(&init.file, &folder, &answers) {
        out::print(line);
    }
    Ok(())
}

/// A token that was typed, and the file that it goes into.
type Typed = (PathBuf, SecretString);

fn refuse_to_overwrite(init: &Init) -> Result<(), Failed> {
    // A link that leads nowhere is there, too.
    if init.force || init.file.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failed::text(Exit::Configuration, format!("`{}` is there already", init.file.display()))
        .hint("name another file, or replace it with `--force`"))
}

/// Writes the file whole or not at all. Without `--force` it replaces nothing, whoever was faster.
fn write(init: &Init, text: &str) -> Result<(), Failed> {
    let folder = init.file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let written = || {
        let mut file = tempfile::Builder::new().prefix(".opgraph-init").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        let done = if init.force { file.persist(&init.file) } else { file.persist_noclobber(&init.file) };
        done.map(drop).map_err(|error| error.error)
    };
    written().map_err(|error: io::Error| {
        let cannot = Failed::new(Exit::Configuration, &format!("write `{}`", init.file.display()));
        cannot.because(error).hint("name a file in a folder that is there and that this user may write")
    })
}

/// What a person has to do before the first run.
fn left_to_do(file: &Path, folder: &Path, answers: &Answers) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, source) in answers.tokens() {
        match source {
            TokenSource::Env(name) if std::env::var_os(name).is_none() => {
                lines.push(format!("next: put the {what} into the variable {name}"));
            }
            TokenSource::File(path) if !folder.join(path).exists() => {
                let path = folder.join(path);
                lines.push(format!("next: write the {what} into {} (`chmod 600` it)", path.display()));
            }
            _ => {}
        }
    }
    let file = file.display();
    lines.push(format!("next: opgraph check --config {file} --connect    what each credential can do"));
    lines.push(format!("next: opgraph run --config {file} --once         read everything, then stop"));
    lines
}
