//! What happens to our containers, as Docker tells it.

use bollard::{models::EventMessage, query_parameters::EventsOptionsBuilder};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream::BoxStream};
use windlass_domain::labels;
use windlass_runtime::{ContainerId, EventKind, RuntimeError, RuntimeEvent};

use crate::{
    DockerRuntime,
    fault::runtime_error,
    labelled::{filter, read},
};

impl DockerRuntime {
    /// The request goes out when the stream is first polled; Docker then replays what happened since this call, so that nothing is
    /// lost in between.
    pub(crate) async fn subscribe(
        &self,
    ) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        let now = Utc::now();
        // Nobody would know until then whether anybody is there.
        let ping = self.docker.ping().await;
        ping.map_err(|error| runtime_error("answer", error))?;
        let mut filters = filter(&self.engine, None);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert(
            "event".to_owned(),
            ["start", "die", "oom", "destroy"].map(str::to_owned).to_vec(),
        );
        let options = EventsOptionsBuilder::new()
            .since(&format!("{}.{:09}", now.timestamp(), now.timestamp_subsec_nanos()))
            .filters(&filters)
            .build();
        let events = self
            .docker
            .events(Some(options))
            .filter_map(|message| async move {
                match message {
                    Ok(message) => event(message).map(Ok),
                    Err(error) => Some(Err(runtime_error("tell what happens", error))),
                }
            })
            .boxed();
        Ok(events)
    }
}

fn event(message: EventMessage) -> Option<RuntimeEvent> {
    let actor = message.actor?;
    let attributes = actor.attributes?;
    let kind = match message.action.as_deref()? {
        "start" => EventKind::Started,
        "die" => EventKind::Died {
            code: read(&attributes, "exitCode")?,
        },
        "oom" => EventKind::Oom,
        "destroy" => EventKind::Removed,
        _ => return None,
    };
    Some(RuntimeEvent {
        container: ContainerId::new(actor.id?),
        instance: read(&attributes, labels::INSTANCE)?,
        app: read(&attributes, labels::APP_ID)?,
        kind,
        at: DateTime::from_timestamp_nanos(message.time_nano?),
    })
}
