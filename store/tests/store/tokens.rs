use windlass_domain::{Secret, TokenId};
use windlass_store::StoreError;

use crate::support::{open, with_db};

#[tokio::test(flavor = "multi_thread")]
async fn the_setup_token_makes_one_api_token_even_in_a_race() {
    with_db(|db| async move {
        let attempts: Vec<_> = (0..8)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move { db.store.redeem_setup_token(&db.setup_token, "laptop").await.unwrap() })
            })
            .collect();
        let mut made = Vec::new();
        for attempt in attempts {
            made.extend(attempt.await.unwrap());
        }
        assert_eq!(made.len(), 1);
        let actor = db.store.authenticate(&made[0].1).await.unwrap().unwrap();
        assert_eq!((actor.team, actor.name.as_str()), (db.team, "laptop"));

        let again = db.store.reset_setup_token().await.unwrap();
        assert!(
            db.store
                .redeem_setup_token(&db.setup_token, "old")
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            db.store.authenticate(&again).await.unwrap().is_none(),
            "a setup token opens nothing else"
        );
        assert!(db.store.redeem_setup_token(&again, "new").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    with_db(|db| async move {
        let (row, token) = db.store.create_token(db.team, "ci").await.unwrap();
        assert!(row.last_used_at.is_none());
        assert!(db.store.authenticate(&token).await.unwrap().is_some());
        let listed = db.store.list_tokens(db.team).await.unwrap();
        let listed = listed.iter().find(|listed| listed.id == row.id).unwrap();
        assert!(listed.last_used_at.is_some());
        assert!(db.store.revoke_token(db.team, row.id).await.unwrap());
        assert!(!db.store.revoke_token(db.team, row.id).await.unwrap());
        assert!(!db.store.revoke_token(db.team, TokenId::generate()).await.unwrap());
        assert!(db.store.authenticate(&token).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_token_with_a_wrong_checksum_never_reaches_the_database() {
    let nowhere = open("postgres://nobody@127.0.0.1:1/nothing", 7).await;
    let wrong = Secret::new(format!("wl_{}", "x".repeat(49)));
    assert!(nowhere.authenticate(&wrong).await.unwrap().is_none());
    assert!(nowhere.redeem_setup_token(&wrong, "x").await.unwrap().is_none());
    assert!(matches!(nowhere.ping().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn another_master_key_is_refused_and_the_same_one_is_not_told_a_token_again() {
    with_db(|db| async move {
        let other = open(&db.url, 8).await;
        let error = other.install().await.unwrap_err();
        assert!(matches!(error, StoreError::Sealed(_)), "{error:?}");
        let same = open(&db.url, 7).await;
        let (first, second) = (same.install().await.unwrap(), db.store.install().await.unwrap());
        assert!(first.setup_token.is_none());
        assert_eq!(first.engine_id, second.engine_id);
    })
    .await;
}

#[tokio::test]
async fn no_token_is_kept_in_plain() {
    with_db(|db| async move {
        let (_, token) = db.store.create_token(db.team, "ci").await.unwrap();
        let found: i64 = sqlx::query_scalar("select count(*) from tokens where hash = $1::bytea or name = $2")
            .bind(token.expose().as_bytes())
            .bind(token.expose())
            .fetch_one(&db.raw)
            .await
            .unwrap();
        assert_eq!(found, 0);
    })
    .await;
}
