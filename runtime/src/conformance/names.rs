use std::time::Duration;

use super::{Act, Stage};
use crate::{RuntimeError, Scope, StartError};

pub(super) async fn a_name_of_another_instance_is_taken(stage: &Stage<'_>) {
    let (first, _) = stage.start(&Act::Sleep).await;
    let second = stage.spec(1, &Act::Sleep);
    let error = stage.runtime().start(&second).await.expect_err("the name is taken");
    match error {
        StartError::NameTaken { name, holder } => {
            assert_eq!(name, first.name.to_string());
            assert!(holder.contains(&first.instance.to_string()), "{holder}");
        }
        other => panic!("{other}"),
    }
}

pub(super) async fn a_foreign_container_keeps_its_name_and_its_life(stage: &Stage<'_>) {
    stage.ensure_network().await;
    let spec = stage.spec(1, &Act::Sleep);
    let foreign = stage.harness.run_foreign(&spec.name.to_string()).await;
    let runtime = stage.runtime();
    let error = runtime.start(&spec).await.expect_err("the name is taken");
    assert!(matches!(error, StartError::NameTaken { .. }), "{error}");
    let not_ours = |result: Result<(), RuntimeError>| matches!(result, Err(RuntimeError::NoSuchContainer(_)));
    assert!(not_ours(runtime.stop(&foreign, Duration::ZERO).await));
    assert!(not_ours(runtime.remove(&foreign).await));
    assert!(not_ours(runtime.wait(&foreign).await.map(drop)));
    assert!(not_ours(runtime.listening(&foreign).await.map(drop)));
    let seen = runtime.observe(Scope::All).await.expect("it can be observed");
    assert!(seen.iter().all(|seen| seen.container != foreign));
    runtime.remove_app(stage.app).await.expect("the app is removed");
    assert!(
        stage.harness.foreign_runs(&foreign).await,
        "a foreign container was ended"
    );
}

pub(super) async fn a_missing_image_and_network_are_told_apart(stage: &Stage<'_>) {
    let without_network = stage.spec(1, &Act::Sleep);
    let error = stage.runtime().start(&without_network).await.expect_err("no network");
    assert!(matches!(error, StartError::NetworkMissing(_)), "{error}");
    assert_eq!(stage.observe().await, [], "what did not start holds the name");

    stage.ensure_network().await;
    let mut without_image = stage.spec(1, &Act::Sleep);
    without_image.image = "windlass/none:none".to_owned();
    let error = stage.runtime().start(&without_image).await.expect_err("no image");
    assert!(matches!(error, StartError::ImageMissing(_)), "{error}");
}
