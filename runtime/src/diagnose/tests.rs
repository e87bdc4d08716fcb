use super::*;

/// What was seen, as a test writes it down.
#[derive(Default)]
struct Case {
    listening: &'static [&'static str],
    exit: Option<(i64, bool)>,
    lines: &'static [&'static str],
    path: Option<&'static str>,
    probe: Option<NotReady>,
}

fn failure(case: Case) -> Failure {
    let listening: Vec<SocketAddr> = case.listening.iter().map(|text| text.parse().unwrap()).collect();
    let lines: Vec<String> = case.lines.iter().map(|line| (*line).to_owned()).collect();
    let health = HealthCheck {
        path: case.path.map(str::to_owned),
        ..HealthCheck::default()
    };
    diagnose(&Symptoms {
        process: &ProcessType::web(),
        port: Some(8080),
        listening: &listening,
        exit: case.exit.map(|(code, oom_killed)| Exit { code, oom_killed }),
        last_lines: &lines,
        limits: &Limits::default(),
        health: &health,
        last_probe: case.probe.as_ref(),
        waited: Duration::from_secs(60),
    })
}

fn check(case: Case, code: FailureCode, reason: &str, next_step: &str) {
    let failure = failure(case);
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.reason.contains(reason), "{}", failure.reason);
    assert!(failure.next_step.contains(next_step), "{}", failure.next_step);
}

fn exited(code: i64, lines: &'static [&'static str]) -> Case {
    Case {
        exit: Some((code, false)),
        lines,
        ..Case::default()
    }
}

#[test]
fn exit_codes_are_explained() {
    for (code, reason, next_step) in [
        (0, "ended by itself with exit code 0", "in the foreground"),
        (1, "ended with exit code 1", "last lines say why"),
        (126, "could not be executed", "chmod +x"),
        (127, "not in the image", "PATH"),
        (132, "SIGILL", "architecture"),
        (137, "was killed (SIGKILL)", "memory"),
        (139, "segmentation fault", "native"),
        (143, "SIGTERM", "deploy again"),
        (130, "SIGINT", "locally"),
    ] {
        check(exited(code, &[]), FailureCode::Exited, reason, next_step);
    }
}

#[test]
fn last_words_are_understood() {
    for (line, reason, next_step) in [
        (
            "exec /app/server: exec format error",
            "another kind of machine",
            "architecture",
        ),
        (
            "Error: listen EADDRINUSE: address already in use :::8080",
            "in use already",
            "PORT",
        ),
        (
            "Error: Cannot find module 'express'",
            "JavaScript module",
            "dependencies",
        ),
        (
            "ModuleNotFoundError: No module named 'flask'",
            "Python module",
            "requirements.txt",
        ),
        (
            "connect ECONNREFUSED 127.0.0.1:5432",
            "could not reach a service",
            "localhost",
        ),
        (
            "./app: /lib/libc.so.6: version `GLIBC_2.38' not found",
            "shared library",
            "base image",
        ),
        (
            "[FATAL tini (7)] exec /app/run failed: Exec format error",
            "another kind of machine",
            "#!/bin/sh",
        ),
    ] {
        let lines: &'static [&'static str] = Box::leak(vec!["starting", line].into_boxed_slice());
        check(exited(1, lines), FailureCode::Exited, reason, next_step);
    }
}

#[test]
fn a_clean_end_is_not_blamed_on_what_was_logged_before() {
    let case = exited(0, &["retrying: Connection refused", "done"]);
    check(
        case,
        FailureCode::Exited,
        "ended by itself with exit code 0",
        "in the foreground",
    );
}

#[test]
fn want_of_memory_names_the_limit() {
    let case = Case {
        exit: Some((137, true)),
        lines: &["loading"],
        ..Case::default()
    };
    check(
        case,
        FailureCode::OutOfMemory,
        "limit of 512 MiB",
        "raise the app's memory limit",
    );
    let child = Case {
        exit: Some((0, true)),
        ..Case::default()
    };
    check(child, FailureCode::OutOfMemory, "one of its processes", "memory limit");
}

#[test]
fn another_port_is_named_with_both_ways_out() {
    let case = Case {
        listening: &["127.0.0.1:9229", "0.0.0.0:3000"],
        probe: Some(NotReady::ConnectionRefused),
        ..Case::default()
    };
    let failure = failure(case);
    assert_eq!(failure.code, FailureCode::WrongPort);
    assert_eq!(
        failure.reason,
        "`web` listens on 127.0.0.1:9229 and 0.0.0.0:3000, but not on port 8080"
    );
    assert!(failure.next_step.contains("PORT (8080 here)"), "{}", failure.next_step);
    assert!(
        failure.next_step.ends_with("set the app's port to 3000"),
        "{}",
        failure.next_step
    );
}

