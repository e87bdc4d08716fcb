//! The built-in router, in its own process.
//!
//! While one router takes over from another there are two, and both have requests in flight. Every table goes to all of them, and
//! what they count is added up.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use windlass_domain::{InstanceId, RouteTable};
use windlass_router::control::{self, ControlClient, ControlError, RouterStatus, Served};
use windlass_worker::{Edge, EdgeError, Exception, Traffic};

/// The router processes of this machine.
pub struct BuiltinEdge {
    folder: PathBuf,
    entrypoints: Vec<String>,
    tally: Mutex<Tally>,
}

impl BuiltinEdge {
    /// Talks to the router behind this socket, and to those that drain beside it.
    pub fn new(socket: PathBuf, entrypoints: Vec<String>) -> Self {
        Self {
            folder: socket.parent().unwrap_or(Path::new(".")).to_owned(),
            entrypoints,
            tally: Mutex::default(),
        }
    }

    fn routers(&self) -> Result<Vec<ControlClient>, EdgeError> {
        control::in_folder(&self.folder)
            .map_err(|error| EdgeError(format!("is not found in {}: {error}", self.folder.display())))
    }

    /// Of all routers that live; at least one of them serves.
    async fn statuses(&self) -> Result<Vec<RouterStatus>, EdgeError> {
        let mut statuses = Vec::new();
        for router in self.routers()? {
            match router.status().await {
                Ok(status) => statuses.push(status),
                Err(error) if error.says_gone() => {}
                Err(error) => return Err(EdgeError(format!("does not answer: {error}"))),
            }
        }
        if statuses.iter().all(|status| status.closing) {
            return Err(EdgeError("does not answer: none serves at the moment".to_owned()));
        }
        Ok(statuses)
    }
}

#[async_trait]
impl Edge for BuiltinEdge {
    async fn apply(&self, table: &RouteTable) -> Result<Vec<Exception>, EdgeError> {
        let refused = |error: ControlError| EdgeError(format!("did not take table {}: {error}", table.generation));
        let mut serves = false;
        let mut given = HashSet::new();
        // A router that starts meanwhile may have read the last table just before this one was written down.
        loop {
            let mut fresh = self.routers()?;
            fresh.retain(|router| !given.contains(router.path()));
            if fresh.is_empty() {
                break;
            }
            for router in fresh {
                match router.apply(table.clone()).await {
                    Ok(ack) => serves |= !ack.closing,
                    Err(error) if error.says_gone() => {}
                    Err(error) => return Err(refused(error)),
                }
                given.insert(router.path().to_owned());
            }
        }
        if serves {
            // A router has a table or has it not.
            Ok(Vec::new())
        } else {
            Err(EdgeError(format!(
                "did not take table {}: none serves at the moment",
                table.generation
            )))
        }
    }

    async fn generation(&self) -> Result<Option<u64>, EdgeError> {
        let statuses = self.statuses().await?;
        let serving = statuses.iter().filter(|status| !status.closing);
        Ok(serving.map(|status| status.generation).min())
    }

    async fn traffic(&self) -> Result<Option<HashMap<InstanceId, Traffic>>, EdgeError> {
        let statuses = self.statuses().await?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(tally.add_up(statuses)))
    }

    fn entrypoints(&self) -> Vec<String> {
        self.entrypoints.clone()
    }
}

/// Adds up what routers count. What one that is gone had counted is remembered, so that no count goes down.
#[derive(Default)]
struct Tally {
    /// What each router said last, by its process id.
    last: HashMap<u32, BTreeMap<InstanceId, Served>>,
    /// What routers that are gone said last.
    past: HashMap<InstanceId, Served>,
}

impl Tally {
    fn add_up(&mut self, statuses: Vec<RouterStatus>) -> HashMap<InstanceId, Traffic> {
        let mut traffic: HashMap<InstanceId, Traffic> = HashMap::new();
        let mut last = HashMap::new();
        for status in statuses {
            for (instance, count) in status.in_flight {
                traffic.entry(instance).or_default().in_flight += count;
            }
            for (instance, served) in &status.served {
                add(traffic.entry(*instance).or_default(), *served);
            }
            self.last.remove(&status.pid);
            last.insert(status.pid, status.served);
        }
        let gone = std::mem::replace(&mut self.last, last).into_values().flatten();
        for (instance, served) in gone {
            let past = self.past.entry(instance).or_default();
            past.answered += served.answered;
            past.failed += served.failed;
        }
        self.past.retain(|instance, _| traffic.contains_key(instance));
        for (instance, past) in &self.past {
            add(traffic.entry(*instance).or_default(), *past);
        }
        traffic
    }
}

