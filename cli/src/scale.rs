//! Changes of a formation as they are typed: `web=2`, `worker+1`, `worker-1`.

use std::{collections::BTreeMap, str::FromStr};

use windlass_domain::ProcessType;

/// One change of a process type's quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleChange {
    /// The process type.
    pub process: ProcessType,
    /// What happens to its quantity.
    pub change: Quantity,
}

/// What happens to a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// It becomes this.
    Set(u32),
    /// It grows by this.
    Add(u32),
    /// It shrinks by this, not below zero.
    Remove(u32),
}

impl Quantity {
    fn apply(self, now: u32) -> u32 {
        match self {
            Self::Set(quantity) => quantity,
            Self::Add(more) => now.saturating_add(more),
            Self::Remove(less) => now.saturating_sub(less),
        }
    }
}

impl FromStr for ScaleChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no change of a scale; write `web=2`, `web+1` or `web-1`");
        // A process type may hold hyphens, so the sign is the last one that is followed by the number.
        let sign = text.rfind(['=', '+', '-']).ok_or_else(wrong)?;
        let number: u32 = text[sign + 1..].parse().map_err(|_| wrong())?;
        let change = match text.as_bytes()[sign] {
            b'=' => Quantity::Set(number),
            b'+' => Quantity::Add(number),
            _ => Quantity::Remove(number),
        };
        let process = text[..sign].parse().map_err(|error| format!("{error}"))?;
        Ok(Self { process, change })
    }
}

/// The quantities after these changes, of the changed process types only. A type that is not in `now` counts from zero.
pub fn quantities(changes: &[ScaleChange], now: &BTreeMap<String, u32>) -> BTreeMap<String, u32> {
    let mut wanted = BTreeMap::new();
    for change in changes {
        let process = change.process.as_str();
        let before = wanted.get(process).or_else(|| now.get(process)).copied().unwrap_or(0);
        wanted.insert(process.to_owned(), change.change.apply(before));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_as_typed() {
        let parse = |text: &str| {
            text.parse::<ScaleChange>()
                .map(|change| (change.process.to_string(), change.change))
        };
        assert_eq!(parse("web=2"), Ok(("web".to_owned(), Quantity::Set(2))));
        assert_eq!(parse("my-worker+1"), Ok(("my-worker".to_owned(), Quantity::Add(1))));
        assert_eq!(parse("my-worker-1"), Ok(("my-worker".to_owned(), Quantity::Remove(1))));
        for wrong in ["web", "web=", "web=x", "=2", "web=-1", "Web=1", "web=2:large"] {
            assert!(parse(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn changes_add_up_from_what_is_there() {
        let now = BTreeMap::from([("web".to_owned(), 1), ("worker".to_owned(), 3)]);
        let changes: Vec<ScaleChange> = ["web+1", "web+1", "worker-5", "clock=1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let wanted = quantities(&changes, &now);
        let expected = [("clock", 1), ("web", 3), ("worker", 0)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(wanted, BTreeMap::from(expected));
    }
}
