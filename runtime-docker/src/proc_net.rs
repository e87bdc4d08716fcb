//! What Linux tells about networks in `/proc`: the sockets that a container listens on, and where the machine routes to.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::Ipv4Net;
use windlass_runtime::{ContainerId, RuntimeError};

use crate::DockerRuntime;

/// The state LISTEN in `/proc/net/tcp` (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";
/// Where Docker's own name server listens inside each container of a user-defined network.
const DOCKER_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

impl DockerRuntime {
    pub(crate) async fn listening_sockets(&self, container: &ContainerId) -> Result<Vec<SocketAddr>, RuntimeError> {
        let found = self
            .inspect_own(container)
            .await?
            .ok_or_else(|| RuntimeError::NoSuchContainer(container.to_string()))?;
        let pid = found.state.and_then(|state| state.pid).unwrap_or(0);
        if pid <= 0 {
            return Ok(Vec::new());
        }
        let id = found.id.unwrap_or_default();
        let read = tokio::task::spawn_blocking(move || read_listening(pid, &id))
            .await
            .map_err(|error| unreadable(io::Error::other(error)))?;
        match read {
            Ok(sockets) => Ok(sockets),
            // It has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(unreadable(error)),
        }
    }
}

fn unreadable(error: io::Error) -> RuntimeError {
    RuntimeError::Unreadable {
        action: "list the sockets of a container",
        source: Box::new(error),
    }
}

fn read_listening(pid: i64, container: &str) -> io::Result<Vec<SocketAddr>> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    // Docker's process numbers mean something else here if Docker runs on another machine or outside of our own container.
    if !fs::read_to_string(proc.join("cgroup"))?.contains(container) {
        return Err(io::Error::other("the process is not visible from here"));
    }
    let v4 = fs::read_to_string(proc.join("net/tcp"))?;
    // Without IPv6 in the kernel there is no such file.
    let v6 = fs::read_to_string(proc.join("net/tcp6")).unwrap_or_default();
    let mut sockets: Vec<SocketAddr> = parse_listening(&v4).chain(parse_listening(&v6)).collect();
    sockets.sort();
    sockets.dedup();
    Ok(sockets)
}

fn parse_listening(table: &str) -> impl Iterator<Item = SocketAddr> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let local = fields.next()?;
            let state = fields.nth(1)?;
            (state == LISTEN).then(|| parse_socket(local)).flatten()
        })
        .filter(|socket| socket.ip() != DOCKER_DNS)
}

/// `0100007F:1F90`: the address as 32-bit words in the machine's byte order, the port in plain hexadecimal.
fn parse_socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Where the machine routes to, default routes aside. Empty if it cannot be read: Docker then is the only judge.
pub(crate) fn host_routes() -> Vec<Ipv4Net> {
    parse_routes(&fs::read_to_string("/proc/net/route").unwrap_or_default())
}

fn parse_routes(table: &str) -> Vec<Ipv4Net> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let word = |text: Option<&str>| u32::from_str_radix(text?, 16).ok().map(u32::to_ne_bytes);
            let destination = Ipv4Addr::from(word(fields.next())?);
            let mask = Ipv4Addr::from(word(fields.nth(5))?);
            Ipv4Net::with_netmask(destination, mask).ok()
        })
        .filter(|route| route.prefix_len() > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_are_read_and_dockers_name_server_is_not_one() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n   \
             1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0\n   \
             2: 0B00007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0\n   \
             3: 0200000A:1F90 0300000A:C350 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0\n";
        let sockets: Vec<String> = parse_listening(table).map(|socket| socket.to_string()).collect();
        assert_eq!(sockets, ["0.0.0.0:8080", "127.0.0.1:3000"]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn ipv6_sockets_are_read() {
        assert_eq!(
            parse_socket("00000000000000000000000001000000:1F90"),
            Some("[::1]:8080".parse().unwrap())
        );
        assert_eq!(parse_socket("zz:1"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_and_the_default_route_is_left_out() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(parse_routes(table), ["172.17.0.0/16".parse::<Ipv4Net>().unwrap()]);
    }
}
