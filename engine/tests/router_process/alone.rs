//! A router without an engine: `windlassd --roles router`.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use crate::{
    engine::{Engine, answer, data_dir, free_address},
    process::must_have_all_descriptors,
};

#[tokio::test]
async fn a_router_alone_is_unprivileged_owns_its_folder_and_ends_soon_after_its_signal() {
    let temp = data_dir();
    let mut engine = Engine::start("router", temp.path(), &free_address());
    let status = answer(temp.path(), &mut engine, |_| true).await;
    assert_eq!(status.pid, engine.0.id());
    let user = fs::metadata(format!("/proc/{}", status.pid)).unwrap().uid();
    assert_ne!(user, 0);
    let folder = fs::metadata(temp.path().join("router")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o777), (user, 0o700));
    must_have_all_descriptors(status.pid);
    assert!(engine.terminate() < Duration::from_secs(3));
    assert!(!temp.path().join("router/control.sock").exists());
}
