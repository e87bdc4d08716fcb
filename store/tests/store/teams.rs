//! Another team sees and changes nothing, whatever it asks.

use std::{collections::BTreeMap, fmt::Debug};

use windlass_domain::{InstanceId, InstanceState, LogSource, ProcessType, Secret};
use windlass_store::{
    CancelOutcome, InstanceEnd, NewInstance, NewRunLog, Page, RollbackError, RunLogBatch, ScaleError,
};

use crate::support::{Db, new_deployment, push, with_db};

/// One question and whether its answer is "there is no such thing".
struct Asked {
    what: &'static str,
    sees_nothing: bool,
    shown: String,
}

fn asked<T: Debug>(what: &'static str, answer: T, sees_nothing: impl FnOnce(&T) -> bool) -> Asked {
    Asked {
        what,
        sees_nothing: sees_nothing(&answer),
        shown: format!("{answer:?}"),
    }
}

/// An app with a little of everything: release, config, instance, logs, formation and a running deployment.
async fn full_app(db: &Db) -> (windlass_store::AppRow, windlass_store::DeploymentRow) {
    let app = db.app("shop").await;
    let vars = BTreeMap::from([("A".parse().unwrap(), Some(Secret::from("1")))]);
    db.store.patch_config(db.team, app.id, &vars, db.by).await.unwrap();
    db.deployed(&app).await;
    let release = db.deployed(&app).await;
    db.store
        .scale(db.team, app.id, &BTreeMap::from([(ProcessType::web(), 2)]))
        .await
        .unwrap();
    let instance = NewInstance {
        id: InstanceId::generate(),
        app: app.id,
        release: release.id,
        process: ProcessType::web(),
        n: 1,
        restart_seq: 0,
    };
    db.start(instance.clone()).await;
    set_state(db, instance.id, InstanceState::Healthy).await;
    for _ in 0..3 {
        let ended = NewInstance {
            id: InstanceId::generate(),
            ..instance.clone()
        };
        db.start(ended.clone()).await;
        set_state(db, ended.id, InstanceState::Crashed).await;
    }
    let line = NewRunLog {
        at: chrono::Utc::now(),
        stream: "stdout".to_owned(),
        text: "hello".to_owned(),
    };
    let batch = RunLogBatch {
        app: app.id,
        instance: instance.id,
        instance_name: "shop-web-v2-1".to_owned(),
        process: instance.process,
        lines: vec![line],
        from_ns: 0,
        cursor_ns: 1,
        max_lines: 100,
        max_bytes: 1 << 20,
    };
    db.store.append_run_log(&batch).await.unwrap();
    let deployment = db.push(&app).await;
    db.claim().await.unwrap();
    let step = windlass_domain::Step::Fetch;
    assert!(db.store.enter_step(deployment.id, 1, step).await.unwrap());
    db.store
        .append_deployment_log(deployment.id, &[(LogSource::Build, "x".to_owned())])
        .await
        .unwrap();
    (app, deployment)
}

async fn set_state(db: &Db, instance: InstanceId, state: InstanceState) {
    let end = InstanceEnd::default();
    assert!(
        db.store
            .set_instance_state(db.keeper, instance, state, end)
            .await
            .unwrap()
    );
}

async fn reads(db: &Db, team: windlass_domain::TeamId) -> Vec<Asked> {
    let app = db.store.app(db.team, &"shop".parse().unwrap()).await.unwrap().unwrap();
    let deployments = db
        .store
        .list_deployments(db.team, app.id, Page::default())
        .await
        .unwrap();
    let (id, deployment, page, store) = (app.id, deployments.items[0].id, Page::default(), &db.store);
    let one = windlass_domain::ReleaseVersion(1);
    vec![
        asked("list_tokens", store.list_tokens(team).await.unwrap(), Vec::is_empty),
        asked("list_apps", store.list_apps(team, page).await.unwrap(), |p| {
            p.items.is_empty()
        }),
        asked("app", store.app(team, &app.name).await.unwrap(), Option::is_none),
        asked("app_by_id", store.app_by_id(team, id).await.unwrap(), Option::is_none),
        asked(
            "webhook_secret",
            store.webhook_secret(team, id).await.unwrap(),
            Option::is_none,
        ),
        asked("config", store.config(team, id).await.unwrap(), |c| {
            c.version == 0 && c.vars.is_empty()
        }),
        asked(
            "list_deployments",
            store.list_deployments(team, id, page).await.unwrap(),
            |p| p.items.is_empty(),
        ),
        asked(
            "deployment",
            store.deployment(team, id, deployment).await.unwrap(),
            Option::is_none,
        ),
        asked(
            "deployment_steps",
            store.deployment_steps(team, deployment).await.unwrap(),
            Vec::is_empty,
        ),
        asked(
            "deployment_log",
            store.deployment_log(team, deployment, 0, 9).await.unwrap(),
            Vec::is_empty,
        ),
        asked(
            "list_releases",
            store.list_releases(team, id, page).await.unwrap(),
            |p| p.items.is_empty(),
        ),
        asked("release", store.release(team, id, one).await.unwrap(), Option::is_none),
        asked(
            "list_all_instances",
            store.list_all_instances(team, id).await.unwrap(),
            Vec::is_empty,
        ),
        asked(
            "list_instances",
            store.list_instances(team, id).await.unwrap(),
            Vec::is_empty,
        ),
        asked("formation", store.formation(team, id).await.unwrap(), Vec::is_empty),
        asked(
            "quantities",
            store.quantities(team, id).await.unwrap(),
            BTreeMap::is_empty,
        ),
        asked("crash_loops", store.crash_loops(team, id).await.unwrap(), Vec::is_empty),
        asked(
            "last_starts",
            store.last_starts(team, id, &ProcessType::web(), 9).await.unwrap(),
            Vec::is_empty,
        ),
        asked(
            "run_log_tail",
            store.run_log_tail(team, id, None, 9).await.unwrap(),
            Vec::is_empty,
        ),
        asked(
            "run_log_after",
            store.run_log_after(team, id, None, 0, 9).await.unwrap(),
            Vec::is_empty,
        ),
    ]
}

