use serde_json::json;

use crate::{support::with_api, worker::claim};

#[tokio::test]
async fn config_vars_are_set_deleted_and_deployed() {
    with_api(|api| async move {
        api.post("/apps", json!({"name": "shop", "repo_url": "https://github.com/a/b"}))
            .await
            .must_be(201);
        assert_eq!(
            api.get("/apps/shop/config").await.must_be(200),
            json!({"version": 0, "vars": {}})
        );
        let set = api
            .patch("/apps/shop/config", json!({"A": "1", "B": "two\nlines"}))
            .await
            .must_be(200);
        assert_eq!(
            (&set["version"], &set["changed"], &set["deployment"]),
            (&json!(1), &json!(true), &json!(null))
        );
        let same = api
            .patch("/apps/shop/config", json!({"A": "1", "C": null}))
            .await
            .must_be(200);
        assert_eq!((&same["version"], &same["changed"]), (&json!(1), &json!(false)));

        api.post("/apps/shop/deployments", json!({})).await.must_be(202);
        claim(&api.store).await.succeed().await;
        let changed = api.patch("/apps/shop/config", json!({"B": null})).await.must_be(200);
        assert_eq!(changed["vars"], json!({"A": "1"}));
        assert_eq!(changed["deployment"]["trigger"], "config");
        assert_eq!(changed["deployment"]["kind"], json!({"type": "config"}));
        assert_eq!(
            api.get("/apps/shop/config").await.must_be(200)["vars"],
            json!({"A": "1"})
        );
    })
    .await;
}

#[tokio::test]
async fn names_that_cannot_be_variables_are_refused_together_and_nothing_is_set() {
    with_api(|api| async move {
        api.app("shop").await;
        let mut pointers = api
            .patch(
                "/apps/shop/config",
                json!({"OK": "1", "PORT": "1", "A-B": "x", "a/b": "x", "N": "a\u{0}b", "L": "x".repeat(70_000)}),
            )
            .await
            .pointers();
        pointers.sort();
        assert_eq!(pointers, ["/A-B", "/L", "/N", "/PORT", "/a~1b"]);
        assert_eq!(api.patch("/apps/shop/config", json!({"A": 1})).await.pointers(), ["/A"]);
        assert_eq!(api.get("/apps/shop/config").await.must_be(200)["vars"], json!({}));
    })
    .await;
}
