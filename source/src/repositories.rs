//! The folder of bare repositories, one for each app, and the refs that Windlass keeps in them.
//!
//! ```text
//! <root>/app_….git      a repository; `refs/heads/*` are what was pushed or deployed
//! <root>/hooks          proc-receive, a symbolic link to the hook program
//! <root>/home           empty: git's HOME
//! <root>/tmp            repositories in the making, deploy keys in use
//! <root>/known_hosts    the host keys of SSH servers, accepted on first use
//! ```
//! `refs/windlass/*` is ours and hidden from clients: `deployments/<id>` keeps a revision while its deployment is under way or a release has it,
//! `fetched` and `mirror/*` are what came from the app's repository address, `submodules/*` what came from theirs.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use git2::Repository;
use windlass_domain::{AppId, BranchName, CommitSha, DeploymentId, GitRef};

use crate::{
    address::FetchPolicy,
    fetch::clear_leftovers,
    git::{Git, Running, SourceError, Turn, blocking, printable},
    locks,
};

/// Leftovers in `tmp` of processes that were killed are older than any live use.
const LEFTOVER_AGE: Duration = Duration::from_secs(6 * 60 * 60);

/// Where deployments' revisions are kept; their ids follow.
const DEPLOYMENTS: &str = "refs/windlass/deployments/";

/// A file in a repository that was written when it was maintained last.
const MAINTAINED: &str = "windlass-maintained";

/// Settings of maintenance: it takes one core and little memory from those who serve.
const FRUGAL: [&str; 3] = ["pack.threads=1", "pack.windowMemory=64m", "pack.deltaCacheSize=32m"];

/// Where the repositories are and how they are served.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The folder of all repositories; made when missing. Must be absolute.
    pub root: PathBuf,
    /// The git program, 2.37 or later (`http.curloptResolve`).
    pub git: PathBuf,
    /// The program that git runs when objects of a push are in: started through a symbolic link named `proc-receive`, without
    /// arguments, so that it must recognise its own first argument; it calls [`crate::hook::run`]. Must be absolute.
    pub hook: PathBuf,
    /// The largest pack that a push may send, in bytes.
    pub max_pack_bytes: u64,
    /// What may be fetched from elsewhere.
    pub fetch: FetchPolicy,
}

/// What a person knows a commit by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The first line of its message, 200 characters at most.
    pub subject: String,
    /// The author's name.
    pub author: String,
}

