//! From a revision to an image: fetch, plan, build.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::sync::mpsc;
use windlass_builder::{BuildError, BuildEvent, BuildRequest, BuiltImage, Plan};
use windlass_domain::{BuildSettings, CommitSha, DeploymentKind, LogSource, Redactor, SourceTree, Step, labels};
use windlass_source::{FetchRequest, Progress, SubmoduleAccess, TreeError, TreeOptions};
use windlass_store::{ImageRow, NewImage};

use super::{Deploy, End};
use crate::{disk, network};

/// Reading a tree and its manifests takes a moment, even if it is large.
const PLAN_WITHIN: Duration = Duration::from_secs(120);

/// Brings the source in, decides how to build it, builds it, and records the image.
pub(super) async fn build(deploy: &Deploy<'_>) -> Result<ImageRow, End> {
    deploy.enter(Step::Fetch).await?;
    let commit = match &deploy.claim.deployment.kind {
        DeploymentKind::Push { commit } => commit.clone(),
        _ => fetch_from_forge(deploy).await?,
    };
    from_commit(deploy, commit, &deploy.claim.app.settings.build).await
}

/// Builds a commit of an earlier release once more, the way it was built then.
pub(super) async fn build_commit(
    deploy: &Deploy<'_>,
    commit: CommitSha,
    settings: &BuildSettings,
) -> Result<ImageRow, End> {
    deploy.enter(Step::Fetch).await?;
    from_commit(deploy, commit, settings).await
}

async fn from_commit(deploy: &Deploy<'_>, commit: CommitSha, settings: &BuildSettings) -> Result<ImageRow, End> {
    let tree = deploy.unless_cancelled(tree(deploy, &commit, settings)).await??;
    deploy.finish_step(Step::Fetch, "done").await?;

    deploy.enter(Step::Plan).await?;
    let plan = deploy.shared.builder.plan(tree.clone(), settings);
    let plan = deploy
        .unless_cancelled(tokio::time::timeout(PLAN_WITHIN, plan))
        .await?
        .context("the source could not be looked through in time")?
        .map_err(|why| End::Failed(why.into_failure()))?;
    for decision in plan.decisions() {
        deploy.log.detail(&decision);
    }
    deploy.finish_step(Step::Plan, "done").await?;

    deploy.enter(Step::Build).await?;
    let room = deploy.unless_cancelled(disk::make_room(deploy.shared)).await?;
    room.map_err(End::Failed)?;
    let source = Source {
        commit: &commit,
        tree,
        settings,
    };
    let image = build_image(deploy, source, plan).await?;
    let new = NewImage {
        reference: reference(deploy),
        digest: image.id,
        commit: Some(commit),
        processes: image.processes,
        exposed_ports: image.exposed_ports,
        size_bytes: image.size_bytes,
    };
    let row = deploy
        .shared
        .store
        .record_image(deploy.claim.deployment.id, deploy.claim.attempt, new)
        .await?;
    deploy.finish_step(Step::Build, "done").await?;
    Ok(row.context("the deployment was taken over")?)
}

/// What is built, and how.
struct Source<'a> {
    commit: &'a CommitSha,
    tree: Arc<dyn SourceTree>,
    settings: &'a BuildSettings,
}

fn reference(deploy: &Deploy<'_>) -> String {
    format!("windlass/{}:{}", deploy.claim.app.name, deploy.claim.deployment.id)
}

async fn tree(deploy: &Deploy<'_>, commit: &CommitSha, settings: &BuildSettings) -> Result<Arc<dyn SourceTree>, End> {
    let app = &deploy.claim.app;
    let repositories = &deploy.shared.repositories;
    repositories.keep(app.id, deploy.claim.deployment.id, commit).await?;
    let options = TreeOptions {
        submodules: submodule_access(deploy, settings).await?,
        ..TreeOptions::default()
    };
    let tree = repositories
        .tree(app.id, commit, options)
        .await
        .map_err(|why| match why {
            TreeError::Internal(fault) => End::Fault(fault.into()),
            why => End::Failed(why.to_failure()),
        })?;
    let subject = repositories.describe(app.id, commit).await?.map(|about| about.subject);
    let store = &deploy.shared.store;
    store
        .set_commit(
            deploy.claim.deployment.id,
            deploy.claim.attempt,
            commit,
            subject.as_deref(),
        )
        .await?;
    deploy
        .log
        .heading(format!("Revision {} {}", commit.short(), subject.unwrap_or_default()));
    Ok(Arc::new(tree))
}

