//! The conversation with the engine: open a session, send the context, read the progress until there is an image or an error.

use std::{collections::BTreeMap, sync::Arc};

use bollard::models::{BuildInfo, BuildInfoAux};
use bytes::{Buf as _, BytesMut};
use http::header;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use url::form_urlencoded;
use windlass_buildpacks::{CONTEXT_FOLDER, context_files};
use windlass_domain::{ConfigKey, Failure, Secret, SourceTree};

use crate::{
    BuildEvent, BuildRequest, Builder, Plan,
    context::{self, Context},
    dockerfile::FRONTEND_ARG,
    engine::{Connection, EngineError, post},
    ignore::IgnoreRules,
    progress::Progress,
    session::{Session, Vault},
};

/// Bytes of one message of the engine at most.
const MESSAGE_LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of a `.dockerignore` that are read.
const IGNORE_LIMIT_BYTES: usize = 1024 * 1024;

/// How a build ended without an image.
pub(crate) enum SolveError {
    /// The engine says why, in its own words.
    Refused(String),
    /// The revision is at fault, as is known already.
    Failed(Failure),
    /// Our own fault, or the engine's.
    Ours(anyhow::Error),
}

impl From<EngineError> for SolveError {
    fn from(error: EngineError) -> Self {
        Self::Ours(error.into())
    }
}

/// Builds and returns the image's digest. Dropping the future closes both connections, which ends the build.
pub(crate) async fn solve(
    builder: &Builder,
    request: &BuildRequest,
    progress: &mut Progress,
    events: &mpsc::Sender<BuildEvent>,
) -> Result<String, SolveError> {
    let address = &builder.config.engine;
    let api = format!("v{}", builder.docker.client_version());
    let context = context_of(request).await?;
    let (session, connection) = tokio::join!(
        Session::open(address, &api, offered_secrets(request)),
        Connection::open(address)
    );
    let (session, mut connection) = (session?, connection?);
    let (body, writer) = context::stream(context);
    let query = query(request, &session.id);
    let head = post(&format!("/{api}/build?{query}")).header(header::CONTENT_TYPE, "application/x-tar");
    let answer = async {
        let response = connection.send(head.body(body).map_err(EngineError::from)?).await?;
        read_answer(response.into_body(), progress, events).await
    };
    match answer.await {
        Ok(id) => Ok(id),
        Err(refused @ SolveError::Refused(_)) => Err(refused),
        // If the revision could not be read, the broken connection is only the consequence.
        Err(broken) => match writer.await {
            Ok(Err(error)) => Err(SolveError::Ours(
                anyhow::Error::new(error).context("the revision could not be read"),
            )),
            _ => Err(broken),
        },
    }
}

async fn context_of(request: &BuildRequest) -> Result<Context, SolveError> {
    let folder = request.settings.context.clone().unwrap_or_default();
    let own = match &request.plan {
        Plan::Dockerfile(plan) => Some(plan.path.clone()),
        Plan::Buildpack(_) => None,
    };
    let tree = request.tree.clone();
    let read = {
        let (tree, folder, own) = (tree.clone(), folder.clone(), own.clone());
        move || ignore_rules(tree.as_ref(), &folder, own.as_deref())
    };
    let (rules_path, rules) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| SolveError::Ours(error.into()))??;
    let (ignore, extra) = match &request.plan {
        Plan::Dockerfile(_) => (rules, Vec::new()),
        Plan::Buildpack(plan) => (rules.and(&plan.ignore), context_files(plan, &request.cache_scope)),
    };
    Ok(Context {
        tree,
        folder,
        ignore,
        always: own.into_iter().chain(rules_path).collect(),
        extra,
    })
}

