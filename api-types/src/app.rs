//! Apps.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    BuildChanges, BuildSettings, Change, CrashLoop, HealthChanges, HealthCheck, LimitChanges, Limits,
    ProcessHealthChanges, Strategy, Watch, WatchChanges, settings::process_health_changes,
};

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its id.
    #[schema(example = "app_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub id: String,
    /// Its name, by which paths name it.
    #[schema(example = "shop")]
    pub name: String,
    /// Where it answers.
    #[schema(example = "https://shop.apps.example.com")]
    pub url: String,
    /// Where to push it to; any user name, an API token as password.
    #[schema(example = "https://windlass.example.com/git/shop.git")]
    pub git_url: String,
    /// Where it stands.
    pub status: AppStatus,
    /// Where its source is fetched from; null: it is only pushed to.
    #[schema(example = "https://github.com/owner/shop.git")]
    pub repo_url: Option<String>,
    /// The branch whose pushes are deployed.
    #[schema(example = "main")]
    pub branch: String,
    /// How a revision becomes an image.
    pub build: BuildSettings,
    /// How an instance of `web` shows that it is ready.
    pub health: HealthCheck,
    /// The same for other process types; an instance of one that is absent is healthy while it runs.
    #[schema(example = json!({}))]
    pub process_health: BTreeMap<String, HealthCheck>,
    /// What an instance may use.
    pub limits: Limits,
    /// The port that `web` listens on and finds in `PORT`; null: the only port that the image exposes, or else 8080.
    #[schema(example = 3000)]
    pub port: Option<u16>,
    /// Seconds that an instance gets to finish its requests and then to end after SIGTERM.
    #[schema(example = 30)]
    pub drain_seconds: u32,
    /// How new instances take the place of old ones.
    pub strategy: Strategy,
    /// When a release that just went live is rolled back by itself.
    pub watch: Watch,
    /// Process types of the live release that end again and again and are not healthy in between.
    pub crash_loops: Vec<CrashLoop>,
    /// The live release; null: nothing is live yet.
    #[schema(example = "v3")]
    pub release: Option<String>,
    /// The public key that lets Windlass read a private repository, once the forge knows it.
    #[schema(example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI… windlass shop")]
    pub deploy_key: String,
    /// When it was made.
    #[schema(example = "2026-11-21T14:00:00Z")]
    pub created_at: DateTime<Utc>,
    /// When its settings last changed.
    #[schema(example = "2026-11-21T14:00:00Z")]
    pub updated_at: DateTime<Utc>,
}

/// Where an app stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppStatus {
    /// Nothing was ever live.
    New,
    /// The newest deployment failed, and nothing is live.
    Failed,
    /// A release is live.
    Live,
    /// A release is live, but a process type of it ends again and again.
    CrashLooping,
    /// A deployment waits or goes on; what was live before still is.
    Deploying,
    /// It is being deleted, and gone soon.
    Deleting,
}

/// An app to be made. Settings that are absent or null are the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    /// Its name, a DNS label: 1 to 50 lower-case letters, digits and hyphens, beginning with a letter.
    #[schema(
        example = "shop",
        min_length = 1,
        max_length = 50,
        pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$"
    )]
    pub name: String,
    /// Where its source is fetched from: an `https`, `http` or `ssh` address of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://github.com/owner/shop.git")]
    pub repo_url: Option<String>,
    /// The branch whose pushes are deployed; `main` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "main")]
    pub branch: Option<String>,
    /// How a revision becomes an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildChanges>,
    /// How an instance of `web` shows that it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthChanges>,
    /// The same for other process types; each needs a `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = process_health_changes)]
    pub process_health: Option<ProcessHealthChanges>,
    /// What an instance may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitChanges>,
    /// The port that `web` listens on and finds in `PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 3000, minimum = 1)]
    pub port: Option<u16>,
    /// Seconds that an instance gets to finish its requests and then to end after SIGTERM; 30 if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 30, maximum = 3600)]
    pub drain_seconds: Option<u32>,
    /// How new instances take the place of old ones; `rolling` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// When a release that just went live is rolled back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchChanges>,
}

/// What to change of an app. An absent field stays as it is; null is the default. The next release is made with the new settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateApp {
    /// Where its source is fetched from; null: it is only pushed to.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "https://github.com/owner/shop.git")]
    pub repo_url: Change<String>,
    /// The branch whose pushes are deployed.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<String>, example = "main")]
    pub branch: Change<String>,
    /// How a revision becomes an image.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<BuildChanges>)]
    pub build: Change<BuildChanges>,
    /// How an instance of `web` shows that it is ready.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<HealthChanges>)]
    pub health: Change<HealthChanges>,
    /// The same for other process types: those that are named change, and null removes one. Each needs a `port`.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(schema_with = process_health_changes)]
    pub process_health: Change<ProcessHealthChanges>,
    /// What an instance may use.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<LimitChanges>)]
    pub limits: Change<LimitChanges>,
    /// The port that `web` listens on and finds in `PORT`.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u16>, example = 3000, minimum = 1)]
    pub port: Change<u16>,
    /// Seconds that an instance gets to finish its requests and then to end after SIGTERM.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<u32>, example = 30, maximum = 3600)]
    pub drain_seconds: Change<u32>,
    /// How new instances take the place of old ones.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<Strategy>, example = "recreate")]
    pub strategy: Change<Strategy>,
    /// When a release that just went live is rolled back by itself.
    #[serde(skip_serializing_if = "Change::is_keep")]
    #[schema(value_type = Option<WatchChanges>)]
    pub watch: Change<WatchChanges>,
}

impl CreateApp {
    /// The settings as changes to the defaults.
    pub fn settings(self) -> UpdateApp {
        UpdateApp {
            repo_url: self.repo_url.into(),
            branch: self.branch.into(),
            build: self.build.into(),
            health: self.health.into(),
            process_health: self.process_health.into(),
            limits: self.limits.into(),
            port: self.port.into(),
            drain_seconds: self.drain_seconds.into(),
            strategy: self.strategy.into(),
            watch: self.watch.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused_and_the_allowed_ones_are_named() {
        let error = serde_json::from_str::<CreateApp>(r#"{"name": "a", "repo": "x"}"#).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("unknown field `repo`") && message.contains("`repo_url`"),
            "{message}"
        );
        assert!(serde_json::from_str::<UpdateApp>(r#"{"name": "b"}"#).is_err());
        assert!(serde_json::from_str::<UpdateApp>(r#"{"build": {"dockerfle": "x"}}"#).is_err());
    }

    #[test]
    fn null_settings_of_a_new_app_are_the_defaults() {
        let create: CreateApp = serde_json::from_str(r#"{"name": "a", "port": null, "build": null}"#).unwrap();
        assert_eq!(create.settings(), UpdateApp::default());
    }
}
