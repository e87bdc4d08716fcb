//! Something that the build asks for could not be had: an image, a file of its context, a secret.

use windlass_domain::{Failure, FailureCode};

use super::Symptoms;
use crate::Plan;

/// The `# syntax=` frontend could not be had.
pub(super) fn frontend(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let Plan::Dockerfile(plan) = symptoms.plan else {
        return None;
    };
    let syntax = plan.syntax.as_deref()?;
    let named = message.contains("gateway.v0") || message.contains(syntax.split(['@', ':']).next().unwrap_or(syntax));
    let step_is_it = symptoms
        .step
        .is_some_and(|step| step.name.contains("resolve image config for docker"));
    (named || step_is_it).then(|| {
        Failure::new(
            FailureCode::BuildFailed,
            format!("the frontend `{syntax}` that the first line of {} asks for cannot be used", plan.path),
            "check that the Docker Engine reaches the registry; or remove the `# syntax=` line: the engine's own frontend \
             does for most Dockerfiles",
        )
        .with_evidence([message.to_owned()])
    })
}

pub(super) fn secret(message: &str) -> Option<Failure> {
    let (_, rest) = message
        .split_once("secret ")
        .filter(|_| message.ends_with("not found"))?;
    let name = rest.split([' ', ':']).next()?;
    Some(Failure::new(
        FailureCode::BuildFailed,
        format!("a step needs the secret `{name}`, and the app has no config var of this name"),
        format!("set it with `windlass config set {name}=…`, or drop `required` from the mount"),
    ))
}

/// COPY or ADD of a file that the context does not have.
pub(super) fn file(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let about_files = [
        "failed to compute cache key",
        "failed to calculate checksum",
        "failed to walk",
        "lstat /",
    ];
    let named = about_files.iter().any(|sign| message.contains(sign));
    if !named || !(message.contains("not found") || message.contains("no such file")) {
        return None;
    }
    let step = symptoms.step.map_or("COPY", |step| step.name.as_str());
    Some(
        Failure::new(
            FailureCode::BuildFailed,
            format!("`{step}` names a file that is not in the build context"),
            "commit the file, correct its path (it is relative to the build context), or take it out of .dockerignore",
        )
        .with_evidence([message.to_owned()]),
    )
}

pub(super) fn base_image(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let signs = [
        "pull access denied",
        "failed to resolve source metadata",
        "failed to load metadata",
        "failed to do request",
        "failed to authorize",
        "manifest unknown",
        "no match for platform",
        "invalid reference format",
        "failed to resolve reference",
    ];
    let load = symptoms.step.and_then(|step| image_of(&step.name));
    if load.is_none() && !signs.iter().any(|sign| message.contains(sign)) && !message.ends_with(": not found") {
        return None;
    }
    let image = load.or_else(|| message.split(": ").next()).unwrap_or("the base image");
    Some(
        Failure::new(
            FailureCode::BuildFailed,
            format!("the image `{image}` that the build starts from cannot be pulled"),
            "check its name and tag, that it is public, and that the Docker Engine reaches its registry",
        )
        .with_evidence([message.to_owned()]),
    )
}

/// The image that a step is about.
fn image_of(step: &str) -> Option<&str> {
    let name = step.strip_prefix("[internal] load metadata for ").or_else(|| {
        let name = step.rsplit_once("] ").map_or(step, |(_, name)| name);
        name.strip_prefix("FROM ")
    })?;
    name.split_whitespace().next()
}
