use std::{net::SocketAddr, time::Duration};

use futures::StreamExt;

use super::{Act, Stage};
use crate::{EventKind, Scope};

pub(super) async fn sockets_are_listed_with_their_addresses(stage: &Stage<'_>) {
    stage.ensure_network().await;
    for (n, act, loopback) in [(1, Act::Serve(8124), false), (2, Act::ServeLoopback(8125), true)] {
        let spec = stage.spec(n, &act);
        let started = stage.runtime().start(&spec).await.expect("it starts");
        let sockets: Vec<SocketAddr> = stage
            .soon("listening", async {
                loop {
                    let sockets = stage
                        .runtime()
                        .listening(&started.container)
                        .await
                        .expect("they are listed");
                    if !sockets.is_empty() {
                        break sockets;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        assert_eq!(sockets.len(), 1, "{sockets:?}");
        assert_eq!(Some(sockets[0].port()), spec.port);
        assert_eq!(sockets[0].ip().is_loopback(), loopback, "{sockets:?}");
        stage
            .runtime()
            .stop(&started.container, Duration::ZERO)
            .await
            .expect("it stops");
        let after = stage
            .runtime()
            .listening(&started.container)
            .await
            .expect("they are listed");
        assert_eq!(after, []);
    }
}

pub(super) async fn a_glance_tells_who_runs(stage: &Stage<'_>) {
    let (_, runs) = stage.start(&Act::Sleep).await;
    let other = Stage::new(stage.harness, stage.case);
    let (_, ended) = other.start(&Act::Sleep).await;
    let stopped = stage.runtime().stop(&ended.container, Duration::ZERO).await;
    stopped.expect("it stops");
    let glimpses = stage.runtime().glance().await.expect("it can be glanced at");
    for (app, container, running) in [(stage.app, runs.container, true), (other.app, ended.container, false)] {
        let seen: Vec<_> = glimpses.iter().filter(|glimpse| glimpse.app == app).collect();
        let observed = stage
            .runtime()
            .observe(Scope::App(app))
            .await
            .expect("it can be observed");
        assert_eq!(observed[0].container, container);
        assert!(
            matches!(seen.as_slice(), [one] if one.running == running && one.instance == observed[0].instance
                && one.role == observed[0].role),
            "{seen:?}"
        );
    }
    other.clear().await;
}

pub(super) async fn only_the_app_that_is_asked_for_is_seen(stage: &Stage<'_>) {
    stage.start(&Act::Sleep).await;
    let other = Stage::new(stage.harness, stage.case);
    other.start(&Act::Sleep).await;
    let seen = stage.observe().await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].app, stage.app);
    let all = stage.runtime().observe(Scope::All).await.expect("it can be observed");
    for app in [stage.app, other.app] {
        assert_eq!(all.iter().filter(|seen| seen.app == app).count(), 1);
    }
    other.clear().await;
    assert_eq!(
        stage.observe().await.len(),
        1,
        "another app's removal took this app's container"
    );
}

pub(super) async fn events_tell_what_happens(stage: &Stage<'_>) {
    let mut events = stage.runtime().events().await.expect("there are events");
    let (spec, started) = stage.start(&Act::Exit(3)).await;
    stage.runtime().wait(&started.container).await.expect("it ends");
    stage.runtime().remove(&started.container).await.expect("it is removed");
    let kinds = stage
        .soon("telling", async {
            let mut kinds = Vec::new();
            while !kinds.contains(&EventKind::Removed) {
                let event = events.next().await.expect("events go on").expect("events can be read");
                if event.instance == spec.instance {
                    assert_eq!((event.app, &event.container), (stage.app, &started.container));
                    kinds.push(event.kind);
                }
            }
            kinds
        })
        .await;
    assert_eq!(
        kinds,
        [EventKind::Started, EventKind::Died { code: 3 }, EventKind::Removed]
    );
}
