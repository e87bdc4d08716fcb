//! A step was begun, and did not get through: its process ended with an error, or memory or disk ran out.

use windlass_domain::{Failure, FailureCode};

use super::{Symptoms, tail};
use crate::{human_bytes, limits::Shortage};

/// The kernel killed a process of the step, or the step itself. Newer engines say so; older ones give the exit code of SIGKILL.
pub(super) fn out_of_memory(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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

pub(super) fn exit(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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

/// The engine met it, or a process of the step did and said so before it gave up.
pub(super) fn disk(message: &str, symptoms: &Symptoms<'_>) -> Option<Failure> {
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
