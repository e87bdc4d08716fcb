//! The handlers, a file for each resource. Each extracts, asks once, and maps.

pub(crate) mod account;
pub(crate) mod app_log;
pub(crate) mod apps;
pub(crate) mod config;
pub(crate) mod deployment_log;
pub(crate) mod deployments;
pub(crate) mod formation;
pub(crate) mod git;
pub(crate) mod health;
pub(crate) mod instances;
pub(crate) mod releases;
pub(crate) mod setup;
pub(crate) mod streams;
pub(crate) mod tokens;
pub(crate) mod webhook_settings;
pub(crate) mod webhooks;
