//! Apps that behave badly: a good release of the same app goes on serving, other apps do not notice, and the reason is told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Run, kill::finish, tell};
use crate::{
    check::{Expected, Violation},
    load::Traffic,
    report::Tally,
    site::Manner,
    stage::Stage,
};

/// How long a bad app may take until all is over: a drain, a watch window, a roll-back.
const PATIENCE: Duration = Duration::from_secs(150);

/// A way to behave badly, and what has to come of it.
struct Case {
    name: &'static str,
    manner: Manner,
    /// How its deployment ends; none: either way.
    ends: Option<&'static str>,
    /// Whether the good release serves in the end.
    good_again: bool,
    /// Whether its own visitors may notice.
    noticed: bool,
    /// A word that the reason holds.
    reason: Option<&'static str>,
}

const CASES: [Case; 8] = [
    Case {
        name: "crashes at once",
        manner: Manner(&["--crash"]),
        ends: Some("failed"),
        good_again: true,
        noticed: false,
        reason: None,
    },
    Case {
        name: "never gets healthy",
        manner: Manner(&["--never-healthy"]),
        ends: Some("failed"),
        good_again: true,
        noticed: false,
        reason: None,
    },
    Case {
        name: "starts slowly",
        manner: Manner(&["--slow-start", "8"]),
        ends: Some("succeeded"),
        good_again: false,
        noticed: false,
        reason: None,
    },
    Case {
        name: "flaps",
        manner: Manner(&["--flap"]),
        ends: None,
        good_again: false,
        noticed: false,
        reason: None,
    },
    Case {
        name: "does not hear SIGTERM",
        manner: Manner(&["--ignore-term"]),
        ends: Some("succeeded"),
        good_again: false,
        noticed: false,
        reason: None,
    },
    Case {
        name: "dies after the switch",
        manner: Manner(&["--die-after", "6"]),
        ends: Some("succeeded"),
        good_again: true,
        noticed: true,
        reason: None,
    },
    Case {
        name: "runs out of memory",
        manner: Manner(&["--eat-memory"]),
        ends: None,
        good_again: true,
        noticed: true,
        reason: Some("memory"),
    },
    Case {
        name: "floods its log",
        manner: Manner(&["--flood"]),
        ends: Some("succeeded"),
        good_again: false,
        noticed: true,
        reason: None,
    },
];

/// Each case over a good release, with visitors at the app and at another one.
pub async fn play(run: &Run) -> Tally {
    let mut tally = Tally::new("apps that behave badly");
    let mut stage = Stage::build(run.setup("bad-apps")).await;
    let settings = json!({
        "drain_seconds": 2,
        "health": { "path": "/healthz", "deadline_seconds": 12 },
        "limits": { "memory_bytes": 64 << 20 },
    });
    stage.add_with("worked", settings).await;
    let alone = stage.add("alone").await;
    stage.leave_alone(alone).await;
    // Each once, however long that takes: a case that is left out proves nothing.
    for case in CASES
        .into_iter()
        .take(usize::try_from(run.rounds).unwrap_or(usize::MAX))
    {
        trial(&mut stage, run, &mut tally, &case).await;
    }
    finish(stage, &mut tally).await;
    tally
}

async fn trial(stage: &mut Stage, run: &Run, tally: &mut Tally, case: &Case) {
    tell(tally, case.name);
    tally.trials += 1;
    stage.open(run.visits, run.seed);
    let app = &stage.sites[0].app;
    let good = windlass_testkit::get(&stage.engine.router(), &app.host(), "/")
        .await
        .body;
    let commit = stage.sites[0].bring(case.manner).await;
    let begun = Instant::now();
    // Past the history: that it fails may be right.
    let deployment = app.deploy(json!({ "commit": commit })).await;
    let ended = app.ended(&deployment).await;
    let status = ended["status"].as_str().unwrap_or_default().to_owned();
    let mut broken = Vec::new();
    if case.ends.is_some_and(|ends| ends != status) {
        broken.push(Violation::new(
            "outcome",
            format!("{status}, expected {:?}: {}", case.ends, ended["failure"]),
        ));
    }
    if case.good_again {
        broken.extend(good_again(stage, &good).await);
    }
    if case.name.starts_with("floods") {
        tokio::time::sleep(Duration::from_secs(10)).await;
        logs_are_bounded(stage, tally, &mut broken).await;
    }
    tally.measure(&format!("{}, until all is well", case.name), begun.elapsed(), None);
    tally
        .notes
        .push(format!("{}: {status}, {}", case.name, reason(stage, &ended).await));
    if let Some(word) = case.reason
        && !reason(stage, &ended).await.contains(word)
    {
        broken.push(Violation::new("reason", format!("nothing tells of {word}")));
    }
    // However it behaves while it is replaced, its visitors go on being served.
    stage.sites[0].deploy_next().await;
    let expected = Expected {
        all_succeed: false,
        ..stage.expected()
    };
    stage.settle(tally, case.name, &expected, PATIENCE).await;
    let traffic = stage.close().await;
    tally.count("requests", traffic.sent);
    broken.extend(unserved(&traffic, stage.sites[0].app.name(), case.noticed));
    tally.broke(case.name, broken);
}

