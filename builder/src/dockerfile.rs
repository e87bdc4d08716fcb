//! Builds by the revision's own Dockerfile: where it is, which frontend it asks for, what starts in its image.

use windlass_buildpacks::{InvalidFile, PlanError, Tree, processes_of, with_default_web};
use windlass_domain::{BuildSettings, Failure, FailureCode, ProcessSpec, ProcessType};

use crate::{DockerfilePlan, PlanFailure};

/// Where the Dockerfile is if the settings do not say.
pub(crate) const DEFAULT_PATH: &str = "Dockerfile";
/// The build arg by which a frontend could be chosen behind the back of the Dockerfile.
pub(crate) const FRONTEND_ARG: &str = "BUILDKIT_SYNTAX";
/// A frontend is code that steers the builder: only Docker's own is run.
const FRONTENDS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];
/// Names of files that a message lists at most.
const LISTED: usize = 20;

/// The plan of a Dockerfile build.
pub(crate) fn plan(tree: &Tree<'_>, path: &str, settings: &BuildSettings) -> Result<DockerfilePlan, PlanFailure> {
    let path = normal(path);
    let Some(text) = tree.text(&path).map_err(PlanFailure::Read)? else {
        return Err(PlanFailure::Refused(missing(tree, &path, settings)));
    };
    let syntax = syntax(&text);
    if let Some(frontend) = syntax.as_deref().filter(|frontend| !is_known_frontend(frontend)) {
        let next = format!("remove the line, or use `# syntax={}:1`", FRONTENDS[0]);
        let problem = format!("asks for the frontend `{frontend}`, which is not allowed");
        return Err(PlanError::Invalid(InvalidFile::new(&path, Some(1), problem, next)).into());
    }
    if settings.args.contains_key(FRONTEND_ARG) || settings.config_args.iter().any(|name| name == FRONTEND_ARG) {
        return Err(PlanFailure::Refused(Failure::new(
            FailureCode::InvalidBuildFile,
            format!("the build arg `{FRONTEND_ARG}` would replace the builder's frontend, which is not allowed"),
            "remove it from the app's build args",
        )));
    }
    let own_web = ProcessSpec {
        process: ProcessType::web(),
        command: None,
    };
    let processes = with_default_web(processes_of(tree)?, Some(own_web));
    Ok(DockerfilePlan {
        path,
        syntax,
        processes,
    })
}

/// Without `./` and doubled slashes, as the files of a tree are named.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

fn missing(tree: &Tree<'_>, path: &str, settings: &BuildSettings) -> Failure {
    let place = match settings.context.as_deref() {
        Some(context) => format!("in the build context `{context}`"),
        None => "at the root of the revision".to_owned(),
    };
    let same_name: Vec<&str> = tree
        .paths()
        .filter(|found| found.rsplit('/').next() == path.rsplit('/').next())
        .take(5)
        .collect();
    let next = match same_name.first() {
        Some(found) => format!("there is one at `{found}`: set the app's Dockerfile or build context to it"),
        None => "commit the Dockerfile, or set the app's builder to `auto` to use a buildpack".to_owned(),
    };
    let mut found = tree.top_level();
    if found.len() > LISTED {
        let more = found.len() - LISTED;
        found.truncate(LISTED);
        found.push(format!("and {more} more"));
    }
    let found: Vec<String> = found.iter().map(|name| name.escape_debug().to_string()).collect();
    Failure::new(
        FailureCode::NoBuilder,
        format!("there is no Dockerfile at `{path}` {place}"),
        next,
    )
    .with_evidence([format!("looked for {path}"), format!("found: {}", found.join(", "))])
}

/// The value of a `# syntax=` directive. Directives stand before everything else, one a line
/// (<https://docs.docker.com/reference/dockerfile/#parser-directives>); newer frontends take `//` and a JSON head as well.
fn syntax(text: &str) -> Option<String> {
    if text.trim_start().starts_with('{') {
        let head = serde_json::Deserializer::from_str(text)
            .into_iter::<serde_json::Value>()
            .next()?
            .ok()?;
        return head
            .get("syntax")?
            .as_str()?
            .split_whitespace()
            .next()
            .map(str::to_owned);
    }
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    for line in text.lines() {
        let line = line.trim();
        let comment = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
        let (name, value) = comment.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("syntax") {
            // What follows the reference are options of the frontend.
            return value.split_whitespace().next().map(str::to_owned);
        }
    }
    None
}

fn is_known_frontend(reference: &str) -> bool {
    let reference = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let name = reference.split('@').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    FRONTENDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontend_is_read_as_docker_reads_it() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(syntax(text).as_deref(), expected, "{text:?}");
        check("# syntax=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1"));
        check("#syntax = evil/image\nFROM a", Some("evil/image"));
        check("# escape=`\n# SYNTAX=x\nFROM a", Some("x"));
        check("#!/usr/bin/env x\n# syntax=y\nFROM a", Some("y"));
        check("// syntax=y\nFROM a", Some("y"));
        check("# a comment\n# syntax=x\nFROM a", None);
        check("FROM a\n# syntax=x\n", None);
        check("{\"syntax\": \"evil/image\"}", Some("evil/image"));
        check("", None);
    }

    #[test]
    fn only_dockers_own_frontends_are_known() {
        for known in [
            "docker/dockerfile",
            "docker/dockerfile:1.7-labs",
            "docker.io/docker/dockerfile@sha256:00",
        ] {
            assert!(is_known_frontend(known), "{known}");
        }
        for unknown in [
            "evil/dockerfile",
            "docker/dockerfilex",
            "example.com/docker/dockerfile:1",
            "docker",
        ] {
            assert!(!is_known_frontend(unknown), "{unknown}");
        }
    }
}
