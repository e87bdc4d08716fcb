//! A client that speaks to the router without a network.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::support::Api;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn must_be(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// A problem with this status; its code, its detail, and the fields that it names.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.must_be(status);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], self.header("x-request-id"));
        assert!(
            problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
            "{problem}"
        );
        problem
    }

    /// The pointers that a 422 names.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Api {
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request("DELETE", path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.with_json("POST", path, &body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.with_json("PATCH", path, &body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.with_json("PUT", path, &body).await
    }

    pub async fn with_json(&self, method: &str, path: &str, body: &Value) -> Reply {
        let request = self
            .request(method, path)
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A request with the token in it; a path below `/api/v1` unless it is an address of its own.
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        self.bare(method, path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
    }

    pub fn bare(&self, method: &str, path: &str) -> http::request::Builder {
        let own = ["/apps", "/tokens", "/account", "/setup"]
            .iter()
            .any(|prefix| path.starts_with(prefix));
        Request::builder()
            .method(method)
            .uri(if own { format!("/api/v1{path}") } else { path.to_owned() })
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = timeout(Duration::from_secs(20), body.collect())
            .await
            .expect("the answer ends")
            .unwrap();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        }
    }

    /// An answer whose body is yet to be read.
    pub async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// A live answer in this form.
    pub async fn stream(&self, path: &str, accept: &str, last_event: Option<&str>) -> Live {
        let mut request = self.request("GET", path).header(header::ACCEPT, accept);
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let response = self.open(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(accept));
        Live {
            body: response.into_body().into_data_stream(),
            seen: String::new(),
        }
    }

    /// An app of this name.
    pub async fn app(&self, name: &str) -> Value {
        self.post("/apps", json!({ "name": name })).await.must_be(201)
    }
}

/// A live answer.
pub struct Live {
    body: BodyDataStream,
    pub seen: String,
}

impl Live {
    /// Reads until this text has come.
    pub async fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.more().await, "it ended without {text:?}: {}", self.seen);
        }
    }

    /// Reads to the end.
    pub async fn end(mut self) -> String {
        while self.more().await {}
        self.seen
    }

    async fn more(&mut self) -> bool {
        let next = timeout(Duration::from_secs(20), self.body.next()).await;
        match next.unwrap_or_else(|_| panic!("nothing comes any more: {}", self.seen)) {
            Some(bytes) => {
                self.seen.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
                true
            }
            None => false,
        }
    }
}
