//! The images that plans start from.

use serde::{Deserialize, Serialize};

/// The base image of each kind of app. `{version}` stands for the version of the language that the app asks for; an image
/// without it is used for every version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaseImages {
    /// Node.js on Debian; `{version}` is the major version, such as `22`.
    pub node: String,
    /// Python on Debian; `{version}` is major and minor, such as `3.12`.
    pub python: String,
    /// Plain Debian: static sites and apps that are only a Procfile.
    pub debian: String,
}

impl Default for BaseImages {
    fn default() -> Self {
        Self {
            node: "node:{version}-bookworm-slim".to_owned(),
            python: "python:{version}-slim-bookworm".to_owned(),
            debian: "debian:bookworm-slim".to_owned(),
        }
    }
}

/// The image for a version.
pub(crate) fn image_for(template: &str, version: &str) -> String {
    template.replace("{version}", version)
}