async fn writes(db: &Db, team: windlass_domain::TeamId) -> Vec<Asked> {
    let app = db.store.app(db.team, &"shop".parse().unwrap()).await.unwrap().unwrap();
    let deployments = db
        .store
        .list_deployments(db.team, app.id, Page::default())
        .await
        .unwrap();
    let (id, deployment, store, by) = (app.id, deployments.items[0].id, &db.store, db.by);
    let vars = BTreeMap::from([("B".parse().unwrap(), Some(Secret::from("2")))]);
    let three = BTreeMap::from([(ProcessType::web(), 3)]);
    let no_app = |error: &ScaleError| matches!(error, ScaleError::NoSuchApp);
    vec![
        asked("revoke_token", store.revoke_token(team, by).await.unwrap(), |done| {
            !done
        }),
        asked(
            "update_app",
            store.update_app(team, id, &app.settings).await.unwrap(),
            Option::is_none,
        ),
        asked("delete_app", store.delete_app(team, id).await.unwrap(), |done| !done),
        asked(
            "set_webhook_secret",
            store.set_webhook_secret(team, id, &"x".into()).await.unwrap(),
            |done| !done,
        ),
        asked(
            "patch_config",
            store.patch_config(team, id, &vars, by).await.unwrap(),
            Option::is_none,
        ),
        asked(
            "create_deployment",
            store.create_deployment(team, id, new_deployment(push())).await.unwrap(),
            Option::is_none,
        ),
        asked(
            "request_cancel",
            store.request_cancel(team, id, deployment, by).await.unwrap(),
            |outcome| *outcome == CancelOutcome::NotFound,
        ),
        asked(
            "create_rollback",
            store.create_rollback(team, id, None, by).await.unwrap_err(),
            |error| matches!(error, RollbackError::NoSuchApp),
        ),
        asked("scale", store.scale(team, id, &three).await.unwrap_err(), no_app),
        asked(
            "check_scale",
            store.check_scale(team, id, &three).await.unwrap_err(),
            no_app,
        ),
        asked("restart", store.restart(team, id, None).await.unwrap_err(), no_app),
    ]
}

#[tokio::test]
async fn another_team_sees_nothing() {
    with_db(|db| async move {
        full_app(&db).await;
        let other = db.other_team().await;
        for asked in reads(&db, other).await {
            assert!(asked.sees_nothing, "{} shows {}", asked.what, asked.shown);
        }
        // The owner sees all of it, so that the test above means something.
        for asked in reads(&db, db.team).await {
            assert!(!asked.sees_nothing, "{} shows its owner nothing", asked.what);
        }
    })
    .await;
}

#[tokio::test]
async fn another_team_changes_nothing() {
    with_db(|db| async move {
        let (app, deployment) = full_app(&db).await;
        let other = db.other_team().await;
        let before: Vec<_> = reads(&db, db.team).await.into_iter().map(|asked| asked.shown).collect();
        for asked in writes(&db, other).await {
            assert!(asked.sees_nothing, "{} answers {}", asked.what, asked.shown);
        }
        let after: Vec<_> = reads(&db, db.team).await.into_iter().map(|asked| asked.shown).collect();
        assert_eq!(before, after);
        assert!(!db.get(&deployment).await.cancel_requested);
        let secret = db.store.webhook_secret(db.team, app.id).await.unwrap().unwrap();
        assert_eq!(secret.expose(), "the webhook secret");
    })
    .await;
}
