//! The engine as a service of systemd: it gets its listening socket from outside, and says how far it is. What systemd does is done
//! by these tests; a shell is what sets `LISTEN_PID` to the process that the engine becomes.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop, and its name says what it is for"
)]

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const WINDLASSD: &str = env!("CARGO_BIN_EXE_windlassd");
const PATIENCE: Duration = Duration::from_secs(60);
/// The shell moves what it gets as its input to where systemd puts the first socket, and becomes the engine.
const AS_SYSTEMD: &str = "exec 3<&0; [ \"$LISTEN_FDS\" != 2 ] || exec 4<&0; exec 0</dev/null; export LISTEN_PID=${LISTEN_PID:-$$}; exec \"$@\"";

/// A data directory with everything that an engine on it listens on. Its router ends with it.
struct Site {
    folder: TempDir,
    api: SocketAddr,
    router: SocketAddr,
    notices: UnixDatagram,
}

impl Site {
    fn new() -> Self {
        let open = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(open).tempdir_in("/tmp").unwrap();
        let notices = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            folder,
            api: free_address(),
            router: free_address(),
            notices,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn engine(&self, handed: OwnedFd) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", AS_SYSTEMD, "sh", WINDLASSD, "run"]);
        self.configure(&mut command)
            .env("LISTEN_FDS", "1")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::from(handed));
        command
    }

    fn configure<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("WINDLASS_DATA_DIR", self.folder.path())
            .env("WINDLASS_ROUTER_HTTP", self.router.to_string())
            .env("WINDLASS_API_LISTEN", self.api.to_string())
    }

    fn start(&self, command: &mut Command) -> Engine {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("engine.log"))
            .unwrap();
        Engine(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// The next thing that systemd is told.
    fn notice(&self) -> String {
        let mut bytes = [0; 256];
        let n = self.notices.recv(&mut bytes).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.path("engine.log")).unwrap_or_default();
            panic!("systemd is told nothing: {error}\n{log}")
        });
        String::from_utf8_lossy(&bytes[..n]).trim().to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let mut stop = Command::new(WINDLASSD);
        let _ = self.configure(&mut stop).args(["stop", "--all"]).output();
    }
}

/// An engine that ends with the test, whatever happens.
struct Engine(Child);

impl Engine {
    fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends a request, and leaves the answer to be read later.
fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    stream
}

#[track_caller]
fn must_be_answered(mut stream: TcpStream) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The processes that hold this very socket, by their ids.
fn holders(socket: &TcpListener) -> Vec<u32> {
    let name = |path: &Path| fs::read_link(path).ok();
    let ours = name(Path::new(&format!("/proc/self/fd/{}", socket.as_raw_fd()))).unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        files.into_iter().any(|file| name(&file.path()).as_ref() == Some(&ours))
    })
    .collect()
}

#[test]
fn who_connects_while_no_engine_runs_is_answered_by_the_next_one() {
    let site = Site::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for _ in 0..2 {
        let early = ask(address);
        let mut engine = site.start(&mut site.engine(socket.try_clone().unwrap().into()));
        assert_eq!(site.notice(), "READY=1");
        must_be_answered(early);
        must_be_answered(ask(address));
        assert!(TcpStream::connect(site.api).is_err(), "it listens nowhere else");
        let mut wanted = vec![std::process::id(), engine.0.id()];
        wanted.sort_unstable();
        let mut held = holders(&socket);
        held.sort_unstable();
        assert_eq!(held, wanted, "the router and PostgreSQL get no copy of the socket");
        engine.terminate();
        assert_eq!(site.notice(), "STOPPING=1");
    }
}

#[test]
fn a_socket_for_another_process_is_left_alone() {
    let site = Site::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = site.engine(socket.try_clone().unwrap().into());
    let mut engine = site.start(command.env("LISTEN_PID", "1").env("LISTEN_FDS", "three"));
    assert_eq!(site.notice(), "READY=1");
    must_be_answered(ask(site.api));
    engine.terminate();
}

/// Starts an engine that must end at once, and gives what it said.
fn refused(site: &Site, command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::yield_now();
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(!site.path("postgres").exists(), "nothing was begun");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn anything_else_than_one_listening_tcp_socket_is_refused_with_what_to_do() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let unix = UnixListener::bind(site.path("unix")).unwrap();
    let wrong: [(OwnedFd, &str); 4] = [
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "no TCP socket"),
        (unix.into(), "no TCP socket"),
        (File::open("/dev/null").unwrap().into(), "no TCP socket"),
        (connection.into(), "does not listen"),
    ];
    for (handed, reason) in wrong {
        let said = refused(&site, &mut site.engine(handed));
        assert!(said.contains(reason) && said.contains("ListenStream="), "{said}");
    }
    let handed = || OwnedFd::from(listener.try_clone().unwrap());
    let said = refused(&site, site.engine(handed()).env("LISTEN_FDS", "2"));
    assert!(said.contains("2 sockets") && said.contains("ListenStream="), "{said}");
    for count in ["three", "-1", ""] {
        let said = refused(&site, site.engine(handed()).env("LISTEN_FDS", count));
        assert!(said.contains(&format!("LISTEN_FDS is `{count}`")), "{said}");
    }
}
