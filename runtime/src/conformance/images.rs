use super::{Act, Stage};
use crate::RuntimeError;

pub(super) async fn images_are_listed_and_removed_by_app(stage: &Stage<'_>) {
    let first = stage.harness.make_app_image(stage.app).await;
    let second = stage.harness.make_app_image(stage.app).await;
    let runtime = stage.runtime();
    let mut listed: Vec<String> = runtime
        .images(stage.app)
        .await
        .expect("images are listed")
        .into_iter()
        .flat_map(|image| image.references)
        .collect();
    listed.sort();
    let mut expected = [first.clone(), second.clone()];
    expected.sort();
    assert_eq!(listed, expected);
    runtime.remove_image(&first).await.expect("it is removed");
    runtime.remove_image(&first).await.expect("it is gone");
    let left = runtime.images(stage.app).await.expect("images are listed");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].references, [second]);
    let shared = stage.harness.image();
    runtime
        .remove_image(&shared)
        .await
        .expect("it is not ours: nothing happens");
    stage.start(&Act::Exit(0)).await;
}

pub(super) async fn an_image_in_use_stays(stage: &Stage<'_>) {
    let image = stage.harness.make_app_image(stage.app).await;
    stage.ensure_network().await;
    let mut spec = stage.spec(1, &Act::Sleep);
    spec.image.clone_from(&image);
    let started = stage.runtime().start(&spec).await.expect("it starts");
    let error = stage.runtime().remove_image(&image).await.expect_err("it is in use");
    assert!(matches!(error, RuntimeError::InUse(_)), "{error}");
    stage.runtime().remove(&started.container).await.expect("it is removed");
    stage.runtime().remove_image(&image).await.expect("it is free now");
}
