//! From the engine's words to a reason, evidence and a next step. Pure.
//!
//! Engines word the same failure differently from version to version, and wrap it (`failed to solve with frontend dockerfile.v0:
//! failed to create LLB definition: …`), so what is looked for are the parts that have stayed.

mod build_file;
mod missing;
mod step;
#[cfg(test)]
mod tests;

use windlass_domain::{Failure, FailureCode};

use crate::{Plan, limits::Memory, progress::StepState};

/// What a build's error is explained from.
pub(crate) struct Symptoms<'a> {
    /// The engine's message, clean.
    pub(crate) message: &'a str,
    /// The step that failed, as far as it is known.
    pub(crate) step: Option<&'a StepState>,
    /// How the revision was built.
    pub(crate) plan: &'a Plan,
    /// The stage that the settings ask for.
    pub(crate) target: Option<&'a str>,
    /// What is known of its memory.
    pub(crate) memory: &'a Memory,
}

/// Why the build failed.
pub(crate) fn diagnose(symptoms: &Symptoms<'_>) -> Failure {
    let message = bare(symptoms.message);
    build_file::parse_error(message, symptoms)
        .or_else(|| missing::frontend(message, symptoms))
        .or_else(|| step::out_of_memory(message, symptoms))
        .or_else(|| step::disk(message, symptoms))
        .or_else(|| step::exit(message, symptoms))
        .or_else(|| build_file::target(message, symptoms))
        .or_else(|| missing::secret(message))
        .or_else(|| missing::file(message, symptoms))
        .or_else(|| missing::base_image(message, symptoms))
        .or_else(|| build_file::definition(symptoms))
        .unwrap_or_else(|| other(message, symptoms))
}

/// The build took too long.
pub(crate) fn timed_out(seconds: u32, step: Option<&StepState>) -> Failure {
    let during = step.map(|step| format!(" during `{}`", step.name)).unwrap_or_default();
    Failure::new(
        FailureCode::BuildTimeout,
        format!("the build took longer than its timeout of {seconds} s{during}"),
        "make the build faster (copy dependency files before the source, so that their step is cached), \
         or raise the app's build timeout",
    )
    .with_evidence(tail(step))
}

fn tail(step: Option<&StepState>) -> Vec<String> {
    step.map(|step| step.tail.iter().cloned().collect()).unwrap_or_default()
}

/// The message without what engines wrap around it.
fn bare(message: &str) -> &str {
    let wraps = [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
    ];
    let mut rest = message;
    while let Some(inner) = wraps.iter().find_map(|wrap| rest.strip_prefix(wrap)) {
        rest = inner;
    }
    // A gRPC status in front of the message itself.
    match rest
        .strip_prefix("rpc error: code = ")
        .and_then(|rest| rest.split_once(" desc = "))
    {
        Some((_, inner)) => bare(inner),
        None => rest,
    }
}

fn other(message: &str, symptoms: &Symptoms<'_>) -> Failure {
    let reason = match symptoms.step {
        Some(step) => format!("the build failed at `{}`", step.name),
        None => "the build failed".to_owned(),
    };
    Failure::new(
        FailureCode::BuildFailed,
        reason,
        "correct what the message says and push again",
    )
    .with_evidence([message.to_owned()])
    .with_evidence(tail(symptoms.step))
}
