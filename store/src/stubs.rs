#![allow(clippy::todo, unused_variables, missing_docs, clippy::too_many_arguments, reason = "signatures first")]
use std::{collections::BTreeMap, time::Duration};

use ipnet::Ipv4Net;
use tokio::sync::broadcast;
use windlass_domain::*;

use crate::*;

type R<T> = Result<T, StoreError>;

impl Store {
    pub async fn connect(options: StoreOptions) -> Result<Store, ConnectError> { todo!() }
    pub async fn migrate(&self) -> Result<(), MigrateError> { todo!() }
    pub async fn ping(&self) -> R<()> { todo!() }
    pub fn events(&self) -> broadcast::Receiver<Event> { todo!() }
    pub async fn listen(&self, shutdown: impl Future<Output = ()> + Send) { todo!() }
    pub async fn close(&self) { todo!() }

    pub async fn install(&self) -> R<Installation> { todo!() }
    pub async fn reset_setup_token(&self) -> R<Secret<String>> { todo!() }
    pub async fn redeem_setup_token(&self, token: &Secret<String>, token_name: &str) -> R<Option<(TokenRow, Secret<String>)>> { todo!() }
    pub async fn authenticate(&self, token: &Secret<String>) -> R<Option<Actor>> { todo!() }
    pub async fn create_token(&self, team: TeamId, name: &str) -> R<(TokenRow, Secret<String>)> { todo!() }
    pub async fn list_tokens(&self, team: TeamId) -> R<Vec<TokenRow>> { todo!() }
    pub async fn revoke_token(&self, team: TeamId, token: TokenId) -> R<bool> { todo!() }

    pub async fn create_app(&self, team: TeamId, new: NewApp) -> Result<AppRow, CreateAppError> { todo!() }
    pub async fn list_apps(&self, team: TeamId, page: Page) -> R<PageOf<AppRow>> { todo!() }
    pub async fn app(&self, team: TeamId, name: &AppName) -> R<Option<AppRow>> { todo!() }
    pub async fn app_by_id(&self, team: TeamId, app: AppId) -> R<Option<AppRow>> { todo!() }
    pub async fn update_app(&self, team: TeamId, app: AppId, settings: &AppSettings) -> R<Option<AppRow>> { todo!() }
    pub async fn delete_app(&self, team: TeamId, app: AppId) -> R<bool> { todo!() }
    pub async fn webhook_secret(&self, team: TeamId, app: AppId) -> R<Option<Secret<String>>> { todo!() }
    pub async fn set_webhook_secret(&self, team: TeamId, app: AppId, secret: &Secret<String>) -> R<bool> { todo!() }
    pub async fn webhook_targets(&self, repo_identity: &str) -> R<Vec<WebhookTarget>> { todo!() }
    pub async fn record_delivery(&self, record: &DeliveryRecord) -> R<bool> { todo!() }
    pub async fn deliver_push(&self, target: &WebhookTarget, delivery: &Delivery, new: NewDeployment) -> R<Delivered> { todo!() }
    pub async fn deploy_key(&self, app: AppId) -> R<Option<Secret<String>>> { todo!() }

    pub async fn config(&self, team: TeamId, app: AppId) -> R<Config> { todo!() }
    pub async fn config_at(&self, app: AppId, version: u32) -> R<Config> { todo!() }
    pub async fn patch_config(&self, team: TeamId, app: AppId, changes: &BTreeMap<ConfigKey, Option<Secret<String>>>, by: TokenId) -> R<Option<ConfigPatched>> { todo!() }

    pub async fn create_deployment(&self, team: TeamId, app: AppId, new: NewDeployment) -> R<Option<DeploymentRow>> { todo!() }
    pub async fn list_deployments(&self, team: TeamId, app: AppId, page: Page) -> R<PageOf<DeploymentRow>> { todo!() }
    pub async fn deployment(&self, team: TeamId, app: AppId, deployment: DeploymentId) -> R<Option<DeploymentRow>> { todo!() }
    pub async fn deployment_steps(&self, team: TeamId, deployment: DeploymentId) -> R<Vec<StepRow>> { todo!() }
    pub async fn request_cancel(&self, team: TeamId, app: AppId, deployment: DeploymentId, by: TokenId) -> R<CancelOutcome> { todo!() }
    pub async fn deployment_log(&self, team: TeamId, deployment: DeploymentId, after_seq: i64, limit: u32) -> R<Vec<LogLine>> { todo!() }
    pub async fn create_rollback(&self, team: TeamId, app: AppId, to: Option<ReleaseVersion>, by: TokenId) -> Result<DeploymentRow, RollbackError> { todo!() }

