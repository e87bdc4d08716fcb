//! What a push shall lead to: decided from the refs, the options and the app's branch alone.

use windlass_domain::{BranchName, CommitSha, log::clean_line};
use windlass_source::hook::{RefUpdate, Verdict};

/// The prefix of refs that are ours.
const OUR_REFS: &str = "refs/windlass/";

/// What a push shall lead to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// What the user is told first.
    pub(crate) lines: Vec<String>,
    /// What becomes of each ref; none: what becomes of the deployment.
    verdicts: Vec<Option<Verdict>>,
    /// What is to be deployed.
    pub(crate) deploy: Option<Deploy>,
}

/// A commit to be deployed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deploy {
    pub(crate) commit: CommitSha,
    /// The branch as it was pushed.
    pub(crate) branch: String,
    /// The push ends as soon as the deployment is recorded.
    pub(crate) detach: bool,
}

impl Decision {
    /// The verdicts, in the order of the refs, when the deployment's is known.
    pub(crate) fn verdicts(self, of_deployment: &Verdict) -> Vec<Verdict> {
        let known = |verdict: Option<Verdict>| verdict.unwrap_or_else(|| of_deployment.clone());
        self.verdicts.into_iter().map(known).collect()
    }
}

/// What the user gave with `-o`.
#[derive(Default)]
struct Options {
    no_deploy: bool,
    detach: bool,
}

/// Decides over a push to an app that deploys `branch`.
pub(crate) fn decide(branch: &BranchName, updates: &[RefUpdate], options: &[String]) -> Decision {
    let mut lines = Vec::new();
    let options = read_options(options, &mut lines);
    let several = updates.iter().filter(|update| is_deployed(branch, update)).count() > 1;
    let mut deploy = None;
    let mut not_deployed = Vec::new();
    let mut verdicts = Vec::new();
    for update in updates {
        verdicts.push(if update.name.starts_with(OUR_REFS) {
            Some(rejected("refs/windlass/ is kept by Windlass itself"))
        } else if !is_deployed(branch, update) {
            not_deployed.push(update);
            Some(Verdict::FallThrough)
        } else if update.is_deletion() {
            Some(rejected("the branch that is deployed cannot be deleted"))
        } else if several {
            Some(rejected("push one branch to deploy at a time"))
        } else if options.no_deploy {
            lines.push("-----> Stored without a deployment (no-deploy)".to_owned());
            Some(Verdict::FallThrough)
        } else {
            match update.new.parse() {
                Ok(commit) => {
                    deploy = Some(Deploy {
                        commit,
                        branch: update.branch().unwrap_or_default().to_owned(),
                        detach: options.detach,
                    });
                    None
                }
                Err(_) => Some(rejected("the ref does not point to a commit")),
            }
        });
    }
    lines.extend(explain(branch, &not_deployed, deploy.is_some()));
    Decision {
        lines,
        verdicts,
        deploy,
    }
}

/// `master` is what an older git calls the branch that a newer one calls `main`.
fn is_deployed(branch: &BranchName, update: &RefUpdate) -> bool {
    let pushed = update.branch();
    pushed == Some(branch.as_str()) || (branch.as_str() == "main" && pushed == Some("master"))
}

fn rejected(reason: &str) -> Verdict {
    Verdict::Rejected(reason.to_owned())
}

fn read_options(given: &[String], lines: &mut Vec<String>) -> Options {
    let mut options = Options::default();
    for option in given {
        match option.as_str() {
            "no-deploy" => options.no_deploy = true,
            "detach" => options.detach = true,
            other => lines.push(format!(
                " !     The push option `{}` is not known and is ignored; there are no-deploy and detach",
                clean_line(other, 60)
            )),
        }
    }
    options
}

