use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{broadcast, watch},
    task::AbortHandle,
};

use super::{Behaviour, Listen};
use crate::{
    ContainerId, ContainerState, EventKind, Exit, Gate, Health, InstanceSpec, LogStream, Observed, RunLogLine,
    RuntimeEvent,
};

/// How long after its end a gate's program is run again.
const BETWEEN_CHECKS: Duration = Duration::from_millis(20);

static ADDRESSES: AtomicU32 = AtomicU32::new(1);

pub(super) struct Container {
    pub(super) id: ContainerId,
    pub(super) spec: InstanceSpec,
    pub(super) behaviour: Behaviour,
    pub(super) live: watch::Sender<Live>,
    events: broadcast::Sender<RuntimeEvent>,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Whether the program of its gate is not run.
    pub(super) asleep: AtomicBool,
}

/// What changes while a container lives.
pub(super) struct Live {
    pub(super) state: ContainerState,
    pub(super) health: Option<Health>,
    pub(super) lines: Vec<RunLogLine>,
    pub(super) sockets: Vec<SocketAddr>,
    pub(super) address: Option<IpAddr>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
}

impl Container {
    pub(super) fn new(
        id: ContainerId,
        spec: &InstanceSpec,
        behaviour: Behaviour,
        events: broadcast::Sender<RuntimeEvent>,
    ) -> Self {
        let live = Live {
            state: ContainerState::Created,
            health: None,
            lines: Vec::new(),
            sockets: Vec::new(),
            address: None,
            created_at: Utc::now(),
            started_at: None,
        };
        Self {
            id,
            spec: spec.clone(),
            behaviour,
            live: watch::Sender::new(live),
            events,
            tasks: Mutex::default(),
            asleep: AtomicBool::new(false),
        }
    }

    pub(super) async fn start(self: &Arc<Self>) {
        let address = fresh_address();
        let sockets = self.listen(address).await;
        self.live.send_modify(|live| {
            live.state = ContainerState::Running;
            live.health = self.spec.gate.as_ref().map(|_| Health::Starting);
            live.sockets = sockets;
            live.address = Some(address);
            live.started_at = Some(Utc::now());
        });
        self.emit(EventKind::Started);
        for (stream, text) in &self.behaviour.says {
            self.write(*stream, text);
        }
        let this = Arc::clone(self);
        self.run(async move { this.live_on().await });
        if let Some(gate) = self.spec.gate.clone() {
            let this = Arc::clone(self);
            self.run(async move { this.watch(&gate).await });
        }
    }

    /// Runs the gate's program, on this machine, and says what it says.
    async fn watch(&self, gate: &Gate) {
        let words = gate
            .command
            .iter()
            .map(|word| match word.strip_prefix(&gate.mounted_at) {
                Some(inside) => format!("{}{inside}", gate.folder.display()),
                None => word.clone(),
            });
        let words: Vec<String> = words.collect();
        let [program, arguments @ ..] = words.as_slice() else {
            return;
        };
        loop {
            tokio::time::sleep(BETWEEN_CHECKS).await;
            let mut check = tokio::process::Command::new(program);
            check.args(arguments).kill_on_drop(true);
            check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let healthy = check.status().await.is_ok_and(|status| status.success());
            if self.asleep.load(Ordering::Relaxed) {
                continue;
            }
            let health = if healthy { Health::Healthy } else { Health::Unhealthy };
            self.live.send_if_modified(|live| {
                let runs = live.state.is_running();
                if runs {
                    live.health = Some(health);
                }
                runs
            });
        }
    }

    async fn live_on(&self) {
        if let Some((pause, lines)) = &self.behaviour.goes_on {
            for line in lines {
                tokio::time::sleep(*pause).await;
                self.write(LogStream::Stdout, line);
            }
        }
        if let Some((after, exit)) = self.behaviour.ends {
            tokio::time::sleep(after).await;
            self.end(exit);
        }
    }

    /// Ends it, if it runs.
    pub(super) fn end(&self, exit: Exit) {
        let ended = self.live.send_if_modified(|live| {
            let runs = live.state.is_running();
            if runs {
                live.state = ContainerState::Exited {
                    exit,
                    finished_at: Some(Utc::now()),
                };
                live.health = None;
                live.sockets.clear();
                live.address = None;
            }
            runs
        });
        if ended {
            if exit.oom_killed {
                self.emit(EventKind::Oom);
            }
            self.emit(EventKind::Died { code: exit.code });
            for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                task.abort();
            }
        }
    }

    pub(super) fn emit(&self, kind: EventKind) {
        // Nobody may be listening.
        let _ = self.events.send(RuntimeEvent {
            container: self.id.clone(),
            instance: self.spec.instance,
            app: self.spec.app,
            kind,
            at: Utc::now(),
        });
    }

    fn write(&self, stream: LogStream, text: &str) {
        self.live.send_modify(|live| {
            // Strictly growing, as the `since` of the port needs it.
            let last = live.lines.last().map(|line| line.at);
            let at = last.map_or_else(Utc::now, |last| {
                Utc::now().max(last + chrono::TimeDelta::nanoseconds(1))
            });
            live.lines.push(RunLogLine {
                at,
                stream,
                text: text.to_owned(),
            });
        });
    }

    async fn listen(self: &Arc<Self>, address: IpAddr) -> Vec<SocketAddr> {
        let mut sockets = Vec::new();
        for listen in &self.behaviour.listens {
            let port = match listen {
                Listen::Loopback(port) => {
                    sockets.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), *port));
                    continue;
                }
                Listen::Port(port) => Some(*port),
                Listen::Expected => self.spec.port,
            };
            let Some(port) = port else { continue };
            let listener = TcpListener::bind(SocketAddr::new(address, port))
                .await
                .expect("an address of 127.0.0.0/8 that nobody else has");
            let answers = self.behaviour.answers;
            self.run(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, answers));
                }
            });
            sockets.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        }
        sockets.sort();
        sockets
    }

    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(work).abort_handle();
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    pub(super) fn observed(&self) -> Observed {
        let live = self.live.borrow();
        Observed {
            container: self.id.clone(),
            instance: self.spec.instance,
            name: self.spec.name.clone(),
            role: self.spec.role,
            app: self.spec.app,
            release: self.spec.release,
            deployment: self.spec.deployment,
            restart_seq: self.spec.restart_seq,
            state: live.state,
            health: live.health,
            address: live.address,
            port: self.spec.port,
            created_at: Some(live.created_at),
            started_at: live.started_at,
            image: self.spec.image.clone(),
        }
    }
}

/// An address of its own for each container of each test process of this machine.
fn fresh_address() -> IpAddr {
    let process = std::process::id();
    let [.., process_high, process_low] = process.to_be_bytes();
    let n = ADDRESSES.fetch_add(1, Ordering::Relaxed);
    let host = u8::try_from(n % 254 + 1).unwrap_or(1);
    // 127.0.x.y is left to everybody else.
    Ipv4Addr::new(127, process_high.max(1), process_low, host).into()
}

async fn answer(mut stream: TcpStream, status: Option<u16>) {
    let Some(status) = status else { return };
    let mut request = [0; 4096];
    // A client that goes away is no concern of a fake.
    let _ = stream.read(&mut request).await;
    let body = "hello from a fake\n";
    let text = format!(
        "HTTP/1.1 {status} Fake\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}
