//! What tests ask of Docker itself, through its own command line: they look over the engine's shoulder, never through its eyes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

use rustix::fs::{FlockOperation, flock};

/// A tiny image with busybox in it, for apps of tests.
pub const BUSYBOX: &str = "windlass-testkit/busybox:1";

/// Docker's own command; a packaged one goes before others that may stand earlier in `PATH`.
pub fn program() -> &'static str {
    if Path::new("/usr/bin/docker").exists() {
        "/usr/bin/docker"
    } else {
        "docker"
    }
}

/// Runs `docker` with these arguments and gives the lines of its output, or what it said when it failed.
pub fn try_docker(args: &[&str]) -> Result<Vec<String>, String> {
    let output = Command::new(program())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

/// As [`try_docker`].
///
/// # Panics
/// When Docker refuses.
pub fn docker(args: &[&str]) -> Vec<String> {
    try_docker(args).unwrap_or_else(|error| panic!("docker {args:?}: {error}"))
}

/// Whether there is such an image.
pub fn has_image(reference: &str) -> bool {
    try_docker(&["image", "inspect", reference]).is_ok()
}

/// Makes [`BUSYBOX`] from this machine's static busybox, unless it is there.
///
/// # Panics
/// When there is no static busybox, or Docker refuses.
pub fn ensure_busybox() {
    let _one_at_a_time = exclusive("busybox");
    if has_image(BUSYBOX) {
        return;
    }
    let root = tempfile::tempdir().expect("the temporary directory is writable");
    let bin = root.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    std::fs::copy(program.expect("busybox-static is installed"), bin.join("busybox")).unwrap();
    let applets = Command::new(bin.join("busybox")).arg("--list").output().unwrap();
    for applet in String::from_utf8_lossy(&applets.stdout)
        .lines()
        .filter(|name| *name != "busybox")
    {
        let _ = std::os::unix::fs::symlink("busybox", bin.join(applet));
    }
    for directory in ["etc", "tmp", "usr"] {
        std::fs::create_dir(root.path().join(directory)).unwrap();
    }
    std::os::unix::fs::symlink("../bin", root.path().join("usr/bin")).unwrap();
    std::fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
    import(root.path(), BUSYBOX);
}

/// Makes an image of one program and the libraries that it is linked to, for apps of tests; gives its name. The name changes with the
/// program, and images of its other builds are removed unless a process that lives uses them.
///
/// # Panics
/// When the program is not there, or Docker refuses.
pub fn ensure_program_image(program: &Path) -> String {
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a program has a name");
    let _one_at_a_time = exclusive(name);
    let repository = format!("windlass-testkit/{name}");
    let reference = format!("{repository}:{}", version_of(program));
    use_image(&reference);
    if has_image(&reference) {
        return reference;
    }
    for old in try_docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", &repository]).unwrap_or_default() {
        remove_unused(&old);
    }
    let root = tempfile::tempdir().expect("the temporary directory is writable");
    let ldd = Command::new("ldd").arg(program).output().expect("ldd is installed");
    let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for library in libraries {
        let place = root.path().join(library.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(library, place).unwrap();
    }
    for directory in ["bin", "etc", "tmp"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    let place = root.path().join("bin").join(name);
    std::fs::copy(program, &place).unwrap();
    // Smaller, where the tool is at hand.
    let _ = Command::new("strip").arg(&place).status();
    std::fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
    import(root.path(), &reference);
    reference
}

/// The images that this process uses; their locks go with it, however it ends.
static USED: Mutex<BTreeMap<String, File>> = Mutex::new(BTreeMap::new());

/// Says to other processes that this one builds upon an image.
fn use_image(reference: &str) {
    let mut used = USED.lock().expect("nobody panics while holding it");
    used.entry(reference.to_owned()).or_insert_with(|| {
        let lock = File::create(used_by(reference)).expect("the temporary directory is writable");
        flock(&lock, FlockOperation::LockShared).expect("a lock can be waited for");
        lock
    });
}

/// Removes an image that somebody used once and nobody uses any more.
fn remove_unused(reference: &str) {
    let path = used_by(reference);
    let unused = File::open(&path).is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
    if unused && try_docker(&["rmi", reference]).is_ok() {
        let _ = std::fs::remove_file(path);
    }
}

fn used_by(reference: &str) -> PathBuf {
    let name = reference.replace(['/', ':'], "-");
    std::env::temp_dir()
        .join("windlass-testkit")
        .join(format!("{name}.used"))
}

/// Changes whenever the program is built anew.
fn version_of(program: &Path) -> String {
    let meta = std::fs::metadata(program).expect("the program is built");
    let modified = meta
        .modified()
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    format!("{:x}-{:x}", modified.map_or(0, |at| at.as_nanos()), meta.len())
}

/// Held while an image is made that other tests need as well.
fn exclusive(name: &str) -> File {
    let directory = std::env::temp_dir().join("windlass-testkit");
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    let lock = File::create(directory.join(name)).expect("the temporary directory is writable");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be waited for");
    lock
}

/// Makes an image of a directory.
fn import(directory: &Path, reference: &str) {
    let archive = Command::new("tar")
        .arg("-C")
        .arg(directory)
        .args(["-c", "."])
        .output()
        .unwrap();
    assert!(archive.status.success(), "tar cannot pack {}", directory.display());
    let mut import = Command::new(program())
        .args(["import", "--change", "ENV PATH=/bin", "-", reference])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&archive.stdout).unwrap();
    assert!(import.wait().unwrap().success(), "docker import failed");
}

/// The official image of a language if it is here or can be pulled, otherwise one with the same programs made from Debian's packages.
/// Gives what to set the engine's base image to.
///
/// # Panics
/// When neither can be had.
pub fn language_image(official: &str, stand_in: &str, packages: &str, finish: &str) -> String {
    if has_image(official) || try_docker(&["pull", "-q", official]).is_ok() {
        return official.to_owned();
    }
    let _one_at_a_time = exclusive("language");
    if !has_image(stand_in) {
        let install = format!("apt-get update -q && apt-get install -y -q --no-install-recommends {packages}");
        build(
            &format!("FROM debian:bookworm-slim\nRUN {install}\nRUN {finish}\n"),
            stand_in,
        );
    }
    stand_in.to_owned()
}

/// Builds an image from a Dockerfile alone.
fn build(dockerfile: &str, reference: &str) {
    let mut build = Command::new(program())
        .args(["build", "-q", "-t", reference, "-"])
        .env("DOCKER_BUILDKIT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    build.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
    assert!(build.wait().unwrap().success(), "docker build of {reference} failed");
}

/// Everything that an engine has made and that still exists, as `container web-1 (id)` and so on.
pub fn leftovers(engine_id: &str) -> Vec<String> {
    let label = format!("label=windlass.engine={engine_id}");
    let lists: [(&str, &[&str]); 4] = [
        ("container", &["ps", "-a", "--format", "{{.Names}} ({{.Status}})"]),
        ("network", &["network", "ls", "--format", "{{.Name}}"]),
        ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
        ("image", &["images", "--format", "{{.Repository}}:{{.Tag}} ({{.ID}})"]),
    ];
    let mut found = Vec::new();
    for (kind, list) in lists {
        let args = [list, &["--filter", label.as_str()]].concat();
        found.extend(docker(&args).into_iter().map(|what| format!("{kind} {what}")));
    }
    found
}

/// Removes everything that an engine has made.
pub fn remove_all(engine_id: &str) {
    let label = format!("label=windlass.engine={engine_id}");
    let kinds: [(&[&str], &[&str]); 4] = [
        (&["ps", "-aq"], &["rm", "-f", "-v"]),
        (&["network", "ls", "-q"], &["network", "rm"]),
        (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        (&["images", "-aq"], &["rmi", "-f"]),
    ];
    for (list, remove) in kinds {
        let mut ids = try_docker(&[list, &["--filter", label.as_str()]].concat()).unwrap_or_default();
        ids.sort();
        ids.dedup();
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let _ = try_docker(&[remove, &ids].concat());
        }
    }
}

/// The ids of the running containers of an app, sorted; a restarted container keeps its id, a replaced one does not.
pub fn containers_of(engine_id: &str, app: &str) -> Vec<String> {
    let engine = format!("label=windlass.engine={engine_id}");
    let app = format!("label=windlass.app={app}");
    let mut ids = docker(&["ps", "-q", "--no-trunc", "--filter", &engine, "--filter", &app]);
    ids.sort();
    ids
}
