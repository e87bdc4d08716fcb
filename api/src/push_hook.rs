//! The other end of a push: the process that git starts as its `proc-receive` hook.
//!
//! It starts fast and decides nothing: it carries the refs to the API, prints what comes back, and hands git the verdict. It is
//! synchronous, and reads no environment: whoever starts it says where the API is and shows the ticket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
};

use windlass_source::hook::{self, RefUpdate, Verdict};

use crate::push::wire::{Hello, Message};

/// Speaks with git on standard input and output, and with the API on `socket`.
pub fn run(socket: &Path, ticket: &str) -> ExitCode {
    let decide = |updates: &[RefUpdate], options: &[String]| {
        ask(socket, ticket, updates, options).unwrap_or_else(|error| {
            print(&format!(" !     Windlass was interrupted ({error})"));
            print(" !     Next: a deployment that has begun goes on; `windlass deployments` shows it");
            vec![Verdict::Rejected("Windlass was interrupted".to_owned()); updates.len()]
        })
    };
    match hook::run(io::stdin().lock(), io::stdout().lock(), decide) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn ask(socket: &Path, ticket: &str, updates: &[RefUpdate], options: &[String]) -> io::Result<Vec<Verdict>> {
    let mut stream = UnixStream::connect(socket)?;
    let hello = Hello {
        ticket: ticket.to_owned(),
        updates: updates.iter().map(Into::into).collect(),
        options: options.to_vec(),
    };
    let mut line = serde_json::to_vec(&hello)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Message::Line(text) => print(&text),
            Message::Verdict(words) => return Ok(words.into_iter().map(Verdict::from).collect()),
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was lost"))
}

/// Git prefixes it with `remote: `. A client that has gone away is no reason to stop.
fn print(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