/// All repositories. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repositories {
    pub(crate) config: Arc<SourceConfig>,
    pub(crate) git: Git,
    turns: Arc<Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Repositories {
    /// Does nothing yet: folders are made by [`Repositories::ensure`].
    pub fn new(config: SourceConfig) -> Self {
        let git = Git::new(config.git.clone(), config.root.join("home"));
        Self {
            config: Arc::new(config),
            git,
            turns: Arc::default(),
        }
    }

    /// Makes the app's bare repository unless it is there. A repository appears whole or not at all.
    pub async fn ensure(&self, app: AppId) -> Result<(), SourceError> {
        let dir = self.dir(app);
        if dir.is_dir() {
            return Ok(());
        }
        self.prepare_root()?;
        let draft = tempfile::Builder::new()
            .prefix("init-")
            .tempdir_in(self.tmp())
            .map_err(SourceError::io("create a folder for a repository"))?;
        let mut command = self.git.command();
        command
            .args(["init", "--bare", "--quiet", "--template=", "--"])
            .arg(draft.path());
        self.git.run(command, "create the repository").await?;
        match std::fs::rename(draft.path(), &dir) {
            // Somebody else made it at the same time.
            Err(_) if dir.is_dir() => Ok(()),
            result => result.map_err(SourceError::io("move the repository into place")),
        }
    }

    /// Deletes the app's repository when no fetch and no maintenance is at work on it any more: it would make its folders anew. Fine if
    /// there is none.
    pub async fn remove(&self, app: AppId) -> Result<(), SourceError> {
        let dir = self.dir(app);
        let _turn = self.turn(app).await;
        blocking(move || match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SourceError::io("delete the repository")(error))
            }
            _ => Ok(()),
        })
        .await?;
        self.lock_turns().remove(&app);
        Ok(())
    }

    /// The apps that have a repository here. Sorted.
    pub async fn apps(&self) -> Result<Vec<AppId>, SourceError> {
        let root = self.config.root.clone();
        blocking(move || apps_in(&root).map_err(SourceError::io("list the repositories"))).await
    }

    /// Moves a branch to a commit that is in the repository, and makes it the branch that a clone checks out. Called when the
    /// commit is live; fine to repeat.
    pub async fn set_branch(&self, app: AppId, branch: &BranchName, commit: &CommitSha) -> Result<(), SourceError> {
        let full = format!("refs/heads/{branch}");
        self.update_ref(app, &full, commit, "move the branch").await?;
        let default = ["symbolic-ref", "HEAD", &full];
        self.change_ref(app, &default, "make the branch the default").await
    }

    /// Keeps a deployment's commit reachable, whether or not a branch ever points to it; fine to repeat.
    pub async fn keep(&self, app: AppId, deployment: DeploymentId, commit: &CommitSha) -> Result<(), SourceError> {
        self.update_ref(app, &deployment_ref(deployment), commit, "keep the commit")
            .await
    }

    /// Ends [`Repositories::keep`]; fine if nothing was kept.
    pub async fn forget(&self, app: AppId, deployment: DeploymentId) -> Result<(), SourceError> {
        if !self.dir(app).is_dir() {
            return Ok(());
        }
        let name = deployment_ref(deployment);
        let forget = ["update-ref", "--no-deref", "-d", &name];
        self.change_ref(app, &forget, "release the commit").await
    }

    /// The deployments whose commits are kept. Sorted.
    pub async fn kept(&self, app: AppId) -> Result<Vec<DeploymentId>, SourceError> {
        let repositories = self.clone();
        blocking(move || {
            let repository = repositories.open(app)?;
            let references = repository.references_glob(&format!("{DEPLOYMENTS}*"))?;
            let id = |reference: git2::Reference<'_>| reference.name().ok()?.strip_prefix(DEPLOYMENTS)?.parse().ok();
            let mut kept: Vec<DeploymentId> = references.flatten().filter_map(id).collect();
            kept.sort();
            Ok(kept)
        })
        .await
    }

    /// The subject and author of a commit; none if it is not in the repository.
    pub async fn describe(&self, app: AppId, commit: &CommitSha) -> Result<Option<CommitInfo>, SourceError> {
        let (repositories, commit) = (self.clone(), commit.clone());
        blocking(move || {
            let repository = repositories.open(app)?;
            let Ok(commit) = git2::Oid::from_str(commit.as_str()).and_then(|oid| repository.find_commit(oid)) else {
                return Ok(None);
            };
            let subject = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
            let author = String::from_utf8_lossy(commit.author().name_bytes()).into_owned();
            let short = |text: &str| printable(text).chars().take(200).collect();
            Ok(Some(CommitInfo {
                subject: short(&subject),
                author: short(&author),
            }))
        })
        .await
    }

    /// What a branch, tag or commit id (also a short one) of the app's own repository stands for; none if nothing.
    pub async fn resolve(&self, app: AppId, reference: &GitRef) -> Result<Option<CommitSha>, SourceError> {
        let (repositories, reference) = (self.clone(), reference.clone());
        blocking(move || {
            let repository = repositories.open(app)?;
            Ok(commit_of(&repository, &reference))
        })
        .await
    }

    /// Packs the app's objects and drops what nothing refers to and is older than two weeks. For a schedule: git never does
    /// this by itself here. Dropping the future ends it; nothing is lost by that.
    ///
    /// What a push or a fetch brings at this moment has no ref yet, but its files are new, and git leaves new ones alone for two
    /// weeks (`gc.pruneExpire`). A revision of a deployment or a release has its ref, and the files that git replaces are removed
    /// only when the new ones are there: whoever reads meanwhile finds every object in one or the other.
    pub async fn maintain(&self, app: AppId) -> Result<(), SourceError> {
        let turn = self.turn(app).await;
        // An earlier one may have been ended in the middle.
        self.clear_locks(app).await?;
        clear_leftovers(&self.dir(app)).map_err(SourceError::io("clean the repository"))?;
        let mut command = self.git.in_repository(&self.dir(app));
        for setting in FRUGAL {
            command.args(["-c", setting]);
        }
        command.args(["gc", "--quiet"]);
        // Before it: what fails or takes too long is not tried again all the time.
        std::fs::write(self.dir(app).join(MAINTAINED), "").map_err(SourceError::io("note the maintenance"))?;
        Running::start(command, turn)?.succeed("pack the repository").await
    }

    /// Removes the locks that a killed git left behind in the app's repository, as a power cut or the kernel may kill it: with one on a
    /// ref nobody can ever move it, and with one on all packed refs nothing can be forgotten or packed. Whether there was any.
    pub(crate) async fn clear_locks(&self, app: AppId) -> Result<bool, SourceError> {
        let dir = self.dir(app);
        blocking(move || locks::clear(&dir).map_err(SourceError::io("clear the repository's locks"))).await
    }

    /// Whether [`Repositories::maintain`] was not done for so long, and finds something to pack or to drop.
    pub async fn needs_maintenance(&self, app: AppId, rest: Duration) -> Result<bool, SourceError> {
        let dir = self.dir(app);
        let rested = age_of(&dir.join(MAINTAINED)).is_none_or(|age| age >= rest);
        blocking(move || Ok(rested && is_scattered(&dir.join("objects")))).await
    }

    /// Removes what killed processes left behind in the temporary folder: deploy keys, too. What another engine on the same folder
    /// uses at this moment is younger than what is removed.
    pub async fn sweep(&self) -> Result<(), SourceError> {
        let tmp = self.tmp();
        blocking(move || sweep_leftovers(&tmp).map_err(SourceError::io("sweep the temporary folder"))).await
    }

    /// The version that `git --version` reports, as in `2.47.3`.
    pub async fn git_version(&self) -> Result<String, SourceError> {
        let mut command = self.git.command();
        command.arg("--version");
        let text = self.git.run(command, "say its version").await?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.trim().trim_start_matches("git version ").to_owned())
    }

    /// Where the app's repository is, whether or not it exists.
    pub(crate) fn dir(&self, app: AppId) -> PathBuf {
        self.config.root.join(format!("{app}.git"))
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.config.root.join("tmp")
    }

    pub(crate) fn hooks(&self) -> PathBuf {
        self.config.root.join("hooks")
    }

    /// For a blocking thread.
    pub(crate) fn open(&self, app: AppId) -> Result<Repository, SourceError> {
        let dir = self.dir(app);
        if !dir.is_dir() {
            return Err(SourceError::NoRepository(app));
        }
        Ok(Repository::open_bare(dir)?)
    }

    /// Fetches into one repository take turns: git allows only one at a time to move the boundary of a shallow history.
    pub(crate) async fn turn(&self, app: AppId) -> Turn {
        let turns = Arc::clone(self.lock_turns().entry(app).or_default());
        Arc::new(turns.lock_owned().await)
    }

    fn lock_turns(&self) -> std::sync::MutexGuard<'_, HashMap<AppId, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn update_ref(
        &self,
        app: AppId,
        name: &str,
        commit: &CommitSha,
        action: &'static str,
    ) -> Result<(), SourceError> {
        let update = ["update-ref", "--no-deref", name, commit.as_str()];
        self.change_ref(app, &update, action).await
    }

    /// Changes a ref, if need be past the lock of a git that was killed.
    async fn change_ref(&self, app: AppId, change: &[&str], action: &'static str) -> Result<(), SourceError> {
        let change = async || {
            let mut command = self.git.in_repository(&self.dir(app));
            command.args(change);
            self.git.run(command, action).await.map(drop)
        };
        match change().await {
            Err(SourceError::Git { .. }) if self.clear_locks(app).await? => change().await,
            changed => changed,
        }
    }

    /// The folders beside the repositories, and the hook.
    pub(crate) fn prepare_root(&self) -> Result<(), SourceError> {
        close_to_others(&self.config.root).map_err(SourceError::io("create the repositories' folder"))?;
        for dir in [self.tmp(), self.hooks(), self.config.root.join("home")] {
            std::fs::create_dir_all(dir).map_err(SourceError::io("create the repositories' folder"))?;
        }
        link_hook(&self.hooks().join("proc-receive"), &self.config.hook, &self.tmp())
            .map_err(SourceError::io("install the push hook"))
    }
}

