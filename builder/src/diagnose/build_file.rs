//! The Dockerfile itself is what is wrong.

use windlass_domain::{Failure, FailureCode};

use super::{Symptoms, bare};
use crate::Plan;

fn build_file(symptoms: &Symptoms<'_>) -> String {
    match symptoms.plan {
        Plan::Dockerfile(plan) => plan.path.clone(),
        Plan::Buildpack(plan) => format!("the Dockerfile made by the {} buildpack", plan.buildpack),
    }
}

pub(super) fn parse_error(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let (_, detail) = message
        .split_once("dockerfile parse error ")
        .or_else(|| message.split_once("Dockerfile parse error "))?;
    let detail = detail.strip_prefix("on ").unwrap_or(detail);
    let file = build_file(symptoms);
    let reason = match detail.strip_prefix("line ").and_then(|rest| rest.split_once(':')) {
        Some((line, problem)) => format!("{file} line {line}: {}", problem.trim()),
        None => format!("{file}: {detail}"),
    };
    let next = if detail.contains("unknown instruction") {
        "correct the Dockerfile at this line; if the line belongs to a here-document (`<<EOF`), the engine is too old for it: \
         put `# syntax=docker/dockerfile:1` on the first line, or use `&&` instead"
    } else {
        "correct the Dockerfile at this line and push again"
    };
    Some(Failure::new(FailureCode::InvalidBuildFile, reason, next))
}

/// The Dockerfile parses, but makes no build: it is empty, has no stage, or an instruction lacks its arguments.
pub(super) fn definition(symptoms: &Symptoms<'_>) -> Option<Failure> {
    let signs = [
        "failed to create LLB definition",
        "cannot be empty",
        "file with no instructions",
        "no build stage",
    ];
    signs.iter().any(|sign| symptoms.message.contains(sign)).then(|| {
        let reason = format!("{}: {}", build_file(symptoms), bare(symptoms.message));
        Failure::new(
            FailureCode::InvalidBuildFile,
            reason,
            "correct the Dockerfile and push again",
        )
    })
}

pub(super) fn target(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let target = symptoms.target?;
    message.contains("target stage").then(|| {
        Failure::new(
            FailureCode::InvalidBuildFile,
            format!("{} has no stage `{target}`", build_file(symptoms)),
            format!("name a stage `{target}` (`FROM … AS {target}`), or change the app's build target"),
        )
    })
}
