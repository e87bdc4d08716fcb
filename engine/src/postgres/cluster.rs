//! What a cluster needs before it can run: its user, the server's programs, its folders, and `initdb` once.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::ownership::{Account, own_folder};

/// The user that the cluster runs as; none: our own.
pub type Owner = Option<Account>;

/// As root, PostgreSQL refuses to run: then it is the `postgres` user that its package made.
pub fn owner() -> anyhow::Result<Owner> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (fields.first() == Some(&"postgres")).then_some(Account { uid, gid })
    });
    found.map(Some).context(
        "there is no user `postgres` to run the embedded PostgreSQL; install it (apt-get install postgresql), or set database_url",
    )
}

/// The directory of the server's programs: of the version that made the data, or the newest there is.
pub fn binaries(data: &Path) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(data.join("PG_VERSION"))
        .ok()
        .map(|version| version.trim().to_owned());
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/postgres").exists().then(|| (version, path.join("bin")))
        })
        .collect();
    versions.sort();
    let found = match &wanted {
        Some(wanted) => versions.into_iter().find(|(version, _)| version.to_string() == *wanted),
        None => versions.pop(),
    };
    let what = wanted.map_or_else(|| "PostgreSQL".to_owned(), |version| format!("PostgreSQL {version}"));
    found.map(|(_, path)| path).with_context(|| {
        format!("{what} is not installed under /usr/lib/postgresql; install it (apt-get install postgresql), or set database_url")
    })
}

/// Makes the folders, and the cluster at the first time.
pub async fn prepare(directory: &Path, binaries: &Path, owner: Owner) -> anyhow::Result<()> {
    // The folder around the cluster stays ours, so that the cluster's user cannot exchange what is in it.
    let (mode, ours) = match owner {
        Some(_) => (0o711, Some(Account { uid: 0, gid: 0 })),
        None => (0o700, None),
    };
    own_folder(directory, mode, ours)?;
    own_folder(&directory.join("run"), 0o700, owner)?;
    if owner.is_some() {
        check_reachable(directory)?;
    }
    let data = directory.join("data");
    if !data.join("PG_VERSION").exists() {
        make(directory, binaries, owner).await?;
    }
    own_folder(&data, 0o700, owner)
}

/// Makes the cluster beside its place and moves it there when it is whole: what a killed `initdb` leaves is never taken for one.
async fn make(directory: &Path, binaries: &Path, owner: Owner) -> anyhow::Result<()> {
    let (draft, data) = (directory.join("data.new"), directory.join("data"));
    if draft.exists() {
        fs::remove_dir_all(&draft).with_context(|| format!("cannot remove {}", draft.display()))?;
    }
    own_folder(&draft, 0o700, owner)?;
    initdb(binaries, &draft, owner).await?;
    fs::rename(&draft, &data)
        .with_context(|| format!("{} is in the way and no cluster; move it away", data.display()))?;
    fs::File::open(directory)?
        .sync_all()
        .context("cannot keep the new cluster")
}

/// Another user must be able to pass through every directory above the cluster.
fn check_reachable(directory: &Path) -> anyhow::Result<()> {
    let closed = directory
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .find(|path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0));
    match closed {
        Some(path) => bail!(
            "the user `postgres` cannot pass through {}; run `chmod o+x {0}`, use another data_dir, or set database_url",
            path.display()
        ),
        None => Ok(()),
    }
}

/// A program of the server, with nothing of our environment.
pub fn command(program: &Path, owner: Owner) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some(Account { uid, gid }) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

async fn initdb(binaries: &Path, data: &Path, owner: Owner) -> anyhow::Result<()> {
    tracing::info!("making the embedded PostgreSQL cluster");
    let output = command(&binaries.join("initdb"), owner)
        .arg("--pgdata")
        .arg(data)
        .args([
            "--username=windlass",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
        ])
        .output()
        .await
        .context("cannot run initdb")?;
    ensure!(
        output.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
