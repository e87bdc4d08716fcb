//! Releases within their watch window, and the way back.

use std::collections::BTreeMap;

use windlass_domain::{
    DeploymentKind, DeploymentStatus, InstanceId, InstanceState, ProcessType, ReleaseVersion, Secret,
};
use windlass_store::{
    AppRow, CondemnedRelease, DeploymentRow, InstanceEnd, NewInstance, Outcome, ReleaseRow, Trigger, WatchedRelease,
};

use crate::support::{Db, with_db};

const V1: ReleaseVersion = ReleaseVersion(1);

async fn watched(db: &Db) -> Vec<WatchedRelease> {
    db.store.watched_releases().await.unwrap()
}

async fn condemn(db: &Db, release: &WatchedRelease) -> bool {
    db.store.condemn(release, "it ended twice").await.unwrap()
}

async fn condemned(db: &Db) -> Vec<CondemnedRelease> {
    db.store.condemned_releases().await.unwrap()
}

/// Judges a release and asks for its rollback; whether one is on its way by that.
async fn judge(db: &Db, release: &WatchedRelease) -> bool {
    condemn(db, release).await;
    let mut asked = false;
    for condemned in condemned(db).await {
        asked |= db.store.roll_back_condemned(&condemned).await.unwrap().is_some();
    }
    asked
}

/// A bad v2 of `shop` is live and judged, and a push that may be its cure waits.
async fn condemned_with_a_cure(db: &Db) -> (WatchedRelease, DeploymentRow) {
    let app = db.app("shop").await;
    db.deployed(&app).await;
    db.deployed(&app).await;
    let bad = watched(db).await.remove(0);
    let cure = db.push(&app).await;
    assert!(condemn(db, &bad).await);
    (bad, cure)
}

/// The live release gets through its watch window.
async fn window_ends(db: &Db) {
    db.raw_do("update app_states set live_since = live_since - interval '61 seconds'")
        .await;
}

async fn way_back(db: &Db) -> Option<i32> {
    let version = "select r.version from app_states s join releases r on r.id = s.previous_release_id";
    sqlx::query_scalar(version).fetch_optional(&db.raw).await.unwrap()
}

async fn start(db: &Db, app: &AppRow, release: &ReleaseRow) -> InstanceId {
    let new = NewInstance {
        id: InstanceId::generate(),
        app: app.id,
        release: release.id,
        process: ProcessType::web(),
        n: 1,
        restart_seq: 0,
    };
    db.start(new).await.id
}

async fn crash(db: &Db, instance: InstanceId) {
    let end = InstanceEnd {
        exit_code: Some(1),
        reason: None,
    };
    assert!(
        db.store
            .set_instance_state(db.keeper, instance, InstanceState::Crashed, end)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn the_way_back_leads_past_a_release_that_had_trouble_in_its_window() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.deployed(&app).await;
        assert_eq!(way_back(&db).await, None);
        let second = db.deployed(&app).await;
        assert_eq!(way_back(&db).await, Some(1));
        let instance = start(&db, &app, &second).await;
        crash(&db, instance).await;
        db.deployed(&app).await;
        assert_eq!(way_back(&db).await, Some(1), "v2 had trouble");
        db.deployed(&app).await;
        assert_eq!(way_back(&db).await, Some(3), "v3 had none until it was replaced");
        let fifth = db.deployed(&app).await;
        let instance = start(&db, &app, &fifth).await;
        crash(&db, instance).await;
        window_ends(&db).await;
        db.deployed(&app).await;
        assert_eq!(way_back(&db).await, Some(5), "v5 got through its window all the same");
        db.raw_do("update apps set settings = jsonb_set(settings, '{watch,seconds}', '0')")
            .await;
        let seventh = db.deployed(&app).await;
        let instance = start(&db, &app, &seventh).await;
        crash(&db, instance).await;
        db.deployed(&app).await;
        assert_eq!(way_back(&db).await, Some(7), "whoever is not watched counts at once");
    })
    .await;
}

