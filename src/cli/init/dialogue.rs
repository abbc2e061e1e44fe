//! The questions, and what an answer does to the file.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::{
    Typed,
    answers::{Answers, Connect, JupiterOne, Plan, place, scope_of, variable},
};
use crate::{
    cli::{
        args::{Init, Region},
        failed::Failed,
    },
    http::hosts::{self, Known},
    secret::TokenSource,
};

/// Somebody who is asked.
pub(crate) trait Person {
    /// Says something, on a line of its own.
    fn tell(&mut self, text: &str);

    /// Asks; the answer comes without its line break.
    fn answer(&mut self, question: &str) -> Result<String, Failed>;

    /// Asks for what nobody is to see; `None` if nothing was typed.
    fn secret(&mut self, question: &str) -> Result<Option<SecretString>, Failed>;
}

/// Asks for what no flag has said. Answers the tokens that were typed, for files that are not there yet.
pub(super) fn ask(
    person: &mut impl Person,
    init: &Init,
    folder: &Path,
    answers: &mut Answers,
) -> Result<Vec<Typed>, Failed> {
    // Flags are checked first: no question can mend them.
    answers.checked()?;
    person.tell("A few questions; Enter takes what stands in [brackets].");
    let flags = &init.tenant;
    if flags.tenant_name.is_none() {
        let usual = answers.name.clone();
        one(person, answers, "What is this account called?", &usual, |answers, text| {
            answers.name = text.to_owned();
            Ok(())
        })?;
    }
    if answers.events_url.is_none() {
        region(person, answers)?;
    }
    let mut typed = Vec::new();
    if init.events_token_from.is_none() && flags.events_token_file.is_none() {
        token(person, answers, "the Events API token", |answers| Some(&mut answers.events_token))?;
    }
    typed.extend(type_in(person, folder, "Events API token", &answers.events_token)?);
    connect(person, init, answers)?;
    if let Some(connect) = &answers.connect {
        typed.extend(type_in(person, folder, "Connect token", &connect.token)?);
    }
    jupiterone(person, init, answers)?;
    if let Some(jupiterone) = &answers.jupiterone {
        typed.extend(type_in(person, folder, "JupiterOne API key", &jupiterone.token)?);
    }
    if flags.graph.is_none() {
        graph(person, answers)?;
    }
    Ok(typed)
}

/// Asks until the answer, put into the file, makes sense. Nothing typed is `usual`.
fn one(
    person: &mut impl Person,
    answers: &mut Answers,
    question: &str,
    usual: &str,
    set: impl Fn(&mut Answers, &str) -> Result<(), String>,
) -> Result<(), Failed> {
    let shown = if usual.is_empty() { question.to_owned() } else { format!("{question} [{usual}]") };
    loop {
        let text = person.answer(&shown)?;
        let text = if text.trim().is_empty() { usual } else { text.trim() };
        let mut next = answers.clone();
        let sense =
            set(&mut next, text).and_then(|()| next.checked().map(drop).map_err(|error| error.to_string()));
        match sense {
            Ok(()) => {
                *answers = next;
                return Ok(());
            }
            Err(why) => person.tell(&why),
        }
    }
}

/// Asks for a yes or a no.
fn agreed(person: &mut impl Person, question: &str, usual: bool) -> Result<bool, Failed> {
    let shown = if usual { "Y/n" } else { "y/N" };
    loop {
        match person.answer(&format!("{question} [{shown}]"))?.trim() {
            "" => return Ok(usual),
            "y" | "Y" | "yes" => return Ok(true),
            "n" | "N" | "no" => return Ok(false),
            _ => person.tell("write `y` or `n`"),
        }
    }
}

fn region(person: &mut impl Person, answers: &mut Answers) -> Result<(), Failed> {
    person.tell("Where do people sign in? com (1password.com), ent (ent.1password.com), ca or eu;");
    one(person, answers, "`token`: wherever the token says.", "token", |answers, text| {
        answers.events_url = match text {
            "token" => None,
            "com" => Some(Region::Com.events_url().to_owned()),
            "ent" => Some(Region::Ent.events_url().to_owned()),
            "ca" => Some(Region::Ca.events_url().to_owned()),
            "eu" => Some(Region::Eu.events_url().to_owned()),
            url if url.contains("://") => Some(url.to_owned()),
            _ => return Err("write com, ent, ca, eu or token".to_owned()),
        };
        Ok(())
    })
}

/// Asks where a token is read from.
fn token(
    person: &mut impl Person,
    answers: &mut Answers,
    what: &str,
    of: impl Fn(&mut Answers) -> Option<&mut TokenSource>,
) -> Result<(), Failed> {
    let Some(now) = of(answers) else { return Ok(()) };
    let usual = match now {
        TokenSource::Env(name) => format!("env:{name}"),
        TokenSource::File(path) => format!("file:{}", path.display()),
        TokenSource::Op(reference) => reference.clone(),
    };
    person.tell(&format!("Where is {what} read from? env:NAME, file:PATH or op://vault/item/field;"));
    one(person, answers, "never the token itself.", &usual, |answers, text| {
        let source = place(text).map_err(|error| format!("{error}\n  hint: {}", error.hint()))?;
        of(answers).into_iter().for_each(|token| *token = source.clone());
        Ok(())
    })
}

