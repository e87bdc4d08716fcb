//! What runs, and what ended, as their tables need it.

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// An instance.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// Its name, such as `web.1`.
    pub name: String,
    /// Its process type.
    #[serde(default)]
    pub process: String,
    /// Its release.
    pub release: Option<String>,
    /// Its state.
    pub state: String,
    /// Its health.
    pub health: Option<String>,
    /// Its exit code, if it ended.
    pub exit_code: Option<i64>,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// A process type that ends again and again.
#[derive(Debug, Clone, Deserialize)]
pub struct CrashLoop {
    /// The process type.
    pub process: String,
    /// The live release.
    pub release: Option<String>,
    /// How often within twenty minutes.
    #[serde(default)]
    pub crashes: u32,
    /// Why the last time.
    pub reason: Option<String>,
    /// The exit code of the last time.
    pub exit_code: Option<i64>,
    /// When the last time.
    pub last_at: Option<DateTime<Utc>>,
}

impl CrashLoop {
    /// How often, and why the last time.
    pub fn why(&self) -> String {
        let last = why_ended(self.reason.as_deref(), self.exit_code);
        let last = if last.is_empty() {
            String::new()
        } else {
            format!(", the last: {last}")
        };
        format!("ended {} times within 20 min{last}", self.crashes)
    }

    /// All of it in a line.
    pub fn told(&self) -> String {
        format!("{} {}", self.process, self.why())
    }
}

/// Why an instance ended. The code is left out where the reason has it.
pub fn why_ended(reason: Option<&str>, exit_code: Option<i64>) -> String {
    let code = exit_code.map(|code| format!("code {code}"));
    let code = code.filter(|code| !reason.is_some_and(|reason| reason.contains(code.as_str())));
    let parts = reason
        .map(str::to_owned)
        .into_iter()
        .chain(code.map(|code| format!("exit {code}")));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_told_once() {
        assert_eq!(why_ended(Some("exited with code 1"), Some(1)), "exited with code 1");
        assert_eq!(
            why_ended(Some("out of memory"), Some(137)),
            "out of memory, exit code 137"
        );
        assert_eq!(why_ended(None, Some(2)), "exit code 2");
        assert_eq!(why_ended(None, None), "");
    }
}