#[tokio::test]
async fn a_release_is_watched_for_as_long_as_its_own_settings_say() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        start(&db, &app, &first).await;
        assert_eq!(watched(&db).await, [], "there is no way back from the first");
        let second = db.deployed(&app).await;
        let before = start(&db, &app, &second).await;
        crash(&db, before).await;
        db.raw_do("update instances set finished_at = finished_at - interval '1 minute'")
            .await;
        let runs = start(&db, &app, &second).await;
        let seen = watched(&db).await;
        let [one] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((one.release, one.version), (second.id, ReleaseVersion(2)));
        assert_eq!(
            (one.crashes, one.watch),
            (0, second.settings.watch),
            "it was not live when that one ended"
        );
        let mut instances = one.instances.clone();
        instances.sort();
        assert_eq!(instances, [before, runs]);
        crash(&db, runs).await;
        assert_eq!(watched(&db).await[0].crashes, 1);

        window_ends(&db).await;
        assert_eq!(watched(&db).await, []);
        db.raw_do("update apps set settings = jsonb_set(settings, '{watch,seconds}', '0')")
            .await;
        db.deployed(&app).await;
        assert_eq!(watched(&db).await, [], "not at all");
        db.raw_do("update apps set settings = jsonb_set(settings, '{watch,seconds}', '600')")
            .await;
        db.deployed(&app).await;
        window_ends(&db).await;
        assert_eq!(watched(&db).await.len(), 1);
        db.store.delete_app(db.team, app.id).await.unwrap();
        assert_eq!(watched(&db).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_release_is_rolled_back_once_however_many_ask() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let first = db.deployed(&app).await;
        db.deployed(&app).await;
        let bad = watched(&db).await.remove(0);
        let (one, two) = tokio::join!(judge(&db, &bad), judge(&db, &bad));
        assert_eq!((one || two, one && two), (true, false));
        assert_eq!(watched(&db).await, [], "it is judged");

        let claim = db.claim().await.unwrap();
        let deployment = &claim.deployment;
        assert_eq!(deployment.kind, DeploymentKind::Rollback { to: V1 });
        assert_eq!(
            (deployment.trigger, &deployment.commit),
            (Trigger::Watch, &first.commit)
        );
        let said = "v2 is rolled back by itself: it ended twice";
        assert_eq!(deployment.message.as_deref(), Some(said));
        let log = db.store.deployment_log(db.team, deployment.id, 0, 10).await.unwrap();
        assert!(log[0].text.contains(said), "{log:?}");

        let back = db.build(&claim).await;
        db.go_live(&claim, &back).await;
        assert_eq!(
            watched(&db).await,
            [],
            "a rollback is not watched: that would lead back and forth"
        );
        assert_eq!(way_back(&db).await, Some(1), "the bad one is nothing to go back to");
        assert!(!judge(&db, &bad).await, "it is not live any more");
    })
    .await;
}

#[tokio::test]
async fn a_bad_release_is_left_to_an_open_deployment_and_rolled_back_if_that_is_no_cure() {
    with_db(|db| async move {
        let (bad, cure) = condemned_with_a_cure(&db).await;
        assert!(!condemn(&db, &bad).await, "it is judged once");
        assert_eq!(condemned(&db).await, [], "the cure waits");
        let claim = db.claim().await.unwrap();
        assert_eq!(condemned(&db).await, [], "it runs");
        window_ends(&db).await;
        let end = db
            .store
            .finish_deployment(cure.id, claim.attempt, Outcome::Cancelled)
            .await;
        assert!(end.unwrap());
        assert_eq!(db.get(&cure).await.status, DeploymentStatus::Cancelled);
        let [of_v2] = condemned(&db).await.try_into().unwrap();
        assert_eq!((of_v2.release, of_v2.last_good), (bad.release, V1));
        assert_eq!(of_v2.verdict, "it ended twice");
        assert!(db.store.roll_back_condemned(&of_v2).await.unwrap().is_some());
        assert!(db.store.roll_back_condemned(&of_v2).await.unwrap().is_none(), "once");
    })
    .await;
}

#[tokio::test]
async fn a_bad_release_that_was_replaced_is_neither_rolled_back_nor_gone_back_to() {
    with_db(|db| async move {
        let (bad, cure) = condemned_with_a_cure(&db).await;
        let claim = db.claim().await.unwrap();
        assert_eq!(claim.deployment.id, cure.id);
        let release = db.build(&claim).await;
        db.go_live(&claim, &release).await;
        assert_eq!(condemned(&db).await, []);
        assert_eq!(way_back(&db).await, Some(1), "the bad one is nothing to go back to");
        assert!(!condemn(&db, &bad).await, "it is not live any more");
    })
    .await;
}

#[tokio::test]
async fn the_config_vars_of_the_last_good_release_come_back_with_it() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let set = async |value: &str| {
            let change = BTreeMap::from([("A".parse().unwrap(), Some(Secret::from(value)))]);
            db.store.patch_config(db.team, app.id, &change, db.by).await.unwrap();
        };
        set("good").await;
        db.deployed(&app).await;
        set("bad").await;
        let claim = db.claim().await.unwrap();
        assert_eq!(claim.deployment.kind, DeploymentKind::Config);
        let release = db.build(&claim).await;
        db.go_live(&claim, &release).await;

        let bad = watched(&db).await.remove(0);
        assert!(judge(&db, &bad).await);
        let config = db.store.config(db.team, app.id).await.unwrap();
        assert_eq!(
            (config.version, config.vars.values().next().unwrap().expose().as_str()),
            (3, "good")
        );
        assert_eq!(db.claim().await.unwrap().deployment.trigger, Trigger::Watch);
    })
    .await;
}

#[tokio::test]
async fn instances_that_end_together_or_are_taken_away_are_no_second_crash() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.deployed(&app).await;
        let second = db.deployed(&app).await;
        let web = ProcessType::web();
        db.store
            .scale(db.team, app.id, &BTreeMap::from([(web, 3)]))
            .await
            .unwrap();
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(start(&db, &app, &second).await);
        }
        for instance in &all[..3] {
            crash(&db, *instance).await;
        }
        assert_eq!(watched(&db).await[0].crashes, 1, "a restart of Docker ends all");
        let removed = InstanceEnd::default();
        let state = InstanceState::Crashed;
        assert!(
            db.store
                .set_instance_state(db.keeper, all[3], state, removed)
                .await
                .unwrap()
        );
        assert_eq!(watched(&db).await[0].crashes, 1, "somebody removed its container");
        crash(&db, all[4]).await;
        assert_eq!(watched(&db).await[0].crashes, 2);
    })
    .await;
}
