//! The one error that a command ends with: what happened, what to do next, and the exit code.

use serde_json::{Value, json};

use crate::exit::Exit;

/// Why a command ends early. Shown once, by [`crate::output::Output::error`].
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// One sentence: what happened.
    pub detail: String,
    /// What to do next.
    pub next_step: Option<String>,
    /// Fields that the server refused, with the reason of each.
    pub fields: Vec<(String, String)>,
    /// The server's problem document (RFC 9457), if it was the server that refused.
    pub problem: Option<Value>,
    /// Nothing is shown: the reader of our output went away.
    pub silent: bool,
}

impl CliError {
    /// An error with this exit code.
    pub fn new(exit: Exit, detail: impl Into<String>) -> Self {
        Self {
            exit,
            detail: detail.into(),
            next_step: None,
            fields: Vec::new(),
            problem: None,
            silent: false,
        }
    }

    /// An error without a code of its own.
    pub fn failure(detail: impl Into<String>) -> Self {
        Self::new(Exit::Failure, detail)
    }

    /// A command line that cannot be carried out as written.
    pub fn usage(detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, detail)
    }

    /// The same error with advice.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }

    /// Nobody reads our output any more (`windlass logs | head`): an end, not a failure.
    pub fn closed_pipe() -> Self {
        Self {
            silent: true,
            ..Self::new(Exit::Ok, "the output was closed")
        }
    }

    /// The server's refusal. `body` is its problem document, or whatever else came.
    pub fn from_problem(status: u16, body: Value) -> Self {
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let detail = text("detail")
            .or_else(|| text("title"))
            .unwrap_or_else(|| format!("the server answered with status {status}"));
        let field = |error: &Value| {
            let word = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            (word("pointer"), word("detail"))
        };
        let errors = body.get("errors").and_then(Value::as_array);
        Self {
            next_step: text("next_step").or_else(|| default_next_step(status)),
            fields: errors.into_iter().flatten().map(field).collect(),
            problem: body.is_object().then_some(body),
            ..Self::new(Exit::for_status(status), detail)
        }
    }

    /// What people read: the message, and a line for each field that the message does not tell of.
    pub fn in_words(&self) -> (String, Vec<String>) {
        match self.fields.as_slice() {
            // The server repeats the reason of a single field as the detail.
            [(pointer, detail)] if *detail == self.detail && detail.starts_with("must ") => {
                (field_in_words(pointer, detail), Vec::new())
            }
            [(_, detail)] if *detail == self.detail => (self.detail.clone(), Vec::new()),
            fields => {
                let lines = fields.iter().map(|(pointer, detail)| field_in_words(pointer, detail));
                (self.detail.clone(), lines.collect())
            }
        }
    }

    /// The error as the JSON document of `--json` mode: the server's own, or one of the same shape.
    pub fn to_json(&self) -> Value {
        self.problem.clone().unwrap_or_else(|| {
            json!({
                "type": "about:blank",
                "title": self.exit.word().replace('_', " "),
                "code": self.exit.word(),
                "detail": self.detail,
                "errors": [],
                "next_step": self.next_step,
            })
        })
    }
}

/// `/build/target` and `must be …` as `build.target must be …`; what is a sentence by itself follows a colon.
fn field_in_words(pointer: &str, detail: &str) -> String {
    let name = pointer.trim_start_matches('/').replace('/', ".");
    let name = name.replace("~1", "/").replace("~0", "~");
    let goes_on = ["must ", "is ", "are ", "has "]
        .iter()
        .any(|verb| detail.starts_with(verb));
    match (name.as_str(), goes_on) {
        ("", _) => detail.to_owned(),
        (name, true) => format!("{name} {detail}"),
        (name, false) => format!("{name}: {detail}"),
    }
}

fn default_next_step(status: u16) -> Option<String> {
    match status {
        401 => Some("log in again with `windlass login URL`".to_owned()),
        429 => Some("wait a little, then try again".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_fields_and_its_advice() {
        let error = CliError::from_problem(
            422,
            json!({"title": "Invalid", "detail": "the app is not valid", "next_step": "change the name",
                   "errors": [{"pointer": "/name", "detail": "is empty"}]}),
        );
        assert_eq!(error.detail, "the app is not valid");
        assert_eq!(error.fields, [("/name".to_owned(), "is empty".to_owned())]);
        assert_eq!(error.next_step.as_deref(), Some("change the name"));
        assert_eq!(error.exit, Exit::Failure);
    }

    #[test]
    fn a_field_is_told_once_and_by_its_name() {
        let words = |detail: &str, errors: Value| {
            CliError::from_problem(422, json!({"detail": detail, "errors": errors})).in_words()
        };
        let must = "must be from 0 to 1000";
        let one = |pointer: &str, detail: &str| json!([{"pointer": pointer, "detail": detail}]);
        assert_eq!(
            words(must, one("/web", must)),
            ("web must be from 0 to 1000".to_owned(), vec![])
        );
        let whole = "the commit was not pushed";
        assert_eq!(words(whole, one("/commit", whole)), (whole.to_owned(), vec![]));
        let two = json!([{"pointer": "/build/target", "detail": "must be a stage"}, {"pointer": "/ref", "detail": "`x` is no ref"}]);
        let lines = vec![
            "build.target must be a stage".to_owned(),
            "ref: `x` is no ref".to_owned(),
        ];
        assert_eq!(
            words("2 fields are not valid", two),
            ("2 fields are not valid".to_owned(), lines)
        );
    }

    #[test]
    fn a_missing_token_asks_to_log_in() {
        let error = CliError::from_problem(401, Value::Null);
        assert_eq!(error.exit, Exit::AuthNeeded);
        assert!(error.next_step.unwrap().contains("windlass login"));
    }

    #[test]
    fn a_local_error_has_the_shape_of_a_problem() {
        let body = CliError::new(Exit::Unreachable, "no answer").next("look").to_json();
        assert_eq!(body["code"], "unreachable");
        assert_eq!(body["next_step"], "look");
    }
}
