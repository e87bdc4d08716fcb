//! Typed ids: a UUID version 7 (sortable by creation) that is written with a prefix, as in `app_0192…`.
//! An id of one kind cannot be passed for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no id of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id such as `{prefix}_018f3a5e7b7c7d3f9a1b2c3d4e5f6071`, found `{found}`")]
pub struct IdError {
    prefix: &'static str,
    found: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID, as it comes from a database row.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A new id that sorts after all made before it (UUID version 7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The bare UUID, as it is kept in the database.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { prefix: $prefix, found: text.chars().take(80).collect() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id!(
    /// A team: the owner of apps and tokens.
    TeamId, "team"
);
id!(
    /// An API token.
    TokenId, "token"
);
id!(
    /// An app.
    AppId, "app"
);
id!(
    /// One attempt to make a revision or a release live.
    DeploymentId, "dpl"
);
id!(
    /// The build of a revision.
    ImageId, "img"
);
id!(
    /// A release of an app.
    ReleaseId, "rel"
);
id!(
    /// One container of one process type of one release.
    InstanceId, "inst"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = AppId::generate();
        assert_eq!(id.to_string().parse::<AppId>().unwrap(), id);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let error = TeamId::generate().to_string().parse::<AppId>().unwrap_err();
        assert!(error.to_string().starts_with("expected an id such as `app_"), "{error}");
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let first = DeploymentId::generate();
        assert!(first < DeploymentId::generate());
    }
}
