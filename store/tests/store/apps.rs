use std::collections::BTreeMap;

use windlass_domain::{DeploymentStatus, ProcessType, Secret};
use windlass_store::{CreateAppError, Page, ScaleError};

use crate::support::{new_app, with_db};

#[tokio::test]
async fn a_name_is_taken_for_all_teams() {
    with_db(|db| async move {
        db.app("shop").await;
        let other = db.other_team().await;
        for team in [db.team, other] {
            let again = db.store.create_app(team, new_app("shop")).await;
            assert!(matches!(again, Err(CreateAppError::NameTaken)), "{again:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn secrets_of_an_app_open_again_and_settings_change() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let key = db.store.deploy_key(app.id).await.unwrap().unwrap();
        assert_eq!(key.expose(), "the private key");
        assert!(
            db.store
                .set_webhook_secret(db.team, app.id, &Secret::from("another"))
                .await
                .unwrap()
        );
        let secret = db.store.webhook_secret(db.team, app.id).await.unwrap().unwrap();
        assert_eq!(secret.expose(), "another");
        let mut settings = app.settings.clone();
        settings.repo_url = Some("git@forge.example:moved/code.git".parse().unwrap());
        settings.port = Some(3000);
        let updated = db.store.update_app(db.team, app.id, &settings).await.unwrap().unwrap();
        assert_eq!(updated.settings, settings);
        assert!(updated.updated_at > app.updated_at);
        assert_eq!(
            db.store
                .webhook_targets("forge.example/moved/code")
                .await
                .unwrap()
                .len(),
            1
        );
        assert!(
            db.store
                .webhook_targets("forge.example/shop/code")
                .await
                .unwrap()
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn a_deleted_app_takes_nothing_more_and_its_name_is_free_when_nothing_is_left() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        db.deployed(&app).await;
        let running = db.push(&app).await;
        let claim = db.claim().await.unwrap();
        let waiting = db.push(&app).await;
        assert!(!db.store.purge_app(app.id).await.unwrap(), "nobody asked for it");
        assert!(db.store.delete_app(db.team, app.id).await.unwrap());
        assert!(db.store.delete_app(db.team, app.id).await.unwrap());
        assert_eq!(db.get(&waiting).await.status, DeploymentStatus::Cancelled);
        assert!(db.get(&running).await.cancel_requested);
        assert!(db.store.app(db.team, &app.name).await.unwrap().unwrap().deleting);
        let new = crate::support::new_deployment(crate::support::push());
        assert_eq!(db.store.create_deployment(db.team, app.id, new).await.unwrap(), None);
        assert_eq!(db.store.update_app(db.team, app.id, &app.settings).await.unwrap(), None);
        assert!(
            db.store
                .patch_config(db.team, app.id, &BTreeMap::new(), db.by)
                .await
                .unwrap()
                .is_none()
        );
        assert!(db.store.routed_apps().await.unwrap().is_empty());
        assert_eq!(db.store.apps_to_converge().await.unwrap(), [app.id]);

        assert!(!db.store.purge_app(app.id).await.unwrap(), "a deployment still runs");
        let end = windlass_store::Outcome::Cancelled;
        assert!(
            db.store
                .finish_deployment(running.id, claim.attempt, end)
                .await
                .unwrap()
        );
        assert!(db.store.purge_app(app.id).await.unwrap());
        assert!(!db.store.purge_app(app.id).await.unwrap());
        assert_eq!(db.store.app(db.team, &app.name).await.unwrap(), None);
        assert!(db.store.app_work(app.id).await.unwrap().is_none());
        db.app("shop").await;
    })
    .await;
}

#[tokio::test]
async fn apps_are_listed_page_by_page() {
    with_db(|db| async move {
        for name in ["c", "a", "b"] {
            db.app(name).await;
        }
        let first = db
            .store
            .list_apps(db.team, Page { after: None, limit: 2 })
            .await
            .unwrap();
        let rest = db
            .store
            .list_apps(
                db.team,
                Page {
                    after: first.next,
                    limit: 2,
                },
            )
            .await
            .unwrap();
        let names: Vec<_> = first
            .items
            .iter()
            .chain(&rest.items)
            .map(|app| app.name.as_str())
            .collect();
        assert_eq!((names, rest.next), (vec!["c", "a", "b"], None));
    })
    .await;
}

#[tokio::test]
async fn scaling_knows_the_process_types_of_the_live_release_and_is_all_or_nothing() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let process = |name: &str| name.parse::<ProcessType>().unwrap();
        let scale = async |wanted: &[(&str, u32)]| {
            let wanted = wanted
                .iter()
                .map(|(name, quantity)| (process(name), *quantity))
                .collect();
            db.store.scale(db.team, app.id, &wanted).await
        };
        let shown = async || {
            let rows = db.store.formation(db.team, app.id).await.unwrap();
            let row =
                |row: windlass_store::FormationRow| format!("{}={}#{}", row.process, row.quantity, row.restart_seq);
            rows.into_iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(shown().await, ["web=1#0"]);
        scale(&[("clock", 2)]).await.unwrap();
        assert_eq!(shown().await, ["clock=2#0", "web=1#0"]);
        db.deployed(&app).await;
        assert_eq!(shown().await, ["web=1#0", "worker=0#0"]);
        for unknown in ["clock", "release"] {
            let refused = scale(&[("worker", 3), (unknown, 1)]).await;
            let Err(ScaleError::NoSuchProcess { process: named, known }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(
                (named, known),
                (process(unknown), vec![process("web"), process("worker")])
            );
        }
        assert_eq!(shown().await, ["web=1#0", "worker=0#0"]);
        let rows = scale(&[("web", 3), ("worker", 1)]).await.unwrap();
        assert!(rows.iter().all(|row| row.command.is_some()));
        db.store
            .restart(db.team, app.id, Some(&process("worker")))
            .await
            .unwrap();
        db.store.restart(db.team, app.id, None).await.unwrap();
        assert_eq!(shown().await, ["web=3#1", "worker=1#2"]);
        assert!(
            db.store
                .restart(db.team, app.id, Some(&process("clock")))
                .await
                .is_err()
        );
        let work = db.store.app_work(app.id).await.unwrap().unwrap();
        assert!(work.formation.contains(&(process("worker"), 1, 2)));
    })
    .await;
}

#[tokio::test]
async fn removing_an_app_may_take_as_long_as_it_takes() {
    with_db(|db| async move {
        for statement in [
            "create function refuse_a_hurry() returns trigger language plpgsql as $$ begin
                 if current_setting('statement_timeout') <> '0' then raise 'in a hurry'; end if;
                 return old;
             end $$",
            "create trigger refuse_a_hurry before delete on apps for each row execute function refuse_a_hurry()",
        ] {
            sqlx::query(statement).execute(&db.raw).await.unwrap();
        }
        let app = db.app("shop").await;
        db.store.delete_app(db.team, app.id).await.unwrap();
        assert!(db.store.purge_app(app.id).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn whatever_is_deleted_with_a_row_is_found_by_an_index() {
    with_db(|db| async move {
        let unindexed: Vec<String> = sqlx::query_scalar(
            "select conrelid::regclass || '.' || attname
             from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
             where c.contype = 'f' and c.confdeltype = 'c'
               and not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])",
        )
        .fetch_all(&db.raw)
        .await
        .unwrap();
        assert!(unindexed.is_empty(), "{unindexed:?}");
    })
    .await;
}
