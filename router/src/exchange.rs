//! Sends one request to one of a route's instances, and to another where that is safe.
//!
//! A request may go to another connection or instance only if the first one got no byte of it; a request without a body and
//! without effect (RFC 9110 section 9.2.2) also if a kept connection broke before any response, as happens when the instance
//! closes it at the moment it is used.

use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use crate::{
    endpoint::InFlight,
    error_page::Refusal,
    proxy::Worker,
    request_body::{BodyFault, OutBody, Progress},
    table::CompiledRoute,
    upstream::{self, ConnectError, Link, Patience, SendError},
};

/// Connections tried for one request, refused ones included.
const MAX_ATTEMPTS: usize = 4;

/// An instance's answer, and what has to be held until its body has ended.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) link: Box<Link>,
    pub(crate) in_flight: InFlight,
}

/// How a request may be sent.
pub(crate) struct Delivery {
    /// How its body fares; `None` without a body.
    pub(crate) body: Option<Arc<Progress>>,
    /// It asks for an upgrade: its connection is made for it and never used again.
    pub(crate) upgrade: bool,
}

/// Sends the request to an instance of the route.
pub(crate) async fn forward(
    worker: &Worker,
    route: &CompiledRoute,
    mut request: Request<OutBody>,
    delivery: Delivery,
) -> Result<Answer, Refusal> {
    if route.len() == 0 {
        return Err(Refusal::NoInstance);
    }
    let replayable = delivery.body.is_none() && !delivery.upgrade && is_idempotent(request.method());
    let patience = Patience {
        timeout: worker.shared.limits.response_header,
        body: delivery.body,
    };
    let mut refused = Vec::new();
    let mut fresh = delivery.upgrade;
    let mut outcome = Refusal::InstanceFailed;
    let limits = &worker.shared.limits;
    // A tunnel may be silent in both directions, and does not read if the other side does not.
    let write_idle = (!delivery.upgrade).then_some(limits.body_idle);
    // An instance whose queue of connections is full is silent, and the kernel asks it again after 1, 3 and 7 s: to wait for that is the
    // last that can be done for a request, and not worth it while another instance may be idle.
    let connect_within = |attempt, index, refused: &[usize]| {
        if attempt < MAX_ATTEMPTS && route.has_another(index, refused) {
            limits.connect
        } else {
            limits.connect_last
        }
    };
    for attempt in 1..=MAX_ATTEMPTS {
        let Some((index, mut in_flight)) = route.choose(&refused) else {
            break;
        };
        let kept = if fresh {
            None
        } else {
            kept_link(worker, &in_flight, replayable)
        };
        let spare = (kept.is_some() && replayable).then(|| copy_of(&request));
        let mut link = match kept {
            Some(link) => link,
            None => {
                let within = connect_within(attempt, index, &refused);
                match Link::connect(in_flight.address, within, write_idle).await {
                    Ok(link) => link,
                    Err(error) => {
                        outcome = no_connection(worker, in_flight, &error, || route.eject(index));
                        refused.push(index);
                        continue;
                    }
                }
            }
        };
        in_flight.welcome();
        if delivery.upgrade {
            link.detach(&worker.tasks, in_flight.share());
        }
        match link.send(request, &patience).await {
            Ok(response) => {
                if response.status().is_server_error() {
                    in_flight.fail();
                }
                if body_goes_on(&patience) {
                    link.detach(&worker.tasks, in_flight.share());
                }
                return Ok(Answer {
                    response,
                    link,
                    in_flight,
                });
            }
            Err(SendError::Unsent(unsent)) => {
                in_flight.pass_over();
                request = *unsent;
            }
            Err(SendError::Timeout) => {
                in_flight.fail();
                return Err(Refusal::InstanceTimeout);
            }
            Err(SendError::Broken(error)) => match spare {
                Some(spare) => {
                    in_flight.pass_over();
                    request = spare;
                }
                None => return Err(blame(&error, &patience, &mut in_flight)),
            },
        }
        fresh = true;
    }
    Err(outcome)
}

/// A kept connection that is still good. For a request that cannot be sent twice the kernel is asked too.
fn kept_link(worker: &Worker, in_flight: &InFlight, replayable: bool) -> Option<Box<Link>> {
    loop {
        let mut link = in_flight.take_idle(worker.index)?;
        let usable = if replayable {
            link.is_usable()
        } else {
            link.is_surely_usable()
        };
        if usable && link.idle_for() < worker.shared.limits.upstream_idle {
            return Some(link);
        }
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

fn copy_of(request: &Request<OutBody>) -> Request<OutBody> {
    let mut copy = Request::new(OutBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn body_goes_on(patience: &Patience) -> bool {
    patience.body.as_ref().is_some_and(|body| body.ended().is_none())
}

/// What there being no connection means for the request, and for the instance unless the router itself ran short.
fn no_connection(worker: &Worker, mut in_flight: InFlight, error: &ConnectError, eject: impl FnOnce()) -> Refusal {
    let refusal = match error {
        ConnectError::RanShort(error) => {
            worker.shared.shortages.note(error, "it cannot connect to instances");
            in_flight.pass_over();
            return Refusal::RouterShort;
        }
        ConnectError::Refused(_) => Refusal::InstanceFailed,
        ConnectError::Timeout => Refusal::InstanceTimeout,
    };
    tracing::debug!(instance = %in_flight.instance, address = %in_flight.address, %error, "no connection");
    eject();
    in_flight.fail();
    refusal
}

/// Whose fault it is that the exchange broke: the client's if its body did.
fn blame(error: &hyper::Error, patience: &Patience, in_flight: &mut InFlight) -> Refusal {
    match patience.body.as_ref().and_then(|body| body.fault()) {
        Some(BodyFault::Stalled) => Refusal::RequestTimeout,
        Some(BodyFault::TooLarge) => Refusal::TooLarge,
        Some(BodyFault::Lost) => Refusal::BadRequest("the request's body broke off or is malformed"),
        None => {
            tracing::debug!(instance = %in_flight.instance, address = %in_flight.address, %error, "the exchange broke");
            in_flight.fail();
            if upstream::is_timeout(error) {
                Refusal::InstanceTimeout
            } else {
                Refusal::InstanceFailed
            }
        }
    }
}