#[test]
fn loopback_is_told_apart_from_all_addresses() {
    let only = Case {
        listening: &["127.0.0.1:8080", "[::1]:8080"],
        ..Case::default()
    };
    check(only, FailureCode::LoopbackOnly, "only on 127.0.0.1", "0.0.0.0");
    let other_port = Case {
        listening: &["127.0.0.1:3000"],
        ..Case::default()
    };
    check(
        other_port,
        FailureCode::WrongPort,
        "127.0.0.1:3000",
        "instead of 127.0.0.1",
    );
    let v6 = Case {
        listening: &["[::]:8080"],
        probe: Some(NotReady::ConnectionRefused),
        ..Case::default()
    };
    check(v6, FailureCode::LoopbackOnly, "only for IPv6", "IPV6_V6ONLY");
}

#[test]
fn silence_is_told_with_the_time_that_was_waited() {
    check(
        Case::default(),
        FailureCode::NotListening,
        "within 60 s",
        "PORT (8080 here)",
    );
    let waiting = Case {
        lines: &["could not connect to server: Connection refused"],
        ..Case::default()
    };
    check(waiting, FailureCode::NotListening, "did not listen", "config var");
}

#[test]
fn a_failing_health_check_is_explained() {
    for (probe, reason, next_step) in [
        (NotReady::Status(404), "status 404", "path"),
        (NotReady::Status(400), "status 400", "ALLOWED_HOSTS"),
        (NotReady::Status(503), "status 503", "config var"),
        (NotReady::AnswerTimeout, "did not answer `GET /up`", "timeout"),
        (NotReady::NotHttp, "does not speak HTTP/1.1", "TLS"),
        (NotReady::Closed, "closes connections", "TLS"),
        (NotReady::ConnectTimeout, "was not reachable", "deadline"),
    ] {
        let case = Case {
            listening: &["0.0.0.0:8080"],
            path: Some("/up"),
            probe: Some(probe),
            ..Case::default()
        };
        check(case, FailureCode::Unhealthy, reason, next_step);
    }
}

#[test]
fn the_evidence_holds_exit_code_sockets_and_last_lines() {
    let lines: &'static [&'static str] = Box::leak((1..=30).map(|n| &*format!("line {n}").leak()).collect());
    let ended = failure(exited(139, lines));
    assert_eq!(ended.evidence[0], "exit code 139 (SIGSEGV)");
    assert_eq!(ended.evidence[1], "the end of its log:");
    assert_eq!(ended.evidence.last().unwrap(), "  line 30");
    assert_eq!(ended.evidence.len(), 2 + LINES_SHOWN);
    let silent = failure(Case {
        listening: &["0.0.0.0:3000"],
        probe: Some(NotReady::ConnectionRefused),
        ..Case::default()
    });
    assert_eq!(
        silent.evidence,
        [
            "it listens on 0.0.0.0:3000",
            "the last health check was refused: nothing accepts connections on the port",
            "it wrote nothing to its log"
        ]
    );
}

#[test]
fn a_release_command_that_fails_says_that_the_old_release_serves() {
    let exit = Exit {
        code: 1,
        oom_killed: false,
    };
    let failure = release_failed(exit, &["migration failed".to_owned()], &Limits::default());
    assert_eq!(failure.code, FailureCode::ReleaseFailed);
    assert_eq!(
        failure.reason,
        "the release command ended with exit code 1; the release that was live before still is"
    );
}

#[test]
fn a_command_that_cannot_be_executed_is_explained() {
    let exit = |code| Exit {
        code,
        oom_killed: false,
    };
    let web = ProcessType::web();
    let missing = cannot_execute(&web, exit(127), "exec: \"nope\": executable file not found in $PATH");
    assert!(
        missing.reason.contains("does not contain its program"),
        "{}",
        missing.reason
    );
    let mode = cannot_execute(&web, exit(126), "exec: \"/app/run\": permission denied");
    assert!(mode.next_step.contains("chmod +x"), "{}", mode.next_step);
    let user = cannot_execute(
        &web,
        exit(126),
        "unable to find user app: no matching entries in passwd file",
    );
    assert!(user.reason.contains("no such user"), "{}", user.reason);
}
