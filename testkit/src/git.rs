//! The developer's git, and a git server for apps that are fetched.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Command as AsyncCommand;

use crate::{Output, Push, files::Files, run, wait_until};

/// A checkout in a temporary directory, on the branch `main`.
#[derive(Debug)]
pub struct GitRepo {
    directory: TempDir,
}

impl Default for GitRepo {
    fn default() -> Self {
        Self::new()
    }
}

impl GitRepo {
    /// An empty repository.
    ///
    /// # Panics
    /// When git cannot make it.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let mut init = Command::new("git");
        isolate(&mut init)
            .args(["init", "-q", "-b", "main"])
            .current_dir(directory.path());
        assert!(init.status().expect("git is installed").success());
        Self { directory }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs git in it.
    pub async fn git(&self, args: &[&str]) -> Output {
        run(&mut self.command(args)).await
    }

    /// A git command in it that is yet to be run.
    pub fn command(&self, args: &[&str]) -> AsyncCommand {
        let mut command = Command::new("git");
        isolate(&mut command).args(args).current_dir(self.path());
        command.into()
    }

    /// Commits these files in place of all that were there, and gives the commit's id.
    pub async fn commit(&self, files: &Files) -> String {
        for entry in fs::read_dir(self.path())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name() != ".git")
        {
            let path = entry.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.unwrap();
        }
        for (path, content, program) in files.iter() {
            let path = self.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(if program { 0o755 } else { 0o644 })).unwrap();
        }
        self.git(&["add", "-A"]).await.must_succeed();
        self.git(&["commit", "-q", "--allow-empty", "-m", "A change"])
            .await
            .must_succeed();
        self.git(&["rev-parse", "HEAD"]).await.must_succeed()
    }

    /// Pushes a refspec, with push options.
    pub async fn push(&self, url: &str, refspec: &str, options: &[&str]) -> Push {
        let options: Vec<String> = options.iter().map(|option| format!("--push-option={option}")).collect();
        let mut args = vec!["push"];
        args.extend(options.iter().map(String::as_str));
        args.extend([url, refspec]);
        let output = self.git(&args).await;
        Push {
            ok: output.ok,
            output: output.text(),
        }
    }
}

/// Keeps the tester's own git configuration and prompts out of it.
fn isolate(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("GIT_")) {
            command.env_remove(name);
        }
    }
    command
        .envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ])
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
        .envs([
            ("GIT_COMMITTER_NAME", "Ada"),
            ("GIT_COMMITTER_EMAIL", "ada@example.com"),
        ])
}

/// Repositories served over HTTP from this machine, by git's own `http-backend`.
#[derive(Debug)]
pub struct GitServer {
    directory: TempDir,
    port: u16,
    httpd: Child,
}

impl GitServer {
    /// Serves an empty repository `shop.git` at this port of 127.0.0.1.
    pub async fn start(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cgi = directory.path().join("www/cgi-bin");
        fs::create_dir_all(&cgi).unwrap();
        let script = format!(
            "#!/bin/sh\nexport GIT_PROJECT_ROOT='{}' GIT_HTTP_EXPORT_ALL=1\nexec git http-backend\n",
            directory.path().display()
        );
        fs::write(cgi.join("git"), script).unwrap();
        fs::set_permissions(cgi.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut init = Command::new("git");
        isolate(&mut init)
            .args(["init", "-q", "--bare", "-b", "main"])
            .arg(directory.path().join("shop.git"));
        assert!(init.status().unwrap().success());
        let httpd = Command::new("busybox")
            .args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"])
            .arg(directory.path().join("www"))
            .stderr(Stdio::null())
            .spawn()
            .expect("busybox is installed");
        let server = Self { directory, port, httpd };
        wait_until("the git server listens", Duration::from_secs(10), || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        server
    }

    /// The address to fetch from.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/cgi-bin/git/shop.git", self.port)
    }

    /// Puts the checkout's `HEAD` onto a branch of the served repository.
    pub async fn receive(&self, repo: &GitRepo, branch: &str) {
        let path = self.directory.path().join("shop.git");
        repo.push(path.to_str().unwrap(), &format!("+HEAD:refs/heads/{branch}"), &[])
            .await
            .must_succeed();
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.httpd.kill();
        let _ = self.httpd.wait();
    }
}
