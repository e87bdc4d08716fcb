//! Builds against a real Docker Engine. Nothing stays behind but the engine's build cache and the Debian base image.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

mod buildpacks;
mod cancellation;
mod dockerfiles;
mod limits;
mod support;
