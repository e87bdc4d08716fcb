//! The labels that every container, image, network and volume of Windlass carries. Windlass touches nothing without
//! [`MANAGED`] and its own [`ENGINE`] value, so that two engines (or an engine and a test) can share one Docker.

/// `true` on everything that Windlass made.
pub const MANAGED: &str = "windlass.managed";
/// The id of the engine (installation) that made it.
pub const ENGINE: &str = "windlass.engine";
/// The app's id.
pub const APP_ID: &str = "windlass.app.id";
/// The app's name.
pub const APP: &str = "windlass.app";
/// The deployment's id.
pub const DEPLOYMENT: &str = "windlass.deployment";
/// The commit an image was built from.
pub const COMMIT: &str = "windlass.commit";
/// The release's version, as a number.
pub const RELEASE: &str = "windlass.release";
/// The release's id.
pub const RELEASE_ID: &str = "windlass.release.id";
/// The process type.
pub const PROCESS: &str = "windlass.process";
/// The instance's id.
pub const INSTANCE: &str = "windlass.instance";
/// The instance's number.
pub const INSTANCE_N: &str = "windlass.instance.n";
/// The restart generation that the instance belongs to.
pub const RESTART: &str = "windlass.restart";
/// The port that the instance listens on.
pub const PORT: &str = "windlass.port";
/// `instance`, `release` (a release command) or `run`.
pub const ROLE: &str = "windlass.role";
