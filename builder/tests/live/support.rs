//! What the builder's tests share: trees in memory, a base image made of busybox, and a story around one build.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bollard::Docker;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use windlass_builder::{BuildError, BuildEvent, BuildRequest, Builder, BuilderConfig, BuiltImage};
use windlass_domain::{BuildSettings, EntryKind, ExtraFile, Failure, SourceTree, TreeEntry};

/// The image that the tests of this process build from. It is there while a [`Story`] is.
fn base() -> String {
    format!("windlass-test-base:{}", std::process::id())
}

/// How many stories use the base image.
static STORIES: Mutex<u32> = Mutex::new(0);

fn import_busybox(tag: &str) {
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    tar.append_data(&mut header, "bin/busybox", busybox.as_slice()).unwrap();
    for name in [
        "sh", "cat", "echo", "sleep", "ls", "test", "seq", "env", "find", "id", "yes", "head", "true", "grep", "touch",
    ] {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, format!("bin/{name}"), "busybox").unwrap();
    }
    // Another base in every process: the engine's build cache must not answer for what an earlier run built.
    let nonce = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(nonce.len() as u64);
    tar.append_data(&mut header, "nonce", nonce.as_bytes()).unwrap();
    let mut import = Command::new(client())
        .args(["import", "--change", "ENV PATH=/bin", "-", tag])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import
        .stdin
        .take()
        .unwrap()
        .write_all(&tar.into_inner().unwrap())
        .unwrap();
    assert!(import.wait().unwrap().success());
}

fn client() -> &'static str {
    if Path::new("/usr/bin/docker").exists() {
        "/usr/bin/docker"
    } else {
        "docker"
    }
}

/// Runs the docker client; what it prints.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new(client()).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Files in memory.
#[derive(Clone, Default)]
pub struct MemoryTree(pub BTreeMap<String, (Vec<u8>, EntryKind)>);

impl MemoryTree {
    /// A tree of these text files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let entry = |(path, text): &(&str, &str)| ((*path).to_owned(), (text.as_bytes().to_vec(), EntryKind::File));
        Self(files.iter().map(entry).collect())
    }

    /// The tree of a folder of `examples/`.
    pub fn example(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            let executable = path.metadata().unwrap().permissions().mode() & 0o100 != 0;
            let kind = if executable {
                EntryKind::Executable
            } else {
                EntryKind::File
            };
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(name, (std::fs::read(&path).unwrap(), kind));
        }
        Self(files)
    }
}

impl SourceTree for MemoryTree {
    fn entries(&self) -> io::Result<Vec<TreeEntry>> {
        let entry = |(path, (content, kind)): (&String, &(Vec<u8>, EntryKind))| TreeEntry {
            path: path.clone(),
            kind: *kind,
            size: content.len() as u64,
        };
        Ok(self.0.iter().map(entry).collect())
    }

    fn read(&self, path: &str, limit_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self
            .0
            .get(path)
            .map(|(content, _)| content.iter().copied().take(limit_bytes).collect()))
    }

    fn write_tar(
        &self,
        context: &str,
        keep: &(dyn Fn(&str) -> bool + Send + Sync),
        extra: &[ExtraFile],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let prefix = if context.is_empty() {
            String::new()
        } else {
            format!("{context}/")
        };
        let mut tar = tar::Builder::new(out);
        let mut append = |path: &str, content: &[u8], mode: u32| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content)
        };
        for (path, (content, kind)) in &self.0 {
            if let Some(path) = path.strip_prefix(&prefix).filter(|path| keep(path)) {
                append(
                    path,
                    content,
                    if *kind == EntryKind::Executable { 0o755 } else { 0o644 },
                )?;
            }
        }
        for file in extra {
            append(&file.path, &file.content, 0o644)?;
        }
        tar.finish()
    }
}

/// One build of a test.
pub struct Story {
    pub builder: Builder,
    pub tree: MemoryTree,
    pub settings: BuildSettings,
    pub config: Vec<(&'static str, &'static str)>,
    pub labels: Vec<(&'static str, &'static str)>,
    pub scope: String,
    pub cancel: CancellationToken,
    tag: String,
}

/// How a build ended.
pub struct Outcome {
    pub result: Result<BuiltImage, BuildError>,
    pub events: Vec<BuildEvent>,
    pub tag: String,
}

pub async fn builder() -> Builder {
    builder_with(BuilderConfig::default()).await
}

pub async fn builder_with(config: BuilderConfig) -> Builder {
    let docker = Docker::connect_with_unix_defaults()
        .unwrap()
        .negotiate_version()
        .await
        .unwrap();
    Builder::new(docker, config)
}

