//! Answers one request: check, find the route, rewrite the head, pass on, rewrite the answer's head.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio_util::task::TaskTracker;

use crate::{
    connection::{Client, Exchange},
    error_page::{self, Refusal},
    exchange::{self, Answer, Delivery},
    message,
    proxy_body::{InstanceBody, ProxyBody},
    request_body::{OutBody, Progress},
    state::Shared,
    table::CompiledRoute,
    tunnel,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// One thread of the data plane.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Its number, which finds its own idle connections and counters.
    pub(crate) index: usize,
    /// Connections and tunnels that have to end before the router does.
    pub(crate) tasks: TaskTracker,
}

/// What has been found out about a request before it is passed on.
struct Order {
    route: Arc<CompiledRoute>,
    authority: HeaderValue,
    port: Option<u16>,
}

/// Answers a request. Never fails: what cannot be passed on is answered with a page.
pub(crate) async fn answer(client: Arc<Client>, request: Request<Incoming>) -> Response<ProxyBody> {
    let worker = Arc::clone(&client.worker);
    worker.shared.requests[worker.index].0.fetch_add(1, Relaxed);
    let http2 = request.version() == Version::HTTP_2;
    let exchange = Exchange::begin(&client, http2);
    let (mut parts, body) = request.into_parts();
    let request_id = message::ensure_request_id(&mut parts.headers);
    let log = AccessLog::begin(&parts);
    let accept = parts.headers.get(header::ACCEPT).cloned();
    let mut response = match pass_on(&client, parts, body, exchange).await {
        Ok(response) => response,
        Err((refusal, exchange)) => {
            let page = error_page::response(refusal, accept.as_ref(), &request_id);
            page.map(|text| ProxyBody::bytes(text, exchange))
        }
    };
    log.end(response.status(), &request_id);
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    if client.clock.is_winding_up() && !http2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

async fn pass_on(
    client: &Arc<Client>,
    parts: Parts,
    body: Incoming,
    exchange: Exchange,
) -> Result<Response<ProxyBody>, (Refusal, Exchange)> {
    let body = OutBody::watch(body, &exchange, &client.worker.shared.limits);
    let order = match order(client, &parts) {
        Ok(order) => order,
        Err(refusal) => return Err((refusal, exchange)),
    };
    if order.route.redirect_to_https {
        return Ok(redirect(&order, &parts, exchange));
    }
    match send(client, &order, parts, body).await {
        Ok(sent) => sent.into_response(client, &order.route, exchange),
        Err(refusal) => Err((refusal, exchange)),
    }
}

fn order(client: &Client, parts: &Parts) -> Result<Order, Refusal> {
    let (content_length_seen, bare_line_feed) = client.clock.take_head_found();
    let target = message::check(parts, content_length_seen, bare_line_feed)?;
    let table = client.worker.shared.table.load();
    let route = table.find(&target.host, parts.uri.path()).ok_or(Refusal::NoRoute)?;
    Ok(Order {
        route,
        authority: target.authority,
        port: target.port,
    })
}

/// An answer that is about to become a response, and the client's side of an upgrade.
struct Sent {
    answer: Answer,
    upgrade: Option<(HeaderValue, OnUpgrade)>,
}

async fn send(
    client: &Client,
    order: &Order,
    mut parts: Parts,
    (body, progress): (OutBody, Option<Arc<Progress>>),
) -> Result<Sent, Refusal> {
    let limits = &client.worker.shared.limits;
    if let (Some(max), Some(length)) = (limits.max_request_body_bytes, content_length(&parts))
        && length > max
    {
        return Err(Refusal::TooLarge);
    }
    // A tunnel knows no limits of time. With a body there would be none for the body either, and no protocol in use needs both.
    let upgrade = message::wanted_upgrade(&parts)
        .filter(|_| progress.is_none())
        .and_then(|protocol| Some((protocol, parts.extensions.remove::<OnUpgrade>()?)));
    rewrite(client, order, &mut parts)?;
    if let Some((protocol, _)) = &upgrade {
        parts
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
    }
    let delivery = Delivery {
        body: progress,
        upgrade: upgrade.is_some(),
    };
    let request = Request::from_parts(parts, body);
    let answer = exchange::forward(&client.worker, &order.route, request, delivery).await?;
    Ok(Sent { answer, upgrade })
}

fn content_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Makes the client's head the one for the instance.
fn rewrite(client: &Client, order: &Order, parts: &mut Parts) -> Result<(), Refusal> {
    let headers = &mut parts.headers;
    message::clean_request(headers);
    message::set_forwarded(headers, &client.names, &order.authority, order.port);
    if parts.version == Version::HTTP_2 || parts.uri.authority().is_some() {
        headers.insert(header::HOST, order.authority.clone());
        message::merge_cookies(headers);
    }
    let prefix = order.route.prefix();
    if order.route.strip_path && !prefix.is_empty() {
        parts.uri = message::stripped_path(&parts.uri, prefix).ok_or(Refusal::BadRequest("the path is malformed"))?;
        if let Ok(prefix) = HeaderValue::from_str(prefix) {
            headers.insert(X_FORWARDED_PREFIX, prefix);
        }
    } else if parts.uri.authority().is_some() {
        parts.uri = parts.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Ok(())
}

/// Permanent, and keeping the method where it is not a plain read. The host is one of the table, so it is safe to name.
fn redirect(order: &Order, parts: &Parts, exchange: Exchange) -> Response<ProxyBody> {
    let host = order.authority.to_str().unwrap_or_default();
    let host = order
        .port
        .map_or(host, |port| host.trim_end_matches(&format!(":{port}")));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let plain_read = parts.method == Method::GET || parts.method == Method::HEAD;
    let mut response = Response::new(ProxyBody::bytes("", exchange));
    *response.status_mut() = if plain_read {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::PERMANENT_REDIRECT
    };
    if let Ok(location) = HeaderValue::try_from(format!("https://{host}{path}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

impl Sent {
    fn into_response(
        self,
        client: &Arc<Client>,
        route: &CompiledRoute,
        exchange: Exchange,
    ) -> Result<Response<ProxyBody>, (Refusal, Exchange)> {
        let Answer {
            mut response,
            link,
            mut in_flight,
        } = self.answer;
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let Some((_, on_client)) = self.upgrade.filter(|_| switches) else {
            if switches {
                in_flight.fail();
                return Err((Refusal::InstanceFailed, exchange));
            }
            let (mut parts, incoming) = response.into_parts();
            message::clean_response(&mut parts.headers);
            finish_head(&mut parts, route);
            let body = InstanceBody::new(incoming, link, in_flight, Arc::clone(&client.worker));
            return Ok(Response::from_parts(parts, ProxyBody::instance(body, exchange)));
        };
        let on_instance = hyper::upgrade::on(&mut response);
        let protocol = response.headers().get(header::UPGRADE).cloned();
        let (mut parts, _) = response.into_parts();
        message::clean_response(&mut parts.headers);
        finish_head(&mut parts, route);
        parts
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            parts.headers.insert(header::UPGRADE, protocol);
        }
        tunnel::open(&client.worker, on_client, on_instance, (in_flight, exchange));
        Ok(Response::from_parts(parts, ProxyBody::none()))
    }
}

fn finish_head(parts: &mut http::response::Parts, route: &CompiledRoute) {
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    for (name, value) in &route.response_headers {
        parts.headers.insert(name.clone(), value.clone());
    }
}

/// One line per request at level `debug`. Off, it costs a comparison.
struct AccessLog(Option<(Instant, Method, String, String)>);

impl AccessLog {
    fn begin(parts: &Parts) -> Self {
        Self(
            tracing::enabled!(target: "windlass_router::access", tracing::Level::DEBUG).then(|| {
                let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
                let host = host.or(parts.uri.authority().map(|authority| authority.as_str()));
                (
                    Instant::now(),
                    parts.method.clone(),
                    host.unwrap_or_default().to_owned(),
                    parts.uri.path().to_owned(),
                )
            }),
        )
    }

    fn end(self, status: StatusCode, request_id: &HeaderValue) {
        if let Some((began, method, host, path)) = self.0 {
            tracing::debug!(
                target: "windlass_router::access",
                %method, host, path,
                status = status.as_u16(),
                head_ms = began.elapsed().as_secs_f64() * 1000.0,
                request_id = request_id.to_str().unwrap_or_default(),
                "request"
            );
        }
    }
}
