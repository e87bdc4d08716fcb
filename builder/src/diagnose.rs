//! From the engine's words to a reason, evidence and a next step. Pure.
//!
//! Engines word the same failure differently from version to version, and wrap it (`failed to solve with frontend dockerfile.v0:
//! failed to create LLB definition: …`), so what is looked for are the parts that have stayed.

use windlass_domain::{Failure, FailureCode};

use crate::{
    Plan, human_bytes,
    limits::{Memory, Shortage},
    progress::StepState,
};

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
    parse_error(message, symptoms)
        .or_else(|| frontend(message, symptoms))
        .or_else(|| out_of_memory(message, symptoms))
        .or_else(|| disk(message, symptoms))
        .or_else(|| exit(message, symptoms))
        .or_else(|| target(message, symptoms))
        .or_else(|| secret(message))
        .or_else(|| missing_file(message, symptoms))
        .or_else(|| base_image(message, symptoms))
        .or_else(|| definition(symptoms))
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

fn build_file(symptoms: &Symptoms<'_>) -> String {
    match symptoms.plan {
        Plan::Dockerfile(plan) => plan.path.clone(),
        Plan::Buildpack(plan) => format!("the Dockerfile made by the {} buildpack", plan.buildpack),
    }
}

fn parse_error(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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
fn definition(symptoms: &Symptoms<'_>) -> Option<Failure> {
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

/// The `# syntax=` frontend could not be had.
fn frontend(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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

/// The kernel killed a process of the step, or the step itself. Newer engines say so; older ones give the exit code of SIGKILL.
fn out_of_memory(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let memory = symptoms.memory;
    let told = message.ends_with("cannot allocate memory");
    // The kernel told of no kill: somebody else sent SIGKILL. Where it cannot be heard, it is the likeliest one.
    let likely = message.ends_with("exit code: 137") && !memory.heard;
    let killed = memory.killed.is_some() && is_of_process(message);
    if !killed && !((told || likely) && memory.limit_bytes.is_some()) {
        return None;
    }
    let step = symptoms.step.map_or("a step", |step| step.name.as_str());
    let victim = memory.killed.iter();
    let lines = victim
        .map(|(process, _)| format!("the kernel killed `{process}`"))
        .chain(tail(symptoms.step));
    let shortage = memory.killed.as_ref().map_or(Shortage::Step, |(_, shortage)| *shortage);
    let failure = match memory.limit_bytes.map(|limit| (limit, shortage)) {
        Some((_, Shortage::Builds)) => Failure::new(
            FailureCode::OutOfMemory,
            format!(
                "`{step}` was killed because the builds that run at the same time ran out of the memory that they may use together"
            ),
            "deploy again when no other build runs, let fewer stages of the Dockerfile run side by side, \
             or raise `build.memory` in the server's configuration",
        ),
        Some((limit, Shortage::Step)) => Failure::new(
            FailureCode::OutOfMemory,
            format!(
                "`{step}` ran out of memory: a build may use {} on this server",
                human_bytes(limit)
            ),
            "make the step use less memory (fewer jobs side by side, a smaller heap), \
             or raise `build.memory` in the server's configuration",
        ),
        _ => Failure::new(
            FailureCode::OutOfMemory,
            format!("`{step}` was killed because the machine ran out of memory"),
            "give the machine more memory, or make this step use less of it",
        ),
    };
    Some(failure.with_evidence(lines))
}

/// Whether what failed is a process of a step: its end, or that it could not go on.
fn is_of_process(message: &str) -> bool {
    message.contains("exit code: ") || message.ends_with("cannot allocate memory")
}

fn exit(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let (_, code) = message.rsplit_once("exit code: ")?;
    let code: i64 = code.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let step = symptoms.step.map_or("a step", |step| step.name.as_str());
    let (hint, next) = match code {
        137 if symptoms.memory.heard => (
            " (killed, though not for want of memory)",
            "find out what sends SIGKILL: a command of the step itself, or somebody on the server",
        ),
        137 => (
            " (killed, most likely for want of memory)",
            "give the machine more memory, or make this step use less of it",
        ),
        127 => (
            " (command not found)",
            "install the command in an earlier step, or correct its name",
        ),
        126 => (
            " (not executable)",
            "set the executable bit (`git update-index --chmod=+x <file>`) and push again",
        ),
        _ => (
            "",
            "run the same command in your working copy, correct what it complains about and push again",
        ),
    };
    Some(
        Failure::new(
            FailureCode::BuildFailed,
            format!("`{step}` ended with exit code {code}{hint}"),
            next,
        )
        .with_evidence(tail(symptoms.step)),
    )
}

fn target(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    let target = symptoms.target?;
    message.contains("target stage").then(|| {
        Failure::new(
            FailureCode::InvalidBuildFile,
            format!("{} has no stage `{target}`", build_file(symptoms)),
            format!("name a stage `{target}` (`FROM … AS {target}`), or change the app's build target"),
        )
    })
}

fn secret(message: &str) -> Option<Failure> {
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

/// The engine met it, or a process of the step did and said so before it gave up.
fn disk(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
    const SIGN: &str = "no space left on device";
    let lines = tail(symptoms.step);
    let printed = || lines.iter().any(|line| line.to_lowercase().contains(SIGN));
    let met = message.contains(SIGN) || (is_of_process(message) && printed());
    met.then(|| {
        Failure::new(
            FailureCode::MachineLimit,
            "the machine's disk is full",
            "free space for Docker (`docker system df` shows what uses it) and deploy again",
        )
        .with_evidence([message.to_owned()])
        .with_evidence(lines)
    })
}

/// COPY or ADD of a file that the context does not have.
fn missing_file(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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

fn base_image(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DockerfilePlan;

    fn check(message: &str, step: &str, code: FailureCode, reason: &str) {
        check_with(Memory::default(), message, step, (code, reason));
    }

    #[test]
    fn what_was_killed_for_want_of_memory_says_so() {
        use FailureCode::{BuildFailed, OutOfMemory};
        let killed = |shortage| Memory {
            limit_bytes: Some(512 << 20),
            killed: Some(("cc1".to_owned(), shortage)),
            heard: true,
        };
        let limit = "`RUN make` ran out of memory: a build may use 512 MiB on this server";
        let failed = "process \"/bin/sh -c make\" did not complete successfully: exit code: 2";
        check_with(killed(Shortage::Step), failed, "RUN make", (OutOfMemory, limit));
        let machine = "`RUN make` was killed because the machine ran out of memory";
        check_with(killed(Shortage::Machine), failed, "RUN make", (OutOfMemory, machine));
        let builds = "`RUN make` was killed because the builds that run at the same time ran out of the memory that they may use together";
        check_with(killed(Shortage::Builds), failed, "RUN make", (OutOfMemory, builds));
        let limited = || Memory {
            limit_bytes: Some(512 << 20),
            ..Memory::default()
        };
        for sigkill in [
            "executor failed running [/bin/sh -c make]: exit code: 137",
            "process \"/bin/sh -c make\" did not complete successfully: cannot allocate memory",
        ] {
            check_with(limited(), sigkill, "RUN make", (OutOfMemory, limit));
        }
        let other = "`RUN make` ended with exit code 2";
        check_with(limited(), failed, "RUN make", (BuildFailed, other));
    }

    #[test]
    fn a_kill_that_is_not_this_failures_is_not_told_as_its_reason() {
        let memory = |killed| Memory {
            limit_bytes: Some(512 << 20),
            killed,
            heard: true,
        };
        let denied = "pull access denied, repository does not exist";
        let image = "the image `docker.io/x/y` that the build starts from cannot be pulled";
        let elsewhere = Some(("cc1".to_owned(), Shortage::Step));
        let load = "[internal] load metadata for docker.io/x/y";
        check_with(memory(elsewhere), denied, load, (FailureCode::BuildFailed, image));
        let killed = "executor failed running [/bin/sh -c make]: exit code: 137";
        let reason = "`RUN make` ended with exit code 137 (killed, though not for want of memory)";
        check_with(memory(None), killed, "RUN make", (FailureCode::BuildFailed, reason));
    }

    #[test]
    fn a_full_disk_that_only_the_step_told_of_is_told() {
        let memory = Memory::default();
        let mut state = StepState::default();
        "RUN make".clone_into(&mut state.name);
        state
            .tail
            .push_back("cp: write error: No space left on device".to_owned());
        let message = "process \"/bin/sh -c make\" did not complete successfully: exit code: 1";
        let plan = dockerfile();
        let failure = diagnose(&Symptoms {
            message,
            step: Some(&state),
            plan: &plan,
            target: None,
            memory: &memory,
        });
        assert_eq!(failure.code, FailureCode::MachineLimit, "{failure:?}");
        assert!(failure.evidence.contains(&state.tail[0]), "{failure:?}");
    }

    fn dockerfile() -> Plan {
        Plan::Dockerfile(DockerfilePlan {
            path: "Dockerfile".to_owned(),
            syntax: Some("docker/dockerfile:1".to_owned()),
            processes: vec![],
        })
    }

    fn check_with(memory: Memory, message: &str, step: &str, (code, reason): (FailureCode, &str)) {
        let plan = dockerfile();
        let mut state = StepState::default();
        step.clone_into(&mut state.name);
        let symptoms = Symptoms {
            message,
            step: Some(&state),
            plan: &plan,
            target: Some("prod"),
            memory: &memory,
        };
        let failure = diagnose(&symptoms);
        assert_eq!((failure.code, failure.reason.as_str()), (code, reason), "{message}");
        assert!(!failure.next_step.is_empty());
    }

    #[test]
    fn old_and_new_engines_are_understood() {
        use FailureCode::{BuildFailed, InvalidBuildFile, MachineLimit};
        check(
            "executor failed running [/bin/sh -c exit 3]: exit code: 3",
            "[2/2] RUN exit 3",
            BuildFailed,
            "`[2/2] RUN exit 3` ended with exit code 3",
        );
        check(
            "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
            "[2/2] RUN exit 3",
            BuildFailed,
            "`[2/2] RUN exit 3` ended with exit code 3",
        );
        check(
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: FOO",
            "[internal] load build definition",
            InvalidBuildFile,
            "Dockerfile line 2: unknown instruction: FOO",
        );
        check(
            "dockerfile parse error on line 2: unknown instruction: FOO",
            "",
            InvalidBuildFile,
            "Dockerfile line 2: unknown instruction: FOO",
        );
        check(
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: target stage prod could not be found",
            "",
            InvalidBuildFile,
            "Dockerfile has no stage `prod`",
        );
        check(
            "write /x: no space left on device",
            "",
            MachineLimit,
            "the machine's disk is full",
        );
        check(
            "pull access denied, repository does not exist or may require authorization",
            "[internal] load metadata for docker.io/library/nosuch:latest",
            BuildFailed,
            "the image `docker.io/library/nosuch:latest` that the build starts from cannot be pulled",
        );
        check(
            "failed to solve with frontend gateway.v0: failed to do request: dial tcp: lookup",
            "resolve image config for docker.io/docker/dockerfile:1",
            BuildFailed,
            "the frontend `docker/dockerfile:1` that the first line of Dockerfile asks for cannot be used",
        );
    }
}