async fn fetch_from_forge(deploy: &Deploy<'_>) -> Result<CommitSha, End> {
    let DeploymentKind::Fetch { reference, commit } = &deploy.claim.deployment.kind else {
        return Err(End::Fault(anyhow::anyhow!("only a fetch deployment is fetched")));
    };
    let app = &deploy.claim.app;
    let url = app
        .settings
        .repo_url
        .clone()
        .context("the app has no repo_url any more")?;
    deploy.log.heading(format!("Fetching {reference} from {url}"));
    let request = FetchRequest {
        app: app.id,
        url,
        reference: reference.clone(),
        commit: commit.clone(),
        deploy_key: deploy.shared.store.deploy_key(app.id).await?,
        progress: progress(deploy),
    };
    let fetched = deploy
        .unless_cancelled(deploy.shared.repositories.fetch(request))
        .await?;
    fetched.map_err(|why| End::Failed(why.to_failure()))
}

fn progress(deploy: &Deploy<'_>) -> Progress {
    let log = deploy.log.clone();
    Arc::new(move |line: &str| log.line(LogSource::Build, &format!("   {line}")))
}

async fn submodule_access(deploy: &Deploy<'_>, settings: &BuildSettings) -> Result<Option<SubmoduleAccess>, End> {
    let app = &deploy.claim.app;
    if !settings.submodules {
        return Ok(None);
    }
    let deploy_key = deploy.shared.store.deploy_key(app.id).await?;
    Ok(Some(SubmoduleAccess {
        repo_url: app.settings.repo_url.clone(),
        deploy_key,
        progress: progress(deploy),
    }))
}

async fn build_image(deploy: &Deploy<'_>, source: Source<'_>, plan: Plan) -> Result<BuiltImage, End> {
    deploy.log.heading(format!("Building with {}", title(&plan)));
    let config = deploy.config().await?;
    let redactor = Redactor::new(config.vars.values());
    let request = BuildRequest {
        tree: source.tree,
        plan,
        settings: source.settings.clone(),
        tag: reference(deploy),
        labels: image_labels(deploy, source.commit),
        config: config.vars,
        cache_scope: deploy.claim.app.id.to_string(),
    };
    let (events, received) = mpsc::channel(256);
    let (built, (), ()) = tokio::join!(
        deploy.shared.builder.build(request, events, deploy.cancel.clone()),
        narrate(deploy, received, &redactor),
        prepare_network(deploy),
    );
    match built {
        Ok(image) => {
            deploy.log.detail(&format!(
                "Built in {}, {} MB",
                seconds(image.duration),
                image.size_bytes / 1_000_000
            ));
            Ok(image)
        }
        Err(BuildError::Failed(mut failure)) => {
            failure.evidence = failure.evidence.iter().map(|line| redactor.redact(line)).collect();
            Err(End::Failed(failure))
        }
        Err(BuildError::Cancelled) => Err(End::Cancelled),
        Err(error) => Err(End::Fault(error.into())),
    }
}

/// Makes the app's network while the build runs. A failure shows again, with its reason, when an instance needs the network.
async fn prepare_network(deploy: &Deploy<'_>) {
    let app = &deploy.claim.app;
    if let Ok(Some(work)) = deploy.shared.store.app_work(app.id).await
        && let Err(error) = network::ensure(deploy.shared, app.id, &app.name, work.subnet).await
    {
        tracing::warn!(app = %app.name, error = format!("{error:#}"), "the network could not be made ahead");
    }
}

fn title(plan: &Plan) -> String {
    match plan {
        Plan::Dockerfile(plan) => plan.path.clone(),
        Plan::Buildpack(plan) => format!("the {} buildpack", plan.buildpack),
    }
}

fn image_labels(deploy: &Deploy<'_>, commit: &CommitSha) -> BTreeMap<String, String> {
    let app = &deploy.claim.app;
    let mut labels = deploy.shared.config.engine_labels();
    labels.extend(
        [
            (labels::APP_ID, app.id.to_string()),
            (labels::APP, app.name.to_string()),
            (labels::DEPLOYMENT, deploy.claim.deployment.id.to_string()),
            (labels::COMMIT, commit.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    labels
}

/// Writes what the build does into the log, as it happens.
async fn narrate(deploy: &Deploy<'_>, mut events: mpsc::Receiver<BuildEvent>, redactor: &Redactor) {
    while let Some(event) = events.recv().await {
        let text = match event {
            BuildEvent::Waiting { reason } => format!("   {reason}"),
            BuildEvent::StepStarted { name, .. } => format!("#  {name}"),
            BuildEvent::StepFinished { name, cached: true, .. } => format!("   cached: {name}"),
            BuildEvent::StepFinished { error: Some(error), .. } => format!("   failed: {error}"),
            BuildEvent::StepFinished { duration, .. } => format!("   done in {}", seconds(duration)),
            BuildEvent::Line { text, .. } => format!("   {text}"),
            BuildEvent::Warning { text } => format!("   warning: {text}"),
        };
        deploy.log.line(LogSource::Build, &redactor.redact(&text));
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