    pub async fn list_releases(&self, team: TeamId, app: AppId, page: Page) -> R<PageOf<ReleaseRow>> { todo!() }
    pub async fn release(&self, team: TeamId, app: AppId, version: ReleaseVersion) -> R<Option<ReleaseRow>> { todo!() }
    pub async fn list_instances(&self, team: TeamId, app: AppId) -> R<Vec<InstanceRow>> { todo!() }
    pub async fn formation(&self, team: TeamId, app: AppId) -> R<Vec<FormationRow>> { todo!() }
    pub async fn scale(&self, team: TeamId, app: AppId, quantities: &BTreeMap<ProcessType, u32>) -> Result<Vec<FormationRow>, ScaleError> { todo!() }
    pub async fn restart(&self, team: TeamId, app: AppId, process: Option<&ProcessType>) -> Result<(), ScaleError> { todo!() }
    pub async fn run_log_tail(&self, team: TeamId, app: AppId, process: Option<&ProcessType>, lines: u32) -> R<Vec<RunLogRow>> { todo!() }
    pub async fn run_log_after(&self, team: TeamId, app: AppId, process: Option<&ProcessType>, after: i64, limit: u32) -> R<Vec<RunLogRow>> { todo!() }

    pub async fn claim_deployment(&self, worker: WorkerId, lease: Duration) -> R<Option<Claim>> { todo!() }
    pub async fn oldest_pending_age(&self) -> R<Option<Duration>> { todo!() }
    pub async fn heartbeat(&self, worker: WorkerId, deployment: DeploymentId, attempt: i32, lease: Duration) -> R<Heartbeat> { todo!() }
    pub async fn enter_step(&self, deployment: DeploymentId, attempt: i32, step: Step) -> R<bool> { todo!() }
    pub async fn finish_step(&self, deployment: DeploymentId, attempt: i32, step: Step, outcome: &str) -> R<bool> { todo!() }
    pub async fn set_commit(&self, deployment: DeploymentId, attempt: i32, commit: &CommitSha, message: Option<&str>) -> R<bool> { todo!() }
    pub async fn append_deployment_log(&self, deployment: DeploymentId, lines: &[(LogSource, String)]) -> R<i64> { todo!() }
    pub async fn record_image(&self, deployment: DeploymentId, attempt: i32, image: NewImage) -> R<Option<ImageRow>> { todo!() }
    pub async fn record_release(&self, deployment: DeploymentId, attempt: i32, release: NewRelease) -> R<Option<ReleaseRow>> { todo!() }
    pub async fn set_candidate(&self, deployment: DeploymentId, attempt: i32, release: ReleaseId) -> R<bool> { todo!() }
    pub async fn clear_candidate(&self, app: AppId, release: ReleaseId) -> R<()> { todo!() }
    pub async fn finish_deployment(&self, deployment: DeploymentId, attempt: i32, outcome: Outcome) -> R<bool> { todo!() }
    pub async fn release_deployment(&self, deployment: DeploymentId, attempt: i32) -> R<bool> { todo!() }

    pub async fn lease_app(&self, app: AppId, worker: WorkerId, ttl: Duration) -> R<bool> { todo!() }
    pub async fn unlease_app(&self, app: AppId, worker: WorkerId) -> R<()> { todo!() }
    pub async fn app_work(&self, app: AppId) -> R<Option<AppWork>> { todo!() }
    pub async fn apps_to_converge(&self) -> R<Vec<AppId>> { todo!() }
    pub async fn set_subnet(&self, app: AppId, subnet: Ipv4Net) -> R<bool> { todo!() }
    pub async fn used_subnets(&self) -> R<Vec<Ipv4Net>> { todo!() }
    pub async fn clear_subnet(&self, app: AppId) -> R<()> { todo!() }
    pub async fn promote(&self, app: AppId, release: ReleaseId) -> R<bool> { todo!() }
    pub async fn fail_candidate(&self, app: AppId, release: ReleaseId, failure: &Failure) -> R<bool> { todo!() }
    pub async fn insert_instance(&self, new: NewInstance) -> R<InstanceRow> { todo!() }
    pub async fn set_instance_container(&self, instance: InstanceId, container: &str, address: Option<std::net::SocketAddr>) -> R<()> { todo!() }
    pub async fn set_instance_state(&self, instance: InstanceId, state: InstanceState, end: InstanceEnd) -> R<bool> { todo!() }
    pub async fn live_instances(&self) -> R<Vec<(InstanceRow, AppName)>> { todo!() }
    pub async fn routed_apps(&self) -> R<Vec<(AppName, Vec<Upstream>)>> { todo!() }
    pub async fn next_route_generation(&self) -> R<u64> { todo!() }
    pub async fn append_run_log(&self, batch: &RunLogBatch) -> R<()> { todo!() }
    pub async fn images_of(&self, app: AppId) -> R<Vec<ImageRow>> { todo!() }
    pub async fn mark_image_removed(&self, image: ImageId) -> R<()> { todo!() }
    pub async fn removable_images(&self, keep: u32) -> R<Vec<(AppId, ImageRow)>> { todo!() }
    pub async fn purge_app(&self, app: AppId) -> R<bool> { todo!() }
}