impl Story {
    /// A build of these files; `BASE` in a Dockerfile stands for the base image.
    pub async fn of(files: &[(&str, &str)]) -> Self {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.replace("BASE", &base())))
            .collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        Self::tree(MemoryTree::of(&files)).await
    }

    /// A build of a tree.
    pub async fn tree(tree: MemoryTree) -> Self {
        {
            let mut stories = STORIES.lock().unwrap();
            *stories += 1;
            if *stories == 1 {
                import_busybox(&base());
            }
        }
        let id = unique();
        Self {
            builder: builder().await,
            tree,
            settings: BuildSettings::default(),
            config: vec![],
            labels: vec![],
            scope: format!("test-{id}"),
            cancel: CancellationToken::new(),
            tag: format!("windlass-test/app:{id}"),
        }
    }

    /// Plans and builds.
    pub async fn run(&self) -> Outcome {
        let (events, received) = mpsc::channel(16);
        let collect = tokio::spawn(collect(received));
        let result = self.run_with(events).await;
        Outcome {
            result,
            events: collect.await.unwrap(),
            tag: self.tag.clone(),
        }
    }

    /// Plans and builds with events to this channel.
    pub async fn run_with(&self, events: mpsc::Sender<BuildEvent>) -> Result<BuiltImage, BuildError> {
        let tree: Arc<dyn SourceTree> = Arc::new(self.tree.clone());
        let plan = self.builder.plan(tree.clone(), &self.settings).await;
        let plan = plan.map_err(|failure| BuildError::Failed(failure.into_failure()))?;
        let request = BuildRequest {
            tree,
            plan,
            settings: self.settings.clone(),
            tag: self.tag.clone(),
            labels: self
                .labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            config: self
                .config
                .iter()
                .map(|(key, value)| (key.parse().unwrap(), (*value).into()))
                .collect(),
            cache_scope: self.scope.clone(),
        };
        self.builder.build(request, events, self.cancel.clone()).await
    }
}

async fn collect(mut received: mpsc::Receiver<BuildEvent>) -> Vec<BuildEvent> {
    let mut events = Vec::new();
    while let Some(event) = received.recv().await {
        events.push(event);
    }
    events
}

/// Different in every call of every process.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Outcome {
    #[track_caller]
    pub fn image(&self) -> &BuiltImage {
        self.result
            .as_ref()
            .unwrap_or_else(|error| panic!("{error:?}\n{:#?}", self.events))
    }

    #[track_caller]
    pub fn failure(&self) -> &Failure {
        match &self.result {
            Err(BuildError::Failed(failure)) => failure,
            other => panic!("{other:?}\n{:#?}", self.events),
        }
    }

    /// All lines of output.
    pub fn lines(&self) -> Vec<&str> {
        fn text(event: &BuildEvent) -> Option<&str> {
            match event {
                BuildEvent::Line { text, .. } => Some(text),
                _ => None,
            }
        }
        self.events.iter().filter_map(text).collect()
    }

    /// What a command prints in the built image.
    pub fn run(&self, arguments: &[&str]) -> String {
        docker(&[&["run", "--rm", "--network", "none", &self.image().id], arguments].concat())
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        docker(&["rmi", "--force", &self.tag]);
    }
}

/// Waits until it is so.
pub async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let mut stories = STORIES.lock().unwrap();
        *stories -= 1;
        if *stories == 0 {
            docker(&["rmi", "--force", &base()]);
        }
    }
}

/// Debian, as the plans of buildpacks start from it; made here where no registry has it for us, and left in place.
pub fn debian() {
    const TAG: &str = "debian:bookworm-slim";
    if !docker(&["image", "inspect", TAG]).starts_with("[]") {
        return;
    }
    let mut make = Command::new("mmdebstrap")
        .args([
            "--quiet",
            "--variant=minbase",
            "--include=ca-certificates",
            "bookworm",
            "-",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let import = Command::new(client())
        .args(["import", "--change", "CMD [\"bash\"]", "-", TAG])
        .stdin(make.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(import.success() && make.wait().unwrap().success());
}

/// A container that runs an image, removed when dropped.
pub struct Container(String);

impl Container {
    /// Starts the image's own command with PORT 8080, as an app is started: without capabilities and privileges.
    pub fn of(outcome: &Outcome) -> Self {
        let limits = [
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--env",
            "PORT=8080",
            "--env",
            "GREETING=hi",
        ];
        let id = docker(&[&["run", "--detach"], &limits[..], &[&outcome.image().id]].concat());
        Self(id.trim().to_owned())
    }

    /// The answer to a GET, head and body, once there is one.
    pub async fn get(&self, path: &str, header: &str) -> String {
        let address = docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &self.0]);
        let address = format!("{}:8080", address.trim());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match get(&address, path, header).await {
                Ok(answer) if !answer.is_empty() => return answer,
                other => assert!(Instant::now() < deadline, "{other:?}\n{}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn log(&self) -> String {
        docker(&["logs", &self.0])
    }

    pub fn is_running(&self) -> bool {
        docker(&["inspect", "--format", "{{.State.Running}}", &self.0]).trim() == "true"
    }

    /// Asks it to stop; the seconds it took.
    pub fn stop(&self) -> Duration {
        let started = Instant::now();
        docker(&["stop", "--time", "10", &self.0]);
        started.elapsed()
    }
}

async fn get(address: &str, path: &str, header: &str) -> io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: app\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.0]);
    }
}