/// What apps are made of is nobody else's business on this machine: only the engine and its git, the same user, come in here.
fn close_to_others(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700))
}

/// Points `link` to the hook program, in one step, so that a push at the same time finds the old or the new one.
fn link_hook(link: &Path, program: &Path, tmp: &Path) -> io::Result<()> {
    if std::fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    let draft = tempfile::Builder::new().prefix("hook-").tempdir_in(tmp)?;
    let fresh = draft.path().join("proc-receive");
    std::os::unix::fs::symlink(program, &fresh)?;
    std::fs::rename(fresh, link)
}

fn apps_in(root: &Path) -> io::Result<Vec<AppId>> {
    let mut apps = Vec::new();
    for entry in entries(root)? {
        let name = entry.file_name();
        let app = name.to_str().and_then(|name| name.strip_suffix(".git"));
        apps.extend(app.and_then(|app| app.parse::<AppId>().ok()));
    }
    apps.sort();
    Ok(apps)
}

fn sweep_leftovers(tmp: &Path) -> io::Result<()> {
    for entry in entries(tmp)? {
        let path = entry.path();
        if age_of(&path).is_some_and(|age| age > LEFTOVER_AGE) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// None in a folder that is not there (any more).
pub(crate) fn entries(dir: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other?.collect(),
    }
}

/// The time since a file was written, or something in a folder came or went; none if it is not there, or was written in the future.
pub(crate) fn age_of(path: &Path) -> Option<Duration> {
    let written = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(written).ok()
}

/// Whether objects lie about singly or in several packs. Maintenance leaves one pack, and those who have no ref until their time is over.
fn is_scattered(objects: &Path) -> bool {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    };
    let packs = names(&objects.join("pack")).filter(|name| name.ends_with(".pack"));
    packs.count() > 1
        || names(objects)
            .filter(|name| name.len() == 2)
            .any(|name| names(&objects.join(name)).next().is_some())
}

