//! Asks a person on the terminal.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use secrecy::{SecretString, zeroize::Zeroizing};

use super::{
    failed::{Exit, Failed},
    init::Person,
};
use crate::secret::{LONGEST_TOKEN, typed_token};

/// Asks whether to go on. Anything but a yes is a no.
pub(super) fn agreed(question: &str) -> Result<bool, Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::text(Exit::Configuration, "nobody is there to be asked").hint("say `--yes`"));
    }
    let answer = Terminal.answer(&format!("{question} [y/N]"))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whoever sits at standard input. Questions go to standard error.
pub(super) struct Terminal;

impl Person for Terminal {
    fn tell(&mut self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn answer(&mut self, question: &str) -> Result<String, Failed> {
        let mut answer = String::new();
        let mut stderr = io::stderr();
        let read = write!(stderr, "{question} ")
            .and_then(|()| stderr.flush())
            .and_then(|()| io::stdin().lock().read_line(&mut answer));
        match read {
            Ok(0) => Err(nobody()),
            Ok(_) => Ok(answer.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => Err(Failed::new(Exit::Other, "ask").because(error)),
        }
    }

    fn secret(&mut self, question: &str) -> Result<Option<SecretString>, Failed> {
        loop {
            let typed = unseen(question);
            let _ = writeln!(io::stderr());
            let failed = |error: io::Error| Failed::new(Exit::Other, "ask").because(error);
            let Some(typed) = typed.map_err(failed)? else { return Err(nobody()) };
            if typed.is_empty() {
                return Ok(None);
            }
            match typed_token(&typed) {
                Ok(token) => return Ok(Some(token)),
                Err(error) => self.tell(&format!("{error}\n  hint: {}", error.hint())),
            }
        }
    }
}

fn nobody() -> Failed {
    Failed::text(Exit::Configuration, "nobody answered, and nothing was written")
        .hint("say `--no-input` and use flags")
}

/// Asks for a line of which the terminal shows nothing. `None` if it was broken
/// off: keys that would end the process at once are read here instead, because
/// the terminal would stay mute.
fn unseen(question: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // First: somebody may type as soon as there is a question.
    let _mute = Mute::start()?;
    let mut stderr = io::stderr();
    write!(stderr, "{question} ")?;
    stderr.flush()?;
    // Room for all of it at once: growing would leave copies behind.
    let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST_TOKEN + 3));
    let mut stdin = io::stdin().lock();
    let mut byte = Zeroizing::new([0]);
    while typed.len() <= LONGEST_TOKEN {
        if stdin.read(&mut *byte)? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            // Ctrl-C, Ctrl-D, Ctrl-\
            3 | 4 | 28 => return Ok(None),
            8 | 127 => drop(typed.pop()),
            byte => typed.push(byte),
        }
    }
    Ok(Some(typed))
}

/// While it lives, the terminal shows nothing and ends no process.
struct Mute(Termios);

impl Mute {
    fn start() -> io::Result<Mute> {
        let before = tcgetattr(io::stdin())?;
        let mut mute = before.clone();
        mute.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        mute.special_codes[SpecialCodeIndex::VMIN] = 1;
        mute.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &mute)?;
        Ok(Mute(before))
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
