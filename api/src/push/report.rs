//! How a push that waited for its deployment ends: what the user reads last, and what git is told.

use windlass_domain::{AppName, DeploymentStatus};
use windlass_source::hook::Verdict;
use windlass_store::DeploymentRow;

/// What the user reads last, and what git is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) lines: Vec<String>,
    pub(crate) verdict: Verdict,
}

/// The end of a deployment. What the log said already (`seen`) is not said again.
pub(crate) fn ending(row: &DeploymentRow, url: &str, seen: &[String]) -> Ending {
    let (lines, verdict) = match row.status {
        DeploymentStatus::Succeeded => {
            let version = row.release.map(|version| format!(" ({version})")).unwrap_or_default();
            (vec![format!("=====> {url} is live{version}")], Verdict::Accepted)
        }
        DeploymentStatus::Cancelled => (Vec::new(), rejected("the deployment was cancelled")),
        DeploymentStatus::Superseded => {
            let by = row.superseded_by.map(|id| format!(" by {id}")).unwrap_or_default();
            (
                Vec::new(),
                rejected(&format!("superseded{by}, which was asked for later")),
            )
        }
        DeploymentStatus::Failed | DeploymentStatus::Pending | DeploymentStatus::Running => match &row.failure {
            Some(failure) => (failure.lines(), rejected(&failure.reason)),
            None => (Vec::new(), rejected("the deployment failed")),
        },
    };
    let lines = if said_already(&lines, seen) { Vec::new() } else { lines };
    Ending { lines, verdict }
}

/// The server stops while the deployment goes on: nobody here will see how it ends, so nobody may say that it is live.
pub(crate) fn interrupted(row: &DeploymentRow, app: &AppName) -> Ending {
    Ending {
        lines: vec![
            " !     Windlass is restarting. The deployment goes on by itself".to_owned(),
            format!(" !     Next: windlass deployments -a {app} shows how {} ends", row.id),
        ],
        verdict: rejected(&format!(
            "Windlass is restarting; {} goes on, its end is not known yet",
            row.id
        )),
    }
}

fn rejected(reason: &str) -> Verdict {
    Verdict::Rejected(reason.lines().next().unwrap_or_default().to_owned())
}

/// The worker knows the same words; what it wrote into the log was shown already.
fn said_already(lines: &[String], seen: &[String]) -> bool {
    let is_live = |line: &String| line.starts_with("=====>") && line.contains(" is live");
    lines
        .first()
        .is_some_and(|first| seen.contains(first) || (is_live(first) && seen.iter().any(is_live)))
}

#[cfg(test)]
mod tests {
    use windlass_domain::{AppId, DeploymentId, DeploymentKind, Failure, FailureCode, ReleaseVersion, TeamId};
    use windlass_store::Trigger;

    use super::*;

    const URL: &str = "https://shop.example.com";

    fn row(status: DeploymentStatus) -> DeploymentRow {
        DeploymentRow {
            id: DeploymentId::generate(),
            app: AppId::generate(),
            team: TeamId::generate(),
            kind: DeploymentKind::Config,
            trigger: Trigger::Push,
            commit: None,
            reference: None,
            message: None,
            status,
            step: None,
            attempt: 1,
            release: Some(ReleaseVersion(4)),
            failure: None,
            superseded_by: None,
            cancel_requested: false,
            created_at: chrono::DateTime::UNIX_EPOCH,
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn a_success_ends_with_the_address_once() {
        let row = row(DeploymentStatus::Succeeded);
        let live = "=====> https://shop.example.com is live (v4)".to_owned();
        let end = ending(&row, URL, &[]);
        assert_eq!((end.lines, end.verdict), (vec![live.clone()], Verdict::Accepted));
        assert_eq!(ending(&row, URL, &[live]).lines, Vec::<String>::new());
    }

    #[test]
    fn a_failure_is_told_once_and_rejects_with_its_reason() {
        let failure = Failure::new(FailureCode::BuildFailed, "The build failed.", "fix it");
        let failed = DeploymentRow {
            failure: Some(failure.clone()),
            ..row(DeploymentStatus::Failed)
        };
        let end = ending(&failed, URL, &[]);
        assert_eq!(end.lines, failure.lines());
        assert_eq!(end.verdict, rejected("The build failed."));
        assert_eq!(ending(&failed, URL, &failure.lines()).lines, Vec::<String>::new());
    }

    #[test]
    fn what_did_not_go_live_is_rejected() {
        let newer = DeploymentId::generate();
        let superseded = DeploymentRow {
            superseded_by: Some(newer),
            ..row(DeploymentStatus::Superseded)
        };
        for (row, word) in [
            (row(DeploymentStatus::Cancelled), "cancelled".to_owned()),
            (superseded, newer.to_string()),
            (row(DeploymentStatus::Failed), "failed".to_owned()),
        ] {
            let Verdict::Rejected(reason) = ending(&row, URL, &[]).verdict else {
                panic!("{:?} was accepted", row.status);
            };
            assert!(reason.contains(&word), "{reason}");
        }
    }
}
