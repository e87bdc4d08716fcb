//! The forms of a live answer: server-sent events (WHATWG HTML, section 9.2) and plain text.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use http::{HeaderName, header};
use serde::Serialize;

/// Proxies drop connections that say nothing, and clients take silence for death.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// When a client should connect again.
const RETRY: Duration = Duration::from_secs(1);

/// Tells nginx, and those who learned from it, not to wait for the end of the answer.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// An event with a JSON value.
pub(crate) fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    // The types of the wire are plain structs: they can always be written.
    event.json_data(data).unwrap_or_default()
}

/// A stream of events, which says first when to come back after an interruption.
pub(crate) fn events(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let first = stream::iter([Event::default().retry(RETRY)]);
    let events = first.chain(events).map(Ok::<_, Infallible>);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    ([UNBUFFERED], Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// Lines of text, as they come.
pub(crate) fn lines(lines: impl Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(lines.map(|line| Ok::<_, Infallible>(line + "\n")));
    ([UNBUFFERED, text_type()], body).into_response()
}

/// Lines of text that are all there.
pub(crate) fn text(lines: impl Iterator<Item = String>) -> Response {
    let text: String = lines.map(|line| line + "\n").collect();
    ([text_type()], text).into_response()
}

const fn text_type() -> (HeaderName, &'static str) {
    (header::CONTENT_TYPE, "text/plain; charset=utf-8")
}
