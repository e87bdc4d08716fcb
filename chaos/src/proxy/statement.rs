//! What a statement does, told from its text: enough to know where commits are.

/// Words that change rows.
const WRITES: [&str; 3] = ["insert", "update", "delete"];
/// How much of a statement stands in a point's name.
const SHOWN: usize = 56;

/// What a statement means for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    Commit,
    Rollback,
    Write,
    Other,
}

pub(super) fn kind(sql: &str) -> Kind {
    let lower = sql.to_ascii_lowercase();
    let mut words = lower
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty());
    match words.next() {
        Some("begin" | "start") => Kind::Begin,
        Some("commit" | "end") => Kind::Commit,
        Some("rollback" | "abort") if words.next() != Some("to") => Kind::Rollback,
        Some(first) if WRITES.contains(&first) => Kind::Write,
        Some("with") if words.any(|word| WRITES.contains(&word)) => Kind::Write,
        Some("select") if lower.contains("nextval(") => Kind::Write,
        _ => Kind::Other,
    }
}

/// The beginning of a statement on one line, and a mark that tells statements with the same beginning apart.
pub(super) fn name(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let mark = line.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let shown: String = line.chars().take(SHOWN).collect();
    format!("{shown}… #{:04x}", mark & 0xffff)
}

/// Follows one session and names each commit in it.
#[derive(Debug, Default)]
pub(super) struct Session {
    in_transaction: bool,
    writes: Vec<String>,
}

impl Session {
    /// Takes the next statement; gives the name of the commit that it makes, if it makes one.
    pub(super) fn run(&mut self, sql: &str) -> Option<String> {
        match kind(sql) {
            Kind::Begin => {
                self.in_transaction = true;
                self.writes.clear();
                None
            }
            Kind::Rollback => {
                self.in_transaction = false;
                None
            }
            Kind::Commit => {
                self.in_transaction = false;
                let writes = std::mem::take(&mut self.writes);
                let first = writes.first()?.clone();
                let more = writes.len() - 1;
                Some(if more == 0 {
                    format!("commit: {first}")
                } else {
                    format!("commit: {first} +{more}")
                })
            }
            Kind::Write if self.in_transaction => {
                self.writes.push(name(sql));
                None
            }
            Kind::Write => Some(name(sql)),
            Kind::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart_by_what_they_do() {
        let kinds = [
            ("BEGIN", Kind::Begin),
            ("COMMIT", Kind::Commit),
            ("ROLLBACK", Kind::Rollback),
            ("ROLLBACK TO SAVEPOINT a", Kind::Other),
            ("select 1 as one", Kind::Other),
            ("select nextval('route_generation')", Kind::Write),
            ("\n  update deployments set step = $2", Kind::Write),
            (
                "with waiting as (select) update deployments d set status = 'x'",
                Kind::Write,
            ),
            ("with open as (select updated_at from apps) select", Kind::Other),
            ("select updated_at from apps", Kind::Other),
        ];
        for (sql, expected) in kinds {
            assert_eq!(kind(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_transaction_is_one_commit_and_reading_is_none() {
        let mut session = Session::default();
        assert!(session.run("update a set b = 1").is_some());
        let commits: Vec<bool> = ["BEGIN", "update a set b = 1", "insert into c values (1)", "COMMIT"]
            .map(|sql| session.run(sql).is_some())
            .into();
        assert_eq!(commits, [false, false, false, true]);
        let nothing: Vec<bool> = [
            "BEGIN",
            "select 1",
            "COMMIT",
            "BEGIN",
            "delete from a",
            "ROLLBACK",
            "COMMIT",
        ]
        .map(|sql| session.run(sql).is_some())
        .into();
        assert_eq!(nothing[..6], [false; 6]);
    }

    #[test]
    fn long_statements_with_the_same_beginning_have_names_of_their_own() {
        let long = "update deployments set status = 'running', attempt = attempt + 1, lease_holder = $1";
        assert_ne!(name(&format!("{long} where a")), name(&format!("{long} where b")));
        assert_eq!(name("update  a\n set b = 1"), name("update a set b = 1"));
    }
}