/// The rules beside the Dockerfile (`<Dockerfile>.dockerignore`) or else at the root of the context, and where they stand.
fn ignore_rules(
    tree: &dyn SourceTree,
    folder: &str,
    dockerfile: Option<&str>,
) -> Result<(Option<String>, IgnoreRules), SolveError> {
    let beside = dockerfile.map(|path| format!("{path}.dockerignore"));
    for path in beside.into_iter().chain([".dockerignore".to_owned()]) {
        let full = if folder.is_empty() {
            path.clone()
        } else {
            format!("{}/{path}", folder.trim_end_matches('/'))
        };
        let read = tree
            .read(&full, IGNORE_LIMIT_BYTES)
            .map_err(|error| SolveError::Ours(error.into()))?;
        let Some(bytes) = read else {
            continue;
        };
        let rules = IgnoreRules::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| {
            let file = windlass_buildpacks::InvalidFile::new(
                &path,
                Some(error.line),
                format!("`{}` is no valid pattern", error.pattern.escape_debug()),
                "correct the pattern: brackets must be closed, and `\\` must have a character behind it",
            );
            SolveError::Failed(file.into())
        })?;
        return Ok((Some(path), rules));
    }
    Ok((None, IgnoreRules::default()))
}

/// Config vars that are declared as build args are not secrets of the build.
fn offered_secrets(request: &BuildRequest) -> Vault {
    let declared = |key: &ConfigKey| request.settings.config_args.iter().any(|name| name == key.as_str());
    let offered: BTreeMap<ConfigKey, Secret<String>> = request
        .config
        .iter()
        .filter(|(key, _)| !declared(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Arc::new(offered)
}

fn build_args(request: &BuildRequest) -> BTreeMap<&str, &str> {
    let declared = request
        .config
        .iter()
        .filter(|(key, _)| request.settings.config_args.iter().any(|name| name == key.as_str()));
    let args = request
        .settings
        .args
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    args.chain(declared.map(|(key, value)| (key.as_str(), value.expose().as_str())))
        .filter(|&(name, _)| name != FRONTEND_ARG)
        .collect()
}

/// The query of `POST /build` (<https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild>).
fn query(request: &BuildRequest, session: &str) -> String {
    let json = |map: &BTreeMap<&str, &str>| serde_json::to_string(map).expect("maps of strings serialise");
    let labels = request
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let dockerfile = match &request.plan {
        Plan::Dockerfile(plan) => plan.path.clone(),
        Plan::Buildpack(_) => format!("{CONTEXT_FOLDER}/Dockerfile"),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("version", "2")
        .append_pair("session", session)
        .append_pair("t", &request.tag)
        .append_pair("dockerfile", &dockerfile)
        .append_pair("rm", "1")
        .append_pair("forcerm", "1")
        .append_pair("labels", &json(&labels))
        .append_pair("buildargs", &json(&build_args(request)));
    if let (Some(target), Plan::Dockerfile(_)) = (&request.settings.target, &request.plan) {
        query.append_pair("target", target);
    }
    query.finish()
}

async fn read_answer(
    mut body: Incoming,
    progress: &mut Progress,
    events: &mpsc::Sender<BuildEvent>,
) -> Result<String, SolveError> {
    let mut buffer = BytesMut::new();
    let mut image = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(EngineError::from)?.into_data() else {
            continue;
        };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line = buffer.split_to(end + 1);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let message: BuildInfo = serde_json::from_slice(line.chunk()).map_err(|error| {
                SolveError::Ours(anyhow::Error::new(error).context("a message of the engine is no JSON"))
            })?;
            if let Some(id) = take(message, progress, events).await? {
                image = Some(id);
            }
        }
        if buffer.len() > MESSAGE_LIMIT_BYTES {
            return Err(SolveError::Ours(anyhow::anyhow!(
                "a message of the engine is larger than {MESSAGE_LIMIT_BYTES} bytes"
            )));
        }
    }
    image.ok_or_else(|| {
        SolveError::Ours(anyhow::anyhow!(
            "the engine closed the connection before the build ended"
        ))
    })
}

/// Takes one message; the image's digest if it is the last one.
async fn take(
    message: BuildInfo,
    progress: &mut Progress,
    events: &mpsc::Sender<BuildEvent>,
) -> Result<Option<String>, SolveError> {
    if let Some(detail) = message.error_detail {
        return Err(SolveError::Refused(
            detail
                .message
                .unwrap_or_else(|| "the engine gives no reason".to_owned()),
        ));
    }
    match message.aux {
        Some(BuildInfoAux::BuildKit(status)) => {
            for event in progress.apply(&status) {
                // Nobody listens any more: the build goes on.
                let _ = events.send(event).await;
            }
            Ok(None)
        }
        Some(BuildInfoAux::Default(image)) => Ok(image.id),
        None => Ok(None),
    }
}
