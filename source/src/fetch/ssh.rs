//! SSH for one fetch: a folder with a configuration, the deploy key and the known hosts.
//!
//! Git starts ssh through a shell, so the command that it gets is a constant; all that varies is in the configuration file,
//! and git runs inside the folder.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

use tempfile::TempDir;
use windlass_domain::Secret;

use crate::address::Endpoint;

/// The value of `GIT_SSH_COMMAND`.
pub(super) const COMMAND: &str = "ssh -F ssh_config";

/// Makes the folder; dropping it removes the key.
pub(super) fn prepare(
    tmp: &Path,
    known_hosts: &Path,
    endpoint: &Endpoint,
    key: Option<&Secret<String>>,
) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("fetch-").tempdir_in(tmp)?;
    write_private(
        &folder.path().join("ssh_config"),
        configuration(endpoint, key.is_some()).as_bytes(),
    )?;
    if let Some(key) = key {
        let mut bytes = key.expose().trim().replace("\r\n", "\n");
        bytes.push('\n');
        let bytes = Secret::new(bytes);
        write_private(&folder.path().join("key"), bytes.expose().as_bytes())?;
    }
    symlink(known_hosts, folder.path().join("known_hosts"))?;
    Ok(folder)
}

/// The connection goes to the address that was checked, and the host key is that of the name. Nothing may be asked, forwarded
/// or run; no key but the deploy key is offered.
fn configuration(endpoint: &Endpoint, has_key: bool) -> String {
    let identity = if has_key { "key" } else { "none" };
    format!(
        "Host *\n\
         HostName {address}\n\
         HostKeyAlias {alias}\n\
         IdentityFile {identity}\n\
         IdentitiesOnly yes\n\
         IdentityAgent none\n\
         BatchMode yes\n\
         PreferredAuthentications publickey\n\
         StrictHostKeyChecking accept-new\n\
         UserKnownHostsFile known_hosts\n\
         GlobalKnownHostsFile /dev/null\n\
         CheckHostIP no\n\
         UpdateHostKeys no\n\
         ForwardAgent no\n\
         ClearAllForwardings yes\n\
         PermitLocalCommand no\n\
         ProxyCommand none\n\
         ConnectTimeout 15\n\
         ServerAliveInterval 15\n\
         ServerAliveCountMax 4\n\
         LogLevel ERROR\n",
        address = endpoint.address,
        alias = key_alias(endpoint),
    )
}

/// How OpenSSH itself names hosts in its list of known ones.
fn key_alias(endpoint: &Endpoint) -> String {
    if endpoint.port == 22 {
        endpoint.host.clone()
    } else {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            host: "git.example".to_owned(),
            port,
            address: "192.0.2.7".parse().unwrap(),
        }
    }

    #[test]
    fn the_connection_goes_to_the_checked_address_under_the_name_of_the_host() {
        let text = configuration(&endpoint(22), true);
        for line in [
            "HostName 192.0.2.7",
            "HostKeyAlias git.example",
            "IdentityFile key",
            "BatchMode yes",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(configuration(&endpoint(2222), false).contains("HostKeyAlias [git.example]:2222\nIdentityFile none\n"));
    }

    #[test]
    fn the_key_is_ours_alone_and_gone_afterwards() {
        let tmp = TempDir::new().unwrap();
        let key = Secret::from("-----BEGIN\r\nabc\r\n-----END");
        let folder = prepare(tmp.path(), &tmp.path().join("known_hosts"), &endpoint(22), Some(&key)).unwrap();
        let path = folder.path().join("key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "-----BEGIN\nabc\n-----END\n");
        drop(folder);
        assert!(!path.exists());
    }
}
