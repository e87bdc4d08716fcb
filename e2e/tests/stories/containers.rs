//! What Docker saw of an app's containers: every start and every end, as they happened.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};

use windlass_testkit::{App, Engine, docker};

/// A start or an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Whether it started.
    pub started: bool,
    /// The container's name, such as `shop-0-web-v2-1`.
    pub name: String,
}

impl Moment {
    /// Whether it is of this release, such as `v2`.
    pub fn is_of(&self, release: &str) -> bool {
        self.name.contains(&format!("-{release}-"))
    }
}

/// Writes down what happens to an app's containers, until it is asked for it.
pub struct Chronicle {
    docker: Child,
    seen: Arc<Mutex<Vec<Moment>>>,
    reader: Option<JoinHandle<()>>,
}

impl Chronicle {
    /// Begins; what runs already is not in it.
    pub fn of(engine: &Engine, app: &App) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let mut docker = Command::new(docker::program())
            .args([
                "events",
                "--filter",
                "type=container",
                "--filter",
                "event=start",
                "--filter",
                "event=die",
            ])
            .args(["--filter", &format!("label=windlass.engine={}", engine.id())])
            .args(["--filter", &format!("label=windlass.app={}", app.name())])
            // From this moment on, though the stream opens a little later.
            .args(["--since", &format!("{}.{:09}", now.as_secs(), now.subsec_nanos())])
            .args(["--format", "{{.Action}} {{.Actor.Attributes.name}}"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker can be started");
        let out = BufReader::new(docker.stdout.take().expect("it is a pipe"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let (action, name) = line.split_once(' ').expect("the format has two words");
                notes.lock().unwrap().push(Moment {
                    started: action == "start",
                    name: name.to_owned(),
                });
            }
        });
        Self {
            docker,
            seen,
            reader: Some(reader),
        }
    }

    /// What happened so far.
    pub fn all(&self) -> Vec<Moment> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Chronicle {
    fn drop(&mut self) {
        let _ = self.docker.kill();
        let _ = self.docker.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The largest number of containers that ran at once, when so many ran before.
pub fn most_at_once(before: usize, moments: &[Moment]) -> usize {
    let counts = moments.iter().scan(before, |running, moment| {
        *running = if moment.started { *running + 1 } else { *running - 1 };
        Some(*running)
    });
    counts.max().unwrap_or(before).max(before)
}
