//! Failures as engines word them, and what is told of them.

use super::*;
use crate::{DockerfilePlan, limits::Shortage};

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
