//! A Postgres server beside the engine, as somebody who has one would give it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::run_in;

/// A running cluster with an empty database; dropping it removes it.
#[derive(Debug)]
pub struct ThrowawayPostgres {
    directory: String,
    url: String,
}

impl ThrowawayPostgres {
    /// Starts one.
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub async fn start() -> Self {
        let ask = |args: Vec<String>| async move {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            run_in(Path::new("/"), script().to_str().unwrap(), &args)
                .await
                .must_succeed()
        };
        let directory = ask(vec!["start".to_owned()]).await;
        let url = ask(vec!["url".to_owned(), directory.clone()]).await;
        Self { directory, url }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/throwaway-postgres")
}

impl Drop for ThrowawayPostgres {
    fn drop(&mut self) {
        let _ = Command::new(script()).args(["stop", &self.directory]).output();
    }
}
