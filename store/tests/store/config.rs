use std::collections::BTreeMap;

use windlass_domain::{ConfigKey, DeploymentKind, Secret};

use crate::support::with_db;

fn changes(pairs: &[(&str, Option<&str>)]) -> BTreeMap<ConfigKey, Option<Secret<String>>> {
    let pair = |(key, value): &(&str, Option<&str>)| (key.parse().unwrap(), value.map(Secret::from));
    pairs.iter().map(pair).collect()
}

#[tokio::test]
async fn a_patch_makes_a_new_version_only_when_it_changes_something() {
    with_db(|db| async move {
        let app = db.app("shop").await.id;
        let patch = async |pairs: &[_]| {
            let patched = db.store.patch_config(db.team, app, &changes(pairs), db.by).await;
            patched.unwrap().unwrap()
        };
        assert_eq!(db.store.config(db.team, app).await.unwrap().version, 0);
        let first = patch(&[("A", Some("1")), ("B", Some("2"))]).await;
        assert_eq!((first.config.version, first.changed), (1, true));
        assert!(first.deployment.is_none(), "nothing is live yet");
        let same = patch(&[("A", Some("1")), ("MISSING", None)]).await;
        assert_eq!((same.config.version, same.changed), (1, false));
        let second = patch(&[("A", None), ("B", Some("3"))]).await;
        assert_eq!((second.config.version, second.changed), (2, true));
        let vars = |config: windlass_store::Config| {
            let pair = |(key, value): (ConfigKey, Secret<String>)| format!("{key}={}", value.expose());
            config.vars.into_iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(vars(db.store.config(db.team, app).await.unwrap()), ["B=3"]);
        assert_eq!(vars(db.store.config_at(app, 1).await.unwrap()), ["A=1", "B=2"]);
        assert_eq!(vars(db.store.config_at(app, 0).await.unwrap()), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_change_is_deployed_when_a_release_is_live() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.deployed(&app).await;
        let change = changes(&[("A", Some("1"))]);
        let patched = db
            .store
            .patch_config(db.team, app.id, &change, db.by)
            .await
            .unwrap()
            .unwrap();
        let deployment = patched.deployment.unwrap();
        assert_eq!(deployment.kind, DeploymentKind::Config);
        assert!(deployment.commit.is_some());
        let again = db
            .store
            .patch_config(db.team, app.id, &change, db.by)
            .await
            .unwrap()
            .unwrap();
        assert!(!again.changed && again.deployment.is_none());
        assert_eq!(db.claim().await.unwrap().deployment.id, deployment.id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_at_once_lose_nothing() {
    with_db(|db| async move {
        let app = db.app("shop").await.id;
        let patches: Vec<_> = (0..8)
            .map(|n| {
                let (store, team, by) = (db.store.clone(), db.team, db.by);
                let change = changes(&[(format!("K{n}").as_str(), Some("v"))]);
                tokio::spawn(async move { store.patch_config(team, app, &change, by).await.unwrap().unwrap() })
            })
            .collect();
        for patch in patches {
            patch.await.unwrap();
        }
        let config = db.store.config(db.team, app).await.unwrap();
        assert_eq!((config.version, config.vars.len()), (8, 8));
    })
    .await;
}

#[tokio::test]
async fn values_are_not_in_the_database_in_plain() {
    with_db(|db| async move {
        let app = db.app("shop").await.id;
        let change = changes(&[("PASSWORD", Some("correct horse battery"))]);
        db.store.patch_config(db.team, app, &change, db.by).await.unwrap();
        let sealed: Vec<u8> = sqlx::query_scalar("select sealed from config_versions")
            .fetch_one(&db.raw)
            .await
            .unwrap();
        let shown = String::from_utf8_lossy(&sealed);
        assert!(!shown.contains("horse") && !shown.contains("PASSWORD"), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn sealed_vars_that_were_moved_to_another_app_are_refused() {
    with_db(|db| async move {
        let (one, two) = (db.app("one").await.id, db.app("two").await.id);
        for app in [one, two] {
            let change = changes(&[("APP", Some(app.to_string().as_str()))]);
            db.store.patch_config(db.team, app, &change, db.by).await.unwrap();
        }
        sqlx::query("update config_versions set sealed = (select sealed from config_versions where app_id = $1)")
            .bind(one.uuid())
            .execute(&db.raw)
            .await
            .unwrap();
        assert!(db.store.config(db.team, one).await.is_ok());
        let moved = db.store.config(db.team, two).await.unwrap_err();
        assert!(matches!(moved, windlass_store::StoreError::Sealed(_)), "{moved:?}");
    })
    .await;
}

#[tokio::test]
async fn a_change_during_the_first_deployment_is_deployed_after_it() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.push(&app).await;
        let set = async |value| {
            let change = changes(&[("A", Some(value))]);
            let patched = db.store.patch_config(db.team, app.id, &change, db.by).await;
            patched.unwrap().unwrap().deployment
        };
        assert!(set("1").await.is_none(), "what waits will read it");
        let claim = db.claim().await.unwrap();
        let release = db.build(&claim).await;
        let deployment = set("2").await.unwrap();
        assert_eq!((deployment.kind, deployment.commit), (DeploymentKind::Config, None));
        db.go_live(&claim, &release).await;
        assert_eq!(db.claim().await.unwrap().deployment.id, deployment.id);
    })
    .await;
}

#[tokio::test]
async fn a_change_waits_for_a_claim_that_is_being_made() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let id = db.push(&app).await.id;
        let mut claim = db.raw.begin().await.unwrap();
        sqlx::query("update deployments set status = 'running', attempt = 1 where id = $1")
            .bind(id.uuid())
            .execute(&mut *claim)
            .await
            .unwrap();
        let (store, team, by) = (db.store.clone(), db.team, db.by);
        let patch = tokio::spawn(async move {
            let change = changes(&[("A", Some("1"))]);
            store.patch_config(team, app.id, &change, by).await.unwrap().unwrap()
        });
        db.until(
            "select exists (select from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock')",
        )
        .await;
        claim.commit().await.unwrap();
        assert!(patch.await.unwrap().deployment.is_some());
    })
    .await;
}
