//! A real browser without a window.

use tempfile::TempDir;
use tokio::process::Command;

use crate::run;

/// Chromium with a profile of its own.
#[derive(Debug)]
pub struct Browser {
    profile: TempDir,
}

impl Browser {
    /// None when the checks were told that there is no browser on this machine.
    pub fn find() -> Option<Self> {
        let without = std::env::var_os("WINDLASS_WITHOUT_BROWSER").is_some();
        (!without).then(|| Self {
            profile: tempfile::tempdir().expect("the temporary directory is writable"),
        })
    }

    /// The page as it stands after its scripts have run for a while. It reaches this machine only.
    ///
    /// # Panics
    /// When the browser fails.
    pub async fn page(&self, url: &str) -> String {
        let output = run(Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                "--no-proxy-server",
            ])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .args(["--virtual-time-budget=15000", "--dump-dom", url]))
        .await;
        output.must_succeed()
    }
}
