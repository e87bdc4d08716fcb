//! The HTTP client of the API: one server, one token, problems turned into [`CliError`]s.
//!
//! Answers stay JSON values here, so that `--json` shows exactly what the server said; [`crate::view`] reads them for people.

use std::time::Duration;

use reqwest::{Method, Response, header, redirect};
use serde_json::Value;
use url::Url;
use windlass_domain::Secret;

use crate::{error::CliError, exit::Exit, settings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For whole answers; streams have no such limit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The server sends a comment every 15 seconds: a stream that is silent for longer is dead.
const STREAM_SILENCE: Duration = Duration::from_secs(50);

/// Talks to one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    streams: reqwest::Client,
    base: Url,
    token: Option<Secret>,
}

impl Client {
    /// A client for this server; without a token for the open endpoints only.
    pub fn new(server: &Url, token: Option<Secret>) -> Result<Self, CliError> {
        let base = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                // A redirect would turn POST into GET and might lead elsewhere: it is told, not followed.
                .redirect(redirect::Policy::none());
            if settings::is_loopback(server) {
                builder.no_proxy()
            } else {
                builder
            }
        };
        let failed = |error: reqwest::Error| CliError::failure(format!("cannot set up HTTP: {error}"));
        Ok(Self {
            http: base().timeout(ANSWER_TIMEOUT).build().map_err(failed)?,
            streams: base().read_timeout(STREAM_SILENCE).build().map_err(failed)?,
            base: server.clone(),
            token,
        })
    }

    /// The server's address.
    pub const fn server(&self) -> &Url {
        &self.base
    }

    /// The address of a path below `/api/v1`; segments and query are escaped.
    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Reads a resource.
    pub async fn get(&self, path: &[&str]) -> Result<Value, CliError> {
        self.request(Method::GET, path, &[], None).await
    }

    /// Reads a resource with a query.
    pub async fn get_with(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CliError> {
        self.request(Method::GET, path, query, None).await
    }

    /// Sends a body, or none.
    pub async fn send(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Value, CliError> {
        self.request(method, path, &[], body).await
    }

    /// Sends a body, with a query.
    pub async fn send_with(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, CliError> {
        self.request(method, path, query, Some(body)).await
    }

    /// All items of a list, page by page, up to `limit`.
    pub async fn list(&self, path: &[&str], limit: usize) -> Result<Vec<Value>, CliError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < limit {
            let page_size = (limit - items.len()).min(100).to_string();
            let mut query = vec![("limit", page_size.as_str())];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = self.get_with(path, &query).await?;
            items.extend(take_items(&mut page));
            match page.get("next").and_then(Value::as_str) {
                Some(next) if cursor.as_deref() != Some(next) => cursor = Some(next.to_owned()),
                _ => break,
            }
        }
        items.truncate(limit);
        Ok(items)
    }

    /// Opens a stream of server-sent events, after the event with this id if there is one.
    pub async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        after: Option<&str>,
    ) -> Result<Response, CliError> {
        let mut request = self
            .streams
            .get(self.address(path, query))
            .header(header::ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.answer(request).await?;
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_stream = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/event-stream"));
        if is_stream {
            Ok(response)
        } else {
            Err(self.not_windlass())
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let mut request = self
            .http
            .request(method, self.address(path, query))
            .header(header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.answer(request).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.not_windlass())
    }

    /// Sends a request; anything but 2xx is an error.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response, CliError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if let Some(target) = response
            .headers()
            .get(header::LOCATION)
            .filter(|_| status.is_redirection())
        {
            let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
            return Err(CliError::failure(format!("{} redirects to {target}", self.base))
                .next("log in with that address: `windlass login URL`"));
        }
        let body = response.bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(CliError::from_problem(status.as_u16(), body))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let server = &self.base;
        if error.is_timeout() && !error.is_connect() {
            return CliError::new(Exit::Timeout, format!("{server} did not answer in time"))
                .next("try again; `windlass status` shows what has happened meanwhile");
        }
        CliError::new(
            Exit::Unreachable,
            format!("{server} cannot be reached: {}", root_cause(error)),
        )
        .next("check the address and that the server runs (`windlass context` shows the server in use)")
    }

    fn not_windlass(&self) -> CliError {
        CliError::failure(format!(
            "{} answered with something that Windlass would not say",
            self.base
        ))
        .next("check the address of the server")
    }
}

/// Takes the items out of a page.
pub fn take_items(page: &mut Value) -> Vec<Value> {
    match page.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The innermost reason: that is the one that says `connection refused`.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_or_query_cannot_leave_its_place() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::new(&Url::parse("https://w.example/sub").unwrap(), None).unwrap();
        let url = client.address(&["apps", "a/../b?c#d"], &[("limit", "1&x=2")]);
        assert_eq!(
            url.as_str(),
            "https://w.example/sub/api/v1/apps/a%2F..%2Fb%3Fc%23d?limit=1%26x%3D2"
        );
    }
}
