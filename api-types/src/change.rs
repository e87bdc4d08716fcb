//! A field of a `PATCH`: absent, null and a value are three different wishes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a `PATCH` wants of one field (RFC 7396, JSON merge patch). The field needs
/// `#[serde(default, skip_serializing_if = "Change::is_keep")]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// The field is absent: leave it as it is.
    #[default]
    Keep,
    /// The field is null: back to the default.
    Reset,
    /// The new value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the field is absent.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The same wish for a value made from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Reset => Change::Reset,
            Self::Set(value) => Change::Set(make(value)),
        }
    }

    /// Does what is wished to `field`.
    pub fn apply(self, field: &mut T, default: T) {
        match self {
            Self::Keep => {}
            Self::Reset => *field = default,
            Self::Set(value) => *field = value,
        }
    }
}

/// A value is set, `None` is left alone.
impl<T> From<Option<T>> for Change<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Keep, Self::Set)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Reset, Self::Set))
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Reset => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UpdateApp;

    #[test]
    fn absent_null_and_value_are_three_wishes() {
        let read = |text: &str| serde_json::from_str::<UpdateApp>(text).unwrap().port;
        assert_eq!(read("{}"), Change::Keep);
        assert_eq!(read(r#"{"port": null}"#), Change::Reset);
        assert_eq!(read(r#"{"port": 80}"#), Change::Set(80));
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        let write = |port| {
            serde_json::to_string(&UpdateApp {
                port,
                ..UpdateApp::default()
            })
            .unwrap()
        };
        assert_eq!(write(Change::Keep), "{}");
        assert_eq!(write(Change::Reset), r#"{"port":null}"#);
        assert_eq!(write(Change::Set(80)), r#"{"port":80}"#);
    }

    #[test]
    fn applying_keeps_resets_or_sets() {
        let after = |change: Change<u8>| {
            let mut field = 1;
            change.apply(&mut field, 0);
            field
        };
        assert_eq!([Change::Keep, Change::Reset, Change::Set(7)].map(after), [1, 0, 7]);
    }
}