/// Why nothing happens to the other refs, and what to do if something should.
fn explain(branch: &BranchName, others: &[&RefUpdate], deploys: bool) -> Option<String> {
    let first = others.iter().find(|update| !update.is_deletion())?;
    let name = first.name.trim_start_matches("refs/heads/");
    let name = clean_line(name.strip_prefix("refs/").unwrap_or(name), 60);
    let more = match others.len() {
        1 => String::new(),
        several => format!(" and {} more", several - 1),
    };
    let hint = if deploys {
        String::new()
    } else {
        format!(": git push windlass HEAD:{branch}")
    };
    Some(format!(
        "-----> {name}{more} stored, not deployed; only {branch} is deployed{hint}"
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn update(name: &str, new: &str) -> RefUpdate {
        RefUpdate {
            old: ZERO.to_owned(),
            new: new.to_owned(),
            name: name.to_owned(),
        }
    }

    /// What becomes of each ref, in a letter: Deployed, Stored, Rejected; and whether the push waits for the deployment.
    fn decided(branch: &str, refs: &[&str], options: &[&str]) -> (String, &'static str, String) {
        let updates: Vec<RefUpdate> = refs
            .iter()
            .map(|name| match name.strip_prefix('-') {
                Some(name) => update(name, ZERO),
                None => update(name, ONE),
            })
            .collect();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let decision = decide(&branch.parse().unwrap(), &updates, &options);
        let letters = decision.verdicts.iter().map(|verdict| match verdict {
            None => 'D',
            Some(Verdict::FallThrough) => 'S',
            Some(Verdict::Rejected(_)) => 'R',
            Some(Verdict::Accepted) => 'A',
        });
        let follow = match &decision.deploy {
            None => "nothing",
            Some(Deploy { detach: true, .. }) => "detached",
            Some(Deploy { detach: false, .. }) => "followed",
        };
        (letters.collect(), follow, decision.lines.join("\n"))
    }

    #[rstest]
    #[case::the_branch("main", &["refs/heads/main"], &[], "D", "followed")]
    #[case::master_is_main("main", &["refs/heads/master"], &[], "D", "followed")]
    #[case::master_is_not_live("live", &["refs/heads/master"], &[], "S", "nothing")]
    #[case::main_is_not_live("live", &["refs/heads/main"], &[], "S", "nothing")]
    #[case::own_branch("live", &["refs/heads/live"], &[], "D", "followed")]
    #[case::nested_branch("a/b", &["refs/heads/a/b", "refs/heads/a"], &[], "DS", "followed")]
    #[case::other_branch("main", &["refs/heads/feature"], &[], "S", "nothing")]
    #[case::tag_of_that_name("main", &["refs/tags/main"], &[], "S", "nothing")]
    #[case::branch_and_tag("main", &["refs/tags/v1", "refs/heads/main"], &[], "SD", "followed")]
    #[case::deletion("main", &["-refs/heads/main"], &[], "R", "nothing")]
    #[case::deletion_of_another("main", &["-refs/heads/x", "refs/heads/main"], &[], "SD", "followed")]
    #[case::two_at_once("main", &["refs/heads/main", "refs/heads/master"], &[], "RR", "nothing")]
    #[case::no_deploy("main", &["refs/heads/main"], &["no-deploy"], "S", "nothing")]
    #[case::no_deploy_wins("main", &["refs/heads/main"], &["detach", "no-deploy"], "S", "nothing")]
    #[case::no_deploy_deletes_neither("main", &["-refs/heads/main"], &["no-deploy"], "R", "nothing")]
    #[case::detach("main", &["refs/heads/main"], &["detach"], "D", "detached")]
    #[case::unknown_option("main", &["refs/heads/main"], &["ci.skip"], "D", "followed")]
    #[case::ours("main", &["refs/windlass/fetched"], &[], "R", "nothing")]
    #[case::nothing("main", &[], &[], "", "nothing")]
    fn refs_are_deployed_stored_or_rejected(
        #[case] branch: &str,
        #[case] refs: &[&str],
        #[case] options: &[&str],
        #[case] letters: &str,
        #[case] follow: &str,
    ) {
        let (found, followed, _) = decided(branch, refs, options);
        assert_eq!((found.as_str(), followed), (letters, follow));
    }

    #[test]
    fn the_user_is_told_what_was_not_deployed_and_why() {
        let told = |refs: &[&str], options: &[&str]| decided("main", refs, options).2;
        assert_eq!(
            told(&["refs/heads/feature"], &[]),
            "-----> feature stored, not deployed; only main is deployed: git push windlass HEAD:main"
        );
        assert_eq!(
            told(&["refs/tags/v1", "refs/heads/main"], &[]),
            "-----> tags/v1 stored, not deployed; only main is deployed"
        );
        assert_eq!(
            told(&["refs/heads/main"], &["no-deploy"]),
            "-----> Stored without a deployment (no-deploy)"
        );
        assert!(told(&["refs/heads/main"], &["ci.skip"]).contains("`ci.skip` is not known"));
        assert_eq!(told(&["-refs/heads/x"], &[]), "");
    }

    #[test]
    fn the_deployments_verdict_goes_where_it_belongs() {
        let branch = "main".parse().unwrap();
        let decision = decide(
            &branch,
            &[update("refs/tags/v1", ONE), update("refs/heads/main", ONE)],
            &[],
        );
        let verdicts = decision.verdicts(&rejected("the build failed"));
        assert_eq!(verdicts, [Verdict::FallThrough, rejected("the build failed")]);
    }
}
