//! `git push` with the real git, over the network, through the real hook.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::process::Command;
use windlass_domain::{Failure, FailureCode};
use windlass_store::Outcome;

use crate::{
    support::{Api, eventually, with_api},
    worker::claim,
};

/// A working copy with one commit, whose remote is an app.
struct Work {
    dir: PathBuf,
}

struct Said {
    ok: bool,
    text: String,
}

impl Work {
    async fn of(api: &Api, token: &str) -> Self {
        let work = Self {
            dir: api.folder.path().join(format!("work-{}", uuid::Uuid::now_v7())),
        };
        std::fs::create_dir(&work.dir).unwrap();
        work.git(&["init", "-q", "-b", "main"]).await;
        work.git(&[
            "remote",
            "add",
            "windlass",
            &format!("http://any:{token}@{}/git/shop.git", api.address),
        ])
        .await;
        work.commit("Sell umbrellas").await;
        work
    }

    async fn commit(&self, message: &str) {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]).await;
    }

    /// Adds a file that no compression makes smaller than a JSON body may be.
    async fn grow(&self, bytes: usize) {
        let mut noise = vec![0; bytes];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
        std::fs::write(self.dir.join("noise"), noise).unwrap();
        self.git(&["add", "noise"]).await;
        self.git(&["commit", "-q", "--amend", "--no-edit"]).await;
    }

    async fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).await.trim().to_owned()
    }

    async fn git(&self, args: &[&str]) -> String {
        let said = self.try_git(args).await;
        assert!(said.ok, "git {args:?}: {}", said.text);
        said.text
    }

    async fn try_git(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        Said {
            ok: output.status.success(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/git");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

async fn deployments(api: &Api) -> Vec<Value> {
    let list = api.get("/apps/shop/deployments").await.must_be(200);
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_push_shows_the_log_and_ends_when_the_app_is_live() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        let worker = async {
            let held = claim(&api.store).await;
            held.say("-----> Building with the Dockerfile").await;
            held.succeed().await;
        };
        let (said, ()) = tokio::join!(work.try_git(&["push", "windlass", "main"]), worker);
        assert!(said.ok, "{}", said.text);
        let head = work.head().await;
        let found = &deployments(&api).await[0];
        let queued = format!(
            "remote: -----> Deployment {} of {} queued",
            found["id"].as_str().unwrap(),
            &head[..8]
        );
        let live = "remote: =====> http://shop.apps.example.com is live (v1)";
        let places =
            [queued.as_str(), "remote: -----> Building with the Dockerfile", live].map(|line| said.text.find(line));
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{}",
            said.text
        );
        assert_eq!(found["kind"], json!({"type": "push", "commit": head}));
        assert_eq!(
            (&found["trigger"], &found["message"]),
            (&json!("push"), &json!("Sell umbrellas"))
        );
        let app = found["id"].as_str().unwrap();
        let kept = std::fs::read_dir(api.folder.path().join("repositories")).unwrap();
        let bare = kept
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().ends_with(".git"))
            .unwrap();
        let refs = work
            .git(&["--git-dir", bare.path().to_str().unwrap(), "for-each-ref"])
            .await;
        assert!(refs.contains(&format!("refs/windlass/deployments/{app}")), "{refs}");
        // The worker moves the branch when the commit is live; there is none here.
        assert!(!refs.contains("refs/heads/main"), "{refs}");
    })
    .await;
}

#[tokio::test]
async fn a_failed_deployment_fails_the_push() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        let failure = Failure::new(FailureCode::BuildFailed, "The build failed.", "run `make` here")
            .with_evidence(["exit code 2".to_owned()]);
        let worker = async { claim(&api.store).await.fail(failure).await };
        let (said, ()) = tokio::join!(work.try_git(&["push", "windlass", "HEAD:main"]), worker);
        assert!(!said.ok);
        for line in [
            "remote:  !     The build failed.",
            "exit code 2",
            "Next: run `make` here",
            "[remote rejected]",
            "(The build failed.)",
        ] {
            assert!(said.text.contains(line), "{line}: {}", said.text);
        }
        for (outcome, reason) in [(Outcome::Cancelled, "cancelled")] {
            let worker = async { claim(&api.store).await.finish(outcome).await };
            let (said, ()) = tokio::join!(work.try_git(&["push", "windlass", "HEAD:master"]), worker);
            assert!(!said.ok && said.text.contains(reason), "{}", said.text);
        }
    })
    .await;
}

#[tokio::test]
async fn a_newer_push_supersedes_one_that_waits() {
    with_api(|api| async move {
        api.app("shop").await;
        let (old, new) = (Work::of(&api, &api.token).await, Work::of(&api, &api.token).await);
        new.commit("Newer").await;
        let newer = async {
            eventually("the first push waits", || async {
                (deployments(&api).await.len() == 1).then_some(())
            })
            .await;
            new.try_git(&["push", "windlass", "main"]).await
        };
        let worker = async {
            eventually("both pushes wait", || async {
                (deployments(&api).await.len() == 2).then_some(())
            })
            .await;
            claim(&api.store).await.succeed().await;
        };
        let (first, second, ()) = tokio::join!(old.try_git(&["push", "windlass", "main"]), newer, worker);
        assert!(!first.ok && first.text.contains("superseded by dpl_"), "{}", first.text);
        assert!(second.ok, "{}", second.text);
    })
    .await;
}