fn add(traffic: &mut Traffic, served: Served) {
    traffic.answered += served.answered;
    traffic.failed += served.failed;
}

#[cfg(test)]
mod tests {
    use windlass_router::{ControlSocket, Limits, RouterConfig};

    use super::*;

    fn status(pid: u32, counts: &[(InstanceId, u64, u64, u64)]) -> RouterStatus {
        let served = |answered, failed| Served { answered, failed };
        RouterStatus {
            generation: 1,
            in_flight: counts.iter().map(|(id, now, _, _)| (*id, *now)).collect(),
            served: counts.iter().map(|(id, _, a, f)| (*id, served(*a, *f))).collect(),
            requests_total: 0,
            connections: 0,
            ejected: vec![],
            version: String::new(),
            pid,
            closing: false,
        }
    }

    fn traffic(in_flight: u64, answered: u64, failed: u64) -> Traffic {
        Traffic {
            in_flight,
            answered,
            failed,
        }
    }

    #[test]
    fn what_two_routers_count_is_added_up_and_what_one_had_counted_is_kept_when_it_is_gone() {
        let (a, b) = (InstanceId::generate(), InstanceId::generate());
        let mut tally = Tally::default();
        let both = tally.add_up(vec![
            status(1, &[(a, 2, 10, 1)]),
            status(2, &[(a, 1, 5, 1), (b, 0, 0, 0)]),
        ]);
        assert_eq!((both[&a], both[&b]), (traffic(3, 15, 2), traffic(0, 0, 0)));
        for _ in 0..2 {
            let alone = tally.add_up(vec![status(2, &[(a, 1, 7, 1), (b, 0, 0, 0)])]);
            assert_eq!(alone[&a], traffic(1, 17, 2));
        }
        let third = tally.add_up(vec![status(3, &[(a, 0, 1, 1)])]);
        assert_eq!(third[&a], traffic(0, 18, 3));
    }

    /// A router in this folder, and a connection that keeps it draining once it closes.
    async fn router(folder: &Path, name: &str) -> (ControlClient, tokio::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = folder.join(name);
        let config = RouterConfig {
            http: vec![listener],
            control: ControlSocket::Successor {
                own: own.clone(),
                current: folder.join("control.sock"),
            },
            table_file: folder.join("table.json"),
            workers: Some(1.try_into().unwrap()),
            limits: Limits::default(),
            version: "1.2.3".to_owned(),
        };
        tokio::spawn(windlass_router::run(config, std::future::pending()));
        let client = ControlClient::new(own);
        until(&client, |_| true).await;
        let idle = tokio::net::TcpStream::connect(address).await.unwrap();
        until(&client, |status| status.connections == 1).await;
        (client, idle)
    }

    async fn until(client: &ControlClient, holds: fn(&RouterStatus) -> bool) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while !client.status().await.is_ok_and(|status| holds(&status)) {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_table_goes_to_every_router_and_is_taken_only_if_one_of_them_goes_on_serving() {
        let folder = tempfile::tempdir().unwrap();
        let edge = BuiltinEdge::new(folder.path().join("control.sock"), vec![]);
        let table = |generation| RouteTable {
            generation,
            routes: vec![],
        };
        assert!(edge.apply(&table(1)).await.is_err(), "there is none");
        let (old, _idle) = router(folder.path(), "1.sock").await;
        edge.apply(&table(2)).await.unwrap();
        let (new, _idle_too) = router(folder.path(), "2.sock").await;
        assert_eq!(edge.generation().await.unwrap(), Some(2), "it was read from disk");

        old.shutdown().await.unwrap();
        edge.apply(&table(3)).await.unwrap();
        for router in [&old, &new] {
            assert_eq!(router.status().await.unwrap().generation, 3);
        }
        new.shutdown().await.unwrap();
        assert!(edge.apply(&table(4)).await.is_err(), "none goes on serving");
        assert!(edge.generation().await.is_err());
        assert!(edge.traffic().await.is_err());
    }

    #[test]
    fn an_instance_that_no_router_knows_is_forgotten() {
        let a = InstanceId::generate();
        let mut tally = Tally::default();
        tally.add_up(vec![status(1, &[(a, 0, 10, 1)])]);
        assert!(tally.add_up(vec![status(2, &[])]).is_empty());
        assert_eq!(tally.add_up(vec![status(2, &[(a, 0, 1, 0)])])[&a], traffic(0, 1, 0));
    }
}
