//! What was asked of the engine and what it said: one entry before and one after each operation.

use std::{fs::File, io::Write, path::Path, sync::Mutex, time::Instant};

use serde::Serialize;

/// What an operation asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Ask {
    /// A new app.
    Create,
    /// A commit pushed, and deployed by that.
    Push {
        /// The commit.
        commit: String,
    },
    /// A commit that is there already.
    Deploy {
        /// The commit.
        commit: String,
    },
    /// So many instances of `web`.
    Scale {
        /// How many.
        quantity: u32,
    },
    /// Back to the release before.
    Rollback,
    /// A value of the config var `TINT`.
    Config {
        /// The value.
        tint: String,
    },
    /// New instances of the same release.
    Restart,
    /// The end of a deployment.
    Cancel {
        /// Which one.
        deployment: String,
    },
    /// The end of the app.
    Destroy,
    /// A delivery of a forge.
    Deliver {
        /// Its id.
        delivery: String,
    },
}

impl Ask {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Push { .. } => "push",
            Self::Deploy { .. } => "deploy",
            Self::Scale { .. } => "scale",
            Self::Rollback => "rollback",
            Self::Config { .. } => "config",
            Self::Restart => "restart",
            Self::Cancel { .. } => "cancel",
            Self::Destroy => "destroy",
            Self::Deliver { .. } => "deliver",
        }
    }
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It has not come back yet.
    Sent,
    /// The engine took it; with the deployment that it made, if it made one, and the config version.
    Acknowledged {
        /// The deployment.
        deployment: Option<String>,
        /// The version of the config.
        config_version: Option<i32>,
    },
    /// The engine said no: nothing may come of it.
    Refused {
        /// Its status.
        status: u16,
    },
    /// Nobody knows: the connection broke, or no answer came in time. It may have happened or not.
    Unknown,
    /// Whatever was said, the database was set back to before it: nothing may be left of it.
    Lost,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// Its number.
    pub id: usize,
    /// The app's name.
    pub app: String,
    /// What was asked.
    #[serde(flatten)]
    pub ask: Ask,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// When it was sent, in milliseconds since the history began.
    pub sent_ms: u128,
}

/// All operations so far, on disk as well.
#[derive(Debug)]
pub struct History {
    began: Instant,
    operations: Mutex<Vec<Operation>>,
    file: Mutex<Option<File>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            operations: Mutex::default(),
            file: Mutex::default(),
        }
    }
}

impl History {
    /// A history that is also written to a file, a line of JSON before and after each operation.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn on_disk(path: &Path) -> std::io::Result<Self> {
        let history = Self::default();
        *history.file.lock().expect("nobody panics while holding it") = Some(File::create(path)?);
        Ok(history)
    }

    /// Notes that an operation is about to be sent; gives its number.
    pub fn sent(&self, app: &str, ask: Ask) -> usize {
        let mut operations = self.operations.lock().expect("nobody panics while holding it");
        let operation = Operation {
            id: operations.len(),
            app: app.to_owned(),
            ask,
            outcome: Outcome::Sent,
            sent_ms: self.began.elapsed().as_millis(),
        };
        self.write(&operation);
        operations.push(operation);
        operations.len() - 1
    }

    /// Notes what became of it.
    pub fn over(&self, id: usize, outcome: Outcome) {
        let mut operations = self.operations.lock().expect("nobody panics while holding it");
        if let Some(operation) = operations.get_mut(id) {
            operation.outcome = outcome;
            self.write(operation);
        }
    }

    /// The database was set back to what it was when `then` was all: what came later is lost, and of what was under way then nobody
    /// knows.
    pub fn set_back(&self, then: &[Operation]) {
        let mut operations = self.operations.lock().expect("nobody panics while holding it");
        for operation in operations.iter_mut() {
            let outcome = match then.get(operation.id) {
                None => Outcome::Lost,
                Some(known) if known.outcome == Outcome::Sent => Outcome::Unknown,
                Some(_) => continue,
            };
            operation.outcome = outcome;
            self.write(operation);
        }
    }

    /// All operations.
    pub fn all(&self) -> Vec<Operation> {
        self.operations.lock().expect("nobody panics while holding it").clone()
    }

    fn write(&self, operation: &Operation) {
        let mut file = self.file.lock().expect("nobody panics while holding it");
        if let (Some(file), Ok(line)) = (file.as_mut(), serde_json::to_string(operation)) {
            // A history that cannot be written is still in memory, where the checker reads it.
            let _ = writeln!(file, "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_dump_is_lost_and_what_was_under_way_unknown() {
        let history = History::default();
        let acknowledged = Outcome::Acknowledged {
            deployment: None,
            config_version: None,
        };
        let done = history.sent("shop", Ask::Restart);
        history.over(done, acknowledged.clone());
        let under_way = history.sent("shop", Ask::Rollback);
        let then = history.all();
        history.over(under_way, acknowledged.clone());
        let later = history.sent("shop", Ask::Destroy);
        history.over(later, acknowledged.clone());
        history.set_back(&then);
        let outcomes: Vec<Outcome> = history.all().into_iter().map(|operation| operation.outcome).collect();
        assert_eq!(outcomes, [acknowledged, Outcome::Unknown, Outcome::Lost]);
    }

    #[test]
    fn the_file_has_a_line_before_and_after_each_operation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let history = History::on_disk(&path).unwrap();
        let id = history.sent("shop", Ask::Scale { quantity: 3 });
        history.over(id, Outcome::Refused { status: 409 });
        let lines: Vec<serde_json::Value> = std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            [
                &lines[0]["result"],
                &lines[1]["result"],
                &lines[1]["op"],
                &lines[1]["quantity"]
            ],
            [
                &"sent".into(),
                &"refused".into(),
                &serde_json::json!("scale"),
                &3.into()
            ]
        );
    }
}
