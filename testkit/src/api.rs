//! The public API, as a client sees it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// A client of one engine's API. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    url: String,
    token: Option<String>,
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The content type, or nothing.
    pub content_type: String,
    /// The body; a JSON string when it is not JSON.
    pub body: Value,
}

impl Reply {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn must_be(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// The code of a problem with this status.
    ///
    /// # Panics
    /// When the answer is no problem, or its status is another.
    #[track_caller]
    pub fn problem(self, status: u16) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{:#}", self.body);
        let body = self.must_be(status);
        assert!(body["detail"].is_string() && body["code"].is_string(), "{body:#}");
        body
    }
}

impl Api {
    /// A client that is not logged in.
    pub fn new(url: String) -> Self {
        let client = Client::builder()
            .timeout(Duration::from_secs(120))
            .build()
            .expect("a client can be made");
        Self {
            client,
            url,
            token: None,
        }
    }

    /// Redeems a setup token.
    pub(crate) async fn log_in(&mut self, setup_token: &str) {
        let body = json!({ "setup_token": setup_token, "name": "testkit" });
        let reply = self.post("/api/v1/setup", body).await.must_be(201);
        self.token = reply["token"].as_str().map(str::to_owned);
    }

    /// Takes a token that is known already.
    pub(crate) fn use_token(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// This client with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Where the API answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token, or nothing.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// A request that is yet to be sent, with the token in it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Whether the engine says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let answer = self.request(Method::GET, "/readyz").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    /// Reads as text.
    pub async fn get_text(&self, path: &str) -> String {
        let request = self.request(Method::GET, path).header("accept", "text/plain");
        request
            .send()
            .await
            .expect("the API answers")
            .text()
            .await
            .expect("the answer is text")
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// Patches with JSON.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// Puts JSON.
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Reply {
        send(self.request(Method::DELETE, path)).await
    }
}

impl Api {
    /// Sends JSON, or nothing, to an engine that may not be there; an answer that did not come within `patience` is an error.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        patience: Duration,
    ) -> Result<Reply, reqwest::Error> {
        let request = self.request(method, path).timeout(patience);
        read(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(request: RequestBuilder) -> Reply {
    read(request).await.expect("the API answers")
}

async fn read(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let content_type = answer
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Reply {
        status,
        content_type,
        body,
    })
}
