//! Webhooks: what forges call.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a forge shall send its webhooks, and what it signs them with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// The address.
    #[schema(example = "https://windlass.example.com/webhooks/github")]
    pub url: String,
    /// The secret.
    #[schema(example = "5f0c2e…")]
    pub secret: String,
}

/// A new secret for webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSecret {
    /// The secret, 16 to 256 printable characters.
    #[schema(example = "correct horse battery staple", min_length = 16, max_length = 256)]
    pub secret: String,
}

/// What became of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookDelivered {
    /// In a word.
    pub result: DeliveryResult,
    /// Why it was ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "pushes to `feature` are not deployed; `shop` deploys `main`")]
    pub reason: Option<String>,
    /// The deployments that it led to, one for each app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<DeliveryDeployment>,
}

/// What became of a webhook, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryResult {
    /// It was a ping, and the signature fits.
    Pong,
    /// It led to deployments.
    Deployed,
    /// This delivery was seen before; nothing was done again.
    Duplicate,
    /// It is valid and of no interest.
    Ignored,
}

/// A deployment that a webhook led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryDeployment {
    /// The app.
    #[schema(example = "shop")]
    pub app: String,
    /// The deployment.
    #[schema(example = "dpl_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub deployment: String,
}
