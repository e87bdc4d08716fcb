//! A release and its process types, as their tables need it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// A release.
#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    /// Its version, such as `v4`.
    pub version: String,
    /// The deployment that made it.
    pub deployment: Option<String>,
    /// Where that deployment stands.
    #[serde(default)]
    pub status: String,
    /// The commit.
    pub commit: Option<String>,
    /// The version of the config vars.
    pub config_version: Option<i64>,
    /// Its process types.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// What it is.
    pub description: Option<String>,
    /// Whether it is the one that serves.
    #[serde(default)]
    pub live: bool,
    /// Whether one can go back to it.
    #[serde(default)]
    pub image_available: bool,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// A process type of a release or a formation.
#[derive(Debug, Clone, Deserialize)]
pub struct Process {
    /// Its name.
    pub process: String,
    /// How it is started.
    #[serde(default)]
    pub command: Value,
    /// How many instances are wanted, in a formation.
    #[serde(default)]
    pub quantity: u32,
}

impl Process {
    /// The command in one line, whichever form it has.
    pub fn command_line(&self) -> String {
        command_line(&self.command).unwrap_or_else(|| "(the image's own command)".to_owned())
    }
}

fn command_line(command: &Value) -> Option<String> {
    match command {
        Value::String(line) => Some(line.clone()),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            Some(words.join(" "))
        }
        Value::Object(tagged) => tagged.values().find_map(command_line),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::read;

    #[test]
    fn commands_of_every_form_are_one_line() {
        let line = |command: Value| {
            read::<Process>(&json!({"process": "web", "command": command}))
                .unwrap()
                .command_line()
        };
        assert_eq!(line(json!("node .")), "node .");
        assert_eq!(line(json!({"shell": "node ."})), "node .");
        assert_eq!(line(json!({"exec": ["node", "."]})), "node .");
        assert_eq!(line(Value::Null), "(the image's own command)");
    }
}