#[tokio::test]
async fn a_commit_can_be_stored_and_deployed_later() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        work.grow(3 << 20).await;
        let pushed = work.git(&["push", "-o", "no-deploy", "windlass", "main"]).await;
        assert!(pushed.contains("Stored without a deployment"), "{pushed}");
        assert!(deployments(&api).await.is_empty());
        let head = work.head().await;
        let by_commit = api
            .post("/apps/shop/deployments", json!({"commit": head}))
            .await
            .must_be(202);
        assert_eq!(
            (&by_commit["kind"]["type"], &by_commit["message"]),
            (&json!("push"), &json!("Sell umbrellas"))
        );
        let by_branch = api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        assert_eq!(
            (&by_branch["commit"], &by_branch["reference"]),
            (&json!(head), &json!("main"))
        );
        let clone = work.dir.join("clone");
        let address = format!("http://any:{}@{}/git/shop", api.token, api.address);
        work.git(&["clone", "-q", &address, clone.to_str().unwrap()]).await;
        assert!(clone.join(".git").is_dir());
    })
    .await;
}

#[tokio::test]
async fn a_push_need_not_wait() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        let pushed = work
            .git(&["push", "-o", "detach", "-o", "ci.skip", "windlass", "main"])
            .await;
        assert!(
            pushed.contains("It goes on by itself") && pushed.contains("`ci.skip` is not known"),
            "{pushed}"
        );
        assert_eq!(deployments(&api).await[0]["status"], "pending");
    })
    .await;
}

#[tokio::test]
async fn other_refs_are_stored_and_the_user_is_told() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        let pushed = work
            .git(&["push", "windlass", "HEAD:refs/heads/feature", "HEAD:refs/tags/v1"])
            .await;
        assert!(
            pushed.contains("only main is deployed: git push windlass HEAD:main"),
            "{pushed}"
        );
        assert!(deployments(&api).await.is_empty());
        let listed = work.git(&["ls-remote", "windlass"]).await;
        assert!(
            listed.contains("refs/heads/feature") && listed.contains("refs/tags/v1"),
            "{listed}"
        );
        work.git(&["push", "-o", "no-deploy", "windlass", "main"]).await;
        let deletion = work.try_git(&["push", "windlass", ":main"]).await;
        assert!(
            !deletion.ok && deletion.text.contains("cannot be deleted"),
            "{}",
            deletion.text
        );
        work.git(&["push", "windlass", ":feature"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_deployment() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        let mut client = work
            .command(&["push", "windlass", "main"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let held = claim(&api.store).await;
        client.kill().await.unwrap();
        held.say("-----> Nobody reads this").await;
        held.succeed().await;
        assert_eq!(deployments(&api).await[0]["status"], "succeeded");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_says_that_the_deployment_goes_on() {
    with_api(|api| async move {
        api.app("shop").await;
        let work = Work::of(&api, &api.token).await;
        let stop = async {
            let held = claim(&api.store).await;
            api.shutdown.cancel();
            held
        };
        let (said, held) = tokio::join!(work.try_git(&["push", "windlass", "main"]), stop);
        assert!(
            !said.ok && said.text.contains("The deployment goes on by itself"),
            "{}",
            said.text
        );
        held.succeed().await;
    })
    .await;
}

#[tokio::test]
async fn a_push_needs_a_token_of_the_apps_team() {
    with_api(|api| async move {
        api.app("shop").await;
        let wrong = Work::of(&api, "wl_wrong")
            .await
            .try_git(&["push", "windlass", "main"])
            .await;
        assert!(
            !wrong.ok && wrong.text.contains("Authentication failed"),
            "{}",
            wrong.text
        );
        let stranger = Work::of(&api, &api.stranger)
            .await
            .try_git(&["push", "windlass", "main"])
            .await;
        assert!(
            !stranger.ok && stranger.text.contains("there is no app `shop`"),
            "{}",
            stranger.text
        );
        assert!(deployments(&api).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_hook_without_a_ticket_decides_nothing() {
    with_api(|api| async move {
        api.app("shop").await;
        let mut socket = tokio::net::UnixStream::connect(api.folder.path().join("hook.sock"))
            .await
            .unwrap();
        let hello = json!({
            "ticket": "0".repeat(64), "options": [],
            "updates": [{"old": "0".repeat(40), "new": "1".repeat(40), "name": "refs/heads/main"}],
        });
        tokio::io::AsyncWriteExt::write_all(&mut socket, format!("{hello}\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer)
            .await
            .unwrap();
        assert_eq!(answer, "{\"verdict\":[{\"rejected\":\"this push is not allowed\"}]}\n");
        assert!(deployments(&api).await.is_empty());
    })
    .await;
}
