//! Health checks of process types as they are typed: `worker:port=9000,path=/up`.

use std::str::FromStr;

use serde_json::{Map, Value};
use windlass_domain::{ProcessType, StatusSet};

use crate::args::values::{parse_millis, parse_seconds};

/// A process type and what to change of its health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessHealth {
    /// The process type.
    pub process: ProcessType,
    /// Fields of the API.
    pub changes: Map<String, Value>,
}

impl FromStr for ProcessHealth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (process, settings) = text
            .split_once(':')
            .ok_or_else(|| "expected TYPE:KEY=VALUE,…, such as worker:port=9000,path=/up".to_owned())?;
        let process = process.parse().map_err(|error| format!("{error}"))?;
        let changes = pairs(settings)
            .iter()
            .map(|pair| change(pair))
            .collect::<Result<_, _>>()?;
        Ok(Self { process, changes })
    }
}

/// Splits at commas, but a part without `=` goes on with the value before it: `status=200,204`.
fn pairs(text: &str) -> Vec<String> {
    let mut pairs: Vec<String> = Vec::new();
    for part in text.split(',') {
        match pairs.last_mut() {
            Some(last) if !part.contains('=') => {
                last.push(',');
                last.push_str(part);
            }
            _ => pairs.push(part.to_owned()),
        }
    }
    pairs
}

fn change(pair: &str) -> Result<(String, Value), String> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let number = || value.parse::<u32>().map_err(|_| format!("{key} must be a number"));
    let (field, value) = match key.trim() {
        "path" => ("path", Value::from(value)),
        "status" => {
            let set: StatusSet = value.parse().map_err(|error| format!("{error}"))?;
            ("status", Value::from(set.to_string()))
        }
        "port" => ("port", Value::from(number()?)),
        "interval" => ("interval_seconds", Value::from(parse_seconds(value)?)),
        "timeout" => ("timeout_ms", Value::from(parse_millis(value)?)),
        "retries" => ("retries", Value::from(number()?)),
        "deadline" => ("deadline_seconds", Value::from(parse_seconds(value)?)),
        other => {
            return Err(format!(
                "`{other}` is not known; there are port, path, status, interval, timeout, retries and deadline"
            ));
        }
    };
    Ok((field.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn checks_read_as_typed() {
        let check: ProcessHealth = "worker:port=9000,path=/up?a=b,status=200-299,404,interval=1m,timeout=500ms"
            .parse()
            .unwrap();
        assert_eq!(check.process.as_str(), "worker");
        let fields = json!({"port": 9000, "path": "/up?a=b", "status": "200-299,404", "interval_seconds": 60, "timeout_ms": 500});
        assert_eq!(Value::Object(check.changes), fields);
    }

    #[test]
    fn what_is_no_check_is_refused_with_what_is_expected() {
        for (text, said) in [
            ("worker", "TYPE:KEY=VALUE"),
            ("Worker:port=1", "process type"),
            ("worker:port=x", "must be a number"),
            ("worker:prot=1", "`prot` is not known; there are port"),
            ("worker:status=2xx", "no set of HTTP statuses"),
            ("worker:", "is not known"),
        ] {
            let error = text.parse::<ProcessHealth>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
