//! The instance ended by itself: what its exit code and its last words say.

use windlass_domain::{Failure, FailureCode, Limits};

use super::{Symptoms, hints, shown_lines};
use crate::Exit;

const MIB: u64 = 1024 * 1024;

pub(super) fn ended(seen: &Symptoms<'_>, exit: Exit) -> Failure {
    let (what, next_step) = explain(exit, seen.last_lines, seen.limits);
    let code = if exit.oom_killed {
        FailureCode::OutOfMemory
    } else {
        FailureCode::Exited
    };
    Failure::new(
        code,
        format!("`{}` {what} before it was ready", seen.process),
        next_step,
    )
    .with_evidence([exit_evidence(exit)])
    .with_evidence(shown_lines(seen.last_lines))
}

pub(super) fn exit_evidence(exit: Exit) -> String {
    let signal = signal_name(exit.code)
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    let memory = if exit.oom_killed {
        ", killed by the kernel for want of memory"
    } else {
        ""
    };
    format!("exit code {}{signal}{memory}", exit.code)
}

/// What happened, as the predicate of a sentence, and what to do.
pub(super) fn explain(exit: Exit, lines: &[String], limits: &Limits) -> (String, String) {
    if exit.oom_killed {
        return out_of_memory(exit, limits);
    }
    if let Some(hint) = hints::find(lines).filter(|_| !speaks_for_itself(exit.code)) {
        return (
            format!("{} and ended with exit code {}", hint.what, exit.code),
            hint.next_step.to_owned(),
        );
    }
    let (what, next_step) = by_code(exit.code);
    (what, next_step.to_owned())
}

/// Codes that tell more than any line of the log: an end by itself, what a shell could not run, a signal.
const fn speaks_for_itself(code: i64) -> bool {
    matches!(code, 0 | 127 | 132 | 135 | 137 | 139 | 143)
}

fn out_of_memory(exit: Exit, limits: &Limits) -> (String, String) {
    let limit = limits.memory_bytes / MIB;
    let whom = if exit.code == 137 {
        "needed more memory than its limit"
    } else {
        "ended after one of its processes needed more memory than the limit"
    };
    (
        format!("{whom} of {limit} MiB"),
        format!(
            "raise the app's memory limit (it is {limit} MiB now), or make it use less: fewer workers or threads, a smaller heap (for \
             Node `--max-old-space-size`, for Java `-XX:MaxRAMPercentage`)"
        ),
    )
}

fn by_code(code: i64) -> (String, &'static str) {
    let what = |text: &str| text.to_owned();
    match code {
        0 => (
            what("ended by itself with exit code 0"),
            "a process type must run for as long as it serves: start the server in the foreground (no `&`, no daemon mode), and use \
             the `release` process type for work that ends",
        ),
        126 => (
            what("could not be executed (exit code 126)"),
            "make the program executable (chmod +x, and commit the mode with `git update-index --chmod=+x FILE`), and check that \
             its first line names an interpreter that the image has",
        ),
        127 => (
            what("names a program that is not in the image (exit code 127)"),
            "check the spelling of the command in the Procfile or Dockerfile, and that the build installs the program and puts it \
             into PATH",
        ),
        132 => (
            what("was ended by an illegal instruction (SIGILL)"),
            "the program was built for another processor: build it inside of the image, or for this machine's architecture",
        ),
        134 => (
            what("aborted (SIGABRT)"),
            "the program gave up by itself, often a failed assertion or a full heap: its last lines say why",
        ),
        135 | 139 => (
            what(if code == 139 {
                "crashed with a segmentation fault (SIGSEGV)"
            } else {
                "crashed with a bus error (SIGBUS)"
            }),
            "a native part of the program crashed: check that its native modules were built in this image (same libc, same \
             architecture), and update them",
        ),
        137 => (
            what("was killed (SIGKILL)"),
            "something outside of the app killed it: somebody by hand, a restart of Docker, or a machine short of memory \
             (`dmesg` shows it); deploy again, and if it comes back check the machine's memory",
        ),
        143 => (
            what("was ended by SIGTERM"),
            "something told it to stop while it was starting: deploy again, and if it comes back look for what stops containers on \
             this machine",
        ),
        code => match signal_name(code) {
            Some(name) => (
                format!("was ended by a signal ({name})"),
                "its last lines may say why; run the same command locally",
            ),
            None => (
                format!("ended with exit code {code}"),
                "its last lines say why; run the same command locally with the same config vars to see it happen",
            ),
        },
    }
}

fn signal_name(code: i64) -> Option<&'static str> {
    Some(match code {
        129 => "SIGHUP",
        130 => "SIGINT",
        131 => "SIGQUIT",
        132 => "SIGILL",
        133 => "SIGTRAP",
        134 => "SIGABRT",
        135 => "SIGBUS",
        136 => "SIGFPE",
        137 => "SIGKILL",
        139 => "SIGSEGV",
        141 => "SIGPIPE",
        143 => "SIGTERM",
        159 => "SIGSYS",
        _ => return None,
    })
}
