//! What happens to our containers, as Docker tells it.

use std::{collections::HashMap, pin::pin, time::Duration};

use bollard::{
    models::{ContainerState, EventMessage},
    query_parameters::EventsOptionsBuilder,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use windlass_domain::labels;
use windlass_runtime::{ContainerId, EventKind, RuntimeError, RuntimeEvent};

use crate::{
    DockerRuntime,
    fault::runtime_error,
    labelled::{filter, read},
    observe::time,
};

/// How long before and after an end it may be told that memory ran out, how often that is asked, and how many times at most.
const EARLY: TimeDelta = TimeDelta::seconds(2);
const LATE: TimeDelta = TimeDelta::milliseconds(200);
const BETWEEN: Duration = Duration::from_millis(50);
const TRIES: u32 = 5;

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
            .since(&timestamp(now))
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

impl DockerRuntime {
    /// Whether a container that was killed had no memory left. That comes to Docker by another way than the end itself: when it comes
    /// later, versions before 23 keep it out of the container's state for ever, but tell it as an event.
    pub(crate) async fn ran_out_of_memory(
        &self,
        container: &ContainerId,
        state: &ContainerState,
    ) -> Result<bool, RuntimeError> {
        let ended = time(state.finished_at.as_deref());
        for _ in 0..TRIES {
            let now = Utc::now();
            let Some(since) = ended.and_then(|ended| since(ended, now)) else {
                return Ok(false);
            };
            let filters = HashMap::from([
                ("container".to_owned(), vec![container.to_string()]),
                ("event".to_owned(), vec!["oom".to_owned()]),
            ]);
            let options = EventsOptionsBuilder::new()
                .since(&timestamp(since))
                .until(&timestamp(now))
                .filters(&filters)
                .build();
            let mut told = pin!(self.docker.events(Some(options)));
            let told = told.try_next().await;
            if told
                .map_err(|error| runtime_error("tell what happened", error))?
                .is_some()
            {
                return Ok(true);
            }
            if ended.is_some_and(|ended| now - ended > LATE) {
                break;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Ok(false)
    }
}

/// From when on memory may have run out for what ended then: a child that was killed long before did not end it. None: the clock was put
/// back since, and Docker refuses a time that is yet to come.
fn since(ended: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let since = ended - EARLY;
    (since < now).then_some(since)
}

/// Ended as by SIGKILL, and Docker does not say why.
pub(crate) fn is_killed(state: &ContainerState) -> bool {
    state.running == Some(false) && state.exit_code == Some(137) && state.oom_killed != Some(true)
}

fn timestamp(at: DateTime<Utc>) -> String {
    format!("{}.{:09}", at.timestamp(), at.timestamp_subsec_nanos())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_just_before_the_end_can_have_caused_it() {
        let ended = Utc::now();
        assert_eq!(since(ended, ended), Some(ended - EARLY));
        assert_eq!(since(ended, ended + LATE), Some(ended - EARLY));
        assert_eq!(
            since(ended, ended - TimeDelta::hours(1)),
            None,
            "the clock was put back"
        );
    }
}
