//! The session that BuildKit talks back to while it builds: it asks for the secrets of `RUN --mount=type=secret` and for registry
//! credentials. Secrets come from memory; they pass through no file, no environment and no image layer.
//!
//! The engine turns `POST /session` into an HTTP/2 connection on which *we* are the gRPC server
//! (<https://github.com/moby/buildkit/tree/master/session>). Dropping a [`Session`] closes it.

use std::{collections::BTreeMap, sync::Arc};

use bollard::{
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus,
        health_server::{Health, HealthServer},
    },
    moby::{
        buildkit::secrets::v1::{
            GetSecretRequest, GetSecretResponse,
            secrets_server::{Secrets, SecretsServer},
        },
        filesync::v1::{
            CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
            GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
            auth_server::{Auth, AuthServer},
        },
    },
};
use hyper::server::conn::http2;
use hyper_util::{rt::TokioExecutor, service::TowerToHyperService};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, async_trait, service::Routes};
use windlass_domain::{ConfigKey, Secret};

use crate::{
    EngineAddress,
    engine::{Connection, EngineError, no_body, post},
};

/// What BuildKit may call.
const METHODS: [&str; 2] = [
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
];

/// Secrets by the id of their mount.
pub(crate) type Vault = Arc<BTreeMap<ConfigKey, Secret<String>>>;

/// An open session.
pub(crate) struct Session {
    /// What the build names it by.
    pub(crate) id: String,
    _server: AbortOnDropHandle<()>,
}

impl Session {
    /// Opens a session that serves these secrets.
    pub(crate) async fn open(address: &EngineAddress, api: &str, secrets: Vault) -> Result<Self, EngineError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let mut request = post(&format!("/{api}/session"))
            .header("Connection", "Upgrade")
            .header("Upgrade", "h2c")
            .header("X-Docker-Expose-Session-Uuid", &id)
            .header("X-Docker-Expose-Session-Name", "windlass");
        for method in METHODS {
            request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
        }
        let connection = Connection::open(address).await?;
        let upgraded = connection.upgrade(request.body(no_body())?).await?;
        let routes = Routes::new(HealthServer::new(Alive))
            .add_service(SecretsServer::new(OwnSecrets(secrets)))
            .add_service(AuthServer::new(Anonymous))
            .prepare();
        let serving =
            http2::Builder::new(TokioExecutor::new()).serve_connection(upgraded, TowerToHyperService::new(routes));
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a build session ended");
            }
        });
        Ok(Self {
            id,
            _server: AbortOnDropHandle::new(server),
        })
    }
}

struct Alive;

#[async_trait]
impl Health for Alive {
    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving as i32,
        }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }
}

struct OwnSecrets(Vault);

#[async_trait]
impl Secrets for OwnSecrets {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = &request.get_ref().id;
        let found = self.0.iter().find(|(key, _)| key.as_str() == id);
        match found {
            Some((_, secret)) => Ok(Response::new(GetSecretResponse {
                data: secret.expose().as_bytes().to_vec(),
            })),
            None => Err(Status::not_found("no config var has this name")),
        }
    }
}

/// Registries are read without credentials.
struct Anonymous;

#[async_trait]
impl Auth for Anonymous {
    async fn credentials(&self, _: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        Ok(Response::new(CredentialsResponse::default()))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }
}
