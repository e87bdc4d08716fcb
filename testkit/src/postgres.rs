//! A Postgres server beside the engine, as somebody who has one would give it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{run_in, wait_until};

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

    /// The folder of its socket.
    pub fn socket_dir(&self) -> &Path {
        Path::new(&self.directory)
    }

    /// Kills the server as a crash would, all of its processes with it.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill9(&self) {
        kill_postgres(&Path::new(&self.directory).join("data")).await;
    }

    /// Ends the server in order; connections break.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub async fn stop(&self) {
        self.control("halt").await;
    }

    /// Starts the server again after [`Self::kill9`] or [`Self::stop`].
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&self) {
        self.control("again").await;
    }

    /// Writes a dump of the database, as `pg_dump` makes it.
    ///
    /// # Panics
    /// When it cannot be dumped.
    pub async fn dump(&self, file: &Path) {
        let args = ["-d", &self.url, "-f", file.to_str().unwrap()];
        run_in(Path::new("/"), &client("pg_dump"), &args).await.must_succeed();
    }

    /// Puts a dump in the place of the database; connections break.
    ///
    /// # Panics
    /// When it cannot be restored.
    pub async fn restore(&self, file: &Path) {
        let (before, after) = self
            .url
            .split_once("/windlass_test")
            .expect("the database has this name");
        let other = format!("{before}/postgres{after}");
        let drop = "drop database windlass_test with (force)";
        for sql in [drop, "create database windlass_test"] {
            let args = ["-d", &other, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql];
            run_in(Path::new("/"), &client("psql"), &args).await.must_succeed();
        }
        let args = [
            "-d",
            &self.url,
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            file.to_str().unwrap(),
        ];
        run_in(Path::new("/"), &client("psql"), &args).await.must_succeed();
    }

    async fn control(&self, what: &str) {
        run_in(Path::new("/"), script().to_str().unwrap(), &[what, &self.directory])
            .await
            .must_succeed();
    }
}

/// A client program of Postgres: the one in the newest server's own folder if there is one, as Debian's wrapper around it costs more
/// than most questions.
pub(crate) fn client(name: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name));
    let newest = programs.filter(|program| program.is_file()).max();
    newest.map_or_else(|| name.to_owned(), |program| program.display().to_string())
}

/// Kills the postmaster of this data directory with SIGKILL, and waits until none of its processes is left.
///
/// # Panics
/// When none runs, or its processes do not end.
pub async fn kill_postgres(data: &Path) {
    let text = fs::read_to_string(data.join("postmaster.pid")).expect("Postgres runs");
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    let postmaster = pid
        .and_then(Pid::from_raw)
        .expect("postmaster.pid begins with a process id");
    kill_process(postmaster, Signal::KILL).expect("the postmaster runs");
    // Its children notice by themselves; a new postmaster would refuse to start beside them.
    let data = fs::canonicalize(data).unwrap();
    wait_until("no process of Postgres is left", Duration::from_secs(30), || async {
        !works_in(&data)
    })
    .await;
}

/// Whether any process has this folder as its working directory, as all of Postgres' have their data directory.
fn works_in(folder: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd == folder)
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/throwaway-postgres")
}

impl Drop for ThrowawayPostgres {
    fn drop(&mut self) {
        let _ = Command::new(script()).args(["stop", &self.directory]).output();
    }
}