fn deployment_ref(deployment: DeploymentId) -> String {
    format!("{DEPLOYMENTS}{deployment}")
}

/// Branch, then tag, then full ref, then commit id; annotated tags are followed to their commit.
pub(crate) fn commit_of(repository: &Repository, reference: &GitRef) -> Option<CommitSha> {
    let named = [
        format!("refs/heads/{reference}"),
        format!("refs/tags/{reference}"),
        reference.to_string(),
    ];
    named
        .iter()
        .filter(|name| name.starts_with("refs/") && !name.starts_with("refs/windlass/"))
        .find_map(|name| repository.find_reference(name).ok()?.peel_to_commit().ok())
        .or_else(|| commit_by_id(repository, reference.as_str()))
        .and_then(|commit| commit.id().to_string().parse().ok())
}

/// A commit by its id, or by at least seven digits of it.
pub(crate) fn commit_by_id<'repo>(repository: &'repo Repository, id: &str) -> Option<git2::Commit<'repo>> {
    is_commit_id(id)
        .then(|| repository.find_commit_by_prefix(id).ok())
        .flatten()
}

/// Whether a ref may be a commit id, in whole or in part.
pub(crate) fn is_commit_id(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_leftovers_are_swept() {
        let tmp = tempfile::tempdir().unwrap();
        let [killed, at_work] = ["fetch-killed", "fetch-at-work"].map(|name| tmp.path().join(name));
        for folder in [&killed, &at_work] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("key"), "secret").unwrap();
        }
        let long_ago = SystemTime::now() - LEFTOVER_AGE * 2;
        std::fs::File::open(&killed).unwrap().set_modified(long_ago).unwrap();
        sweep_leftovers(tmp.path()).unwrap();
        assert!(!killed.exists() && at_work.join("key").exists());
        assert!(sweep_leftovers(&tmp.path().join("not-there")).is_ok());
    }

    #[test]
    fn a_root_that_was_open_is_closed_to_other_users() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("repositories");
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        close_to_others(&root).unwrap();
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