/// Waits until the good release answers again.
async fn good_again(stage: &Stage, good: &str) -> Option<Violation> {
    let begun = Instant::now();
    let host = stage.sites[0].app.host();
    while begun.elapsed() < PATIENCE {
        let answer = windlass_testkit::get(&stage.engine.router(), &host, "/").await;
        if answer.status == 200 && answer.body == good && live_is_good(stage).await {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some(Violation::new("I4", format!("{} does not serve again", good.trim())))
}

/// Whether nothing of a bad release is under way any more: it may just not have died yet.
async fn live_is_good(stage: &Stage) -> bool {
    let last = stage.sites[0].app.last_deployment().await;
    let status = last["status"].as_str().unwrap_or_default();
    let rolled_back = last["kind"]["type"] == "rollback" && status == "succeeded";
    rolled_back || status == "failed"
}

/// All that tells why: the deployment's failure, the newest deployment's, the instances' reasons and the app's log.
async fn reason(stage: &Stage, ended: &Value) -> String {
    let app = &stage.sites[0].app;
    let instances = app.list("instances?all=true").await;
    let reasons: Vec<&str> = instances
        .iter()
        .filter_map(|instance| instance["reason"].as_str())
        .collect();
    let last = app.last_deployment().await;
    let text = |deployment: &Value| deployment["failure"]["reason"].as_str().unwrap_or_default().to_owned();
    format!(
        "{} {} {}",
        text(ended),
        last["message"].as_str().unwrap_or_default(),
        reasons.join("; ")
    )
}

/// A flood of log fills neither Postgres nor Docker's folder.
async fn logs_are_bounded(stage: &Stage, tally: &mut Tally, broken: &mut Vec<Violation>) {
    let size = stage
        .engine
        .try_database("select pg_total_relation_size('run_log') / 1048576")
        .await;
    let rows: f64 = size.ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    tally.figure("run log of all apps after a flood, MB", rows, None);
    let mut on_disk = 0;
    for id in stage.sites[0].app.containers() {
        let path = stage
            .eye
            .run(&["inspect", "-f", "{{.LogPath}}", &id])
            .unwrap_or_default()
            .join("");
        let folder = std::path::Path::new(&path).parent().map(std::fs::read_dir);
        let files = folder.into_iter().flatten().flatten().flatten();
        on_disk += files
            .filter(|file| file.file_name().to_string_lossy().contains("json.log"))
            .filter_map(|file| file.metadata().ok())
            .map(|meta| meta.len() >> 20)
            .sum::<u64>();
    }
    tally
        .notes
        .push(format!("Docker's log files after a flood: {on_disk} MB"));
    if rows > 1024.0 || on_disk > 256 {
        broken.push(Violation::new(
            "logs",
            format!("a flood of log took {rows} MB of rows, {on_disk} MB of files"),
        ));
    }
}

/// What visitors met with: other apps' never notice, its own only where that cannot be helped.
fn unserved(traffic: &Traffic, bad: &str, noticed: bool) -> Option<Violation> {
    let counted = traffic.misses.iter().filter(|miss| !noticed || miss.app != bad);
    let mut counted = counted.peekable();
    let first = counted.peek().map(|miss| format!("{miss:?}"))?;
    let count = counted.count();
    Some(Violation::new(
        "visitors",
        format!(
            "{count} of {} requests failed: {:?}, first {first}",
            traffic.sent,
            traffic.kinds()
        ),
    ))
}