/// Offers to write a token into its file, if that is not there yet.
fn type_in(
    person: &mut impl Person,
    folder: &Path,
    what: &str,
    source: &TokenSource,
) -> Result<Option<Typed>, Failed> {
    let TokenSource::File(path) = source else { return Ok(None) };
    let path: PathBuf = folder.join(path);
    if path.exists() {
        return Ok(None);
    }
    person.tell(&format!("{} is not there yet: paste the {what} to have it written,", path.display()));
    let token = person.secret("readable by you alone; nothing is shown. Enter: you write it later.")?;
    Ok(token.map(|token| (path, token)))
}

fn connect(person: &mut impl Person, init: &Init, answers: &mut Answers) -> Result<(), Failed> {
    let flags = &init.tenant;
    if answers.connect.is_none() {
        person.tell("With a 1Password Connect server, vaults and items are listed, never a secret value.");
        let question = "Its base URL, such as http://127.0.0.1:8080; Enter: none";
        let trusted = answers.allow_custom_hosts;
        let mut elsewhere = false;
        while answers.connect.is_none() {
            let text = person.answer(question)?;
            if text.trim().is_empty() {
                return Ok(());
            }
            let mut next = answers.clone();
            let (url, token) = (text.trim().to_owned(), variable("OP_CONNECT_TOKEN"));
            // Another machine is asked about, not refused.
            let parsed = Url::parse(&url).ok();
            elsewhere = !trusted && parsed.is_some_and(|url| hosts::check(&url, Known::Own, false).is_err());
            next.allow_custom_hosts |= elsewhere;
            next.connect = Some(Connect { url, token, item_details: true });
            match next.checked() {
                Ok(_) => *answers = next,
                Err(why) => person.tell(&why.to_string()),
            }
        }
        if elsewhere && !agreed(person, "That is another machine. May the token be sent there?", false)? {
            answers.connect = None;
            answers.allow_custom_hosts = trusted;
            return Ok(());
        }
        token(person, answers, "the Connect token", |answers| {
            answers.connect.as_mut().map(|connect| &mut connect.token)
        })?;
    }
    let Some(connect) = &mut answers.connect else { return Ok(()) };
    if !flags.no_item_details {
        person.tell("A changed item can be opened once, for its section labels and file names;");
        connect.item_details = agreed(person, "1Password records each as a use. Open them?", true)?;
    }
    Ok(())
}

fn jupiterone(person: &mut impl Person, init: &Init, answers: &mut Answers) -> Result<(), Failed> {
    let flags = &init.tenant;
    if answers.jupiterone.is_none() {
        let question = "The id of the JupiterOne account that records go to; Enter: none, a local graph";
        let usual_graph = answers.graph.clone().filter(|_| flags.graph.is_some());
        one(person, answers, question, "", |answers, text| {
            if !text.is_empty() {
                let (account, token) = (text.to_owned(), variable("JUPITERONE_API_KEY"));
                let plan = scope_of(&answers.name);
                answers.jupiterone = Some(JupiterOne { url: None, account, token, plan });
                answers.graph = usual_graph.clone();
            }
            Ok(())
        })?;
        if answers.jupiterone.is_none() {
            return Ok(());
        }
        one(person, answers, "JupiterOne's region, us or eu?", "us", |answers, text| {
            let Some(jupiterone) = &mut answers.jupiterone else { return Ok(()) };
            jupiterone.url = match text {
                "us" => None,
                "eu" => Some("https://api.eu.jupiterone.io".to_owned()),
                url if url.contains("://") => Some(url.to_owned()),
                _ => return Err("write us or eu".to_owned()),
            };
            Ok(())
        })?;
        token(person, answers, "the JupiterOne API key", |answers| {
            answers.jupiterone.as_mut().map(|jupiterone| &mut jupiterone.token)
        })?;
    }
    if flags.jupiterone_instance.is_none() && flags.jupiterone_scope.is_none() {
        let usual = match scope_of(&answers.name) {
            Plan::Scope(prefix) | Plan::Instance(prefix) => prefix,
        };
        person.tell("The id of an integration instance there (the better plan); or, without one, `scope`:");
        let question = format!("then scopes hold the records, with names that begin with {usual}.");
        one(person, answers, &question, "scope", |answers, text| {
            let plan =
                if text == "scope" { scope_of(&answers.name) } else { Plan::Instance(text.to_owned()) };
            if let Some(jupiterone) = &mut answers.jupiterone {
                jupiterone.plan = plan;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn graph(person: &mut impl Person, answers: &mut Answers) -> Result<(), Failed> {
    let (question, usual) = match answers.jupiterone {
        Some(_) => ("A file for a local graph (SQLite) as well; Enter: none", ""),
        None => ("The file of the local graph (SQLite)", crate::config::GRAPH_PATH),
    };
    one(person, answers, question, usual, |answers, text| {
        answers.graph = Some(text.to_owned()).filter(|path| !path.is_empty());
        Ok(())
    })
}
