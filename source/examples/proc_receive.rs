//! A proc-receive hook in twenty lines: it decides by push options. The tests push to it.
//!
//! `-o reject=<reason>` refuses, `-o fall-through` lets git move the refs, `-o wait=<fifo>` waits until somebody opens the
//! other end, `-o done=<file>` makes a file at last. Anything else is accepted and left alone.

use std::{fs, io};

use windlass_source::hook::{self, RefUpdate, Verdict};

fn main() -> io::Result<()> {
    hook::run(io::stdin().lock(), io::stdout().lock(), decide)
}

#[expect(clippy::disallowed_methods, reason = "a hook is told by its environment")]
fn decide(updates: &[RefUpdate], options: &[String]) -> Vec<Verdict> {
    let ticket = std::env::vars().find(|(key, _)| key == "WINDLASS_PUSH_TICKET");
    let mut verdict = Verdict::Accepted;
    eprintln!("-----> Ticket {}", ticket.map(|(_, value)| value).unwrap_or_default());
    for update in updates {
        eprintln!("-----> Received {} deleted={}", update.name, update.is_deletion());
    }
    for option in options {
        match option.split_once('=') {
            Some(("reject", reason)) => verdict = Verdict::Rejected(reason.to_owned()),
            Some(("wait", fifo)) => drop(fs::read(fifo)),
            Some(("done", file)) => {
                // More than any pipe holds, to show that somebody still reads.
                for _ in 0..5_000 {
                    eprintln!("{}", "x".repeat(100));
                }
                drop(fs::write(file, "done"));
            }
            _ if option == "fall-through" => verdict = Verdict::FallThrough,
            _ => eprintln!("-----> Option {option}"),
        }
    }
    vec![verdict; updates.len()]
}
