use chrono::{DateTime, Utc};
use windlass_domain::{InstanceId, LogSource, ProcessType};
use windlass_store::{NewInstance, NewRunLog, RunLogBatch};

use crate::support::{Db, with_db};

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_numbered_without_gaps_though_many_write() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let deployment = db.push(&app).await.id;
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let store = db.store.clone();
                tokio::spawn(async move {
                    for n in 0..10 {
                        let lines = [
                            (LogSource::Build, format!("{writer}: {n}")),
                            (LogSource::Windlass, "second\0line".to_owned()),
                        ];
                        store.append_deployment_log(deployment, &lines).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let log = db.store.deployment_log(db.team, deployment, 0, 1000).await.unwrap();
        let numbers: Vec<i64> = log.iter().map(|line| line.seq).collect();
        assert_eq!(numbers, (1..=120).collect::<Vec<_>>());
        assert!(
            log.chunks(2)
                .all(|pair| pair[0].source == LogSource::Build && pair[1].text == "secondline")
        );
        let rest = db.store.deployment_log(db.team, deployment, 118, 1000).await.unwrap();
        assert_eq!(rest.len(), 2);
        assert_eq!(
            db.store.deployment_log(db.team, deployment, 0, 5).await.unwrap().len(),
            5
        );
        assert_eq!(db.store.append_deployment_log(deployment, &[]).await.unwrap(), 120);
    })
    .await;
}

#[tokio::test]
async fn lines_of_a_deployment_whose_answer_was_lost_are_not_written_again() {
    with_db(|db| async move {
        let app = db.app("shop").await;
        let deployment = db.push(&app).await.id;
        let build = |text: &str| (LogSource::Build, text.to_owned());
        let (one, two) = ([build("same"), build("one\0")], [build("same"), build("two")]);
        let append = async |lines: &[_]| db.store.append_deployment_log(deployment, lines).await.unwrap();
        let once = async |after, lines: &[_]| {
            let appended = db.store.append_deployment_log_once(deployment, after, lines);
            appended.await.unwrap()
        };

        let before = append(&one).await;
        assert_eq!(
            once(before, &one).await,
            4,
            "what stood there before is not taken for it"
        );
        append(&[build("another's")]).await;
        assert_eq!(once(before, &one).await, 4, "written already");
        assert_eq!(once(4, &two).await, 7);
        append(&[build("another's")]).await;
        assert_eq!(once(4, &two).await, 7, "written already");

        let log = db.store.deployment_log(db.team, deployment, 0, 100).await.unwrap();
        let texts: Vec<_> = log.iter().map(|line| line.text.as_str()).collect();
        let all = ["same", "one", "same", "one", "another's", "same", "two", "another's"];
        assert_eq!(texts, all);
    })
    .await;
}

async fn instance(db: &Db, process: &str) -> (NewInstance, RunLogBatch) {
    let app = db.app(&format!("app-{process}")).await;
    let release = db.deployed(&app).await;
    let new = NewInstance {
        id: InstanceId::generate(),
        app: app.id,
        release: release.id,
        process: process.parse().unwrap(),
        n: 1,
        restart_seq: 0,
    };
    db.start(new.clone()).await;
    let batch = RunLogBatch {
        app: app.id,
        instance: new.id,
        instance_name: format!("{process}.1"),
        process: new.process.clone(),
        lines: Vec::new(),
        from_ns: 0,
        cursor_ns: 0,
        max_lines: 50,
        max_bytes: 1 << 20,
    };
    (new, batch)
}

fn lines(range: std::ops::Range<i32>) -> Vec<NewRunLog> {
    let line = |n: i32| NewRunLog {
        at: Utc::now(),
        stream: "stdout".to_owned(),
        text: n.to_string(),
    };
    range.map(line).collect()
}

#[tokio::test]
async fn the_run_log_is_trimmed_to_its_bound_and_keeps_the_newest() {
    with_db(|db| async move {
        let (_, mut batch) = instance(&db, "web").await;
        for n in 0..40 {
            batch.lines = lines(n * 7..n * 7 + 7);
            batch.cursor_ns = i64::from(n) + 1;
            db.store.append_run_log(&batch).await.unwrap();
            let kept: i64 = sqlx::query_scalar("select count(*) from run_log")
                .fetch_one(&db.raw)
                .await
                .unwrap();
            assert!(kept <= 50 + 5 + 7, "{kept} lines after {} batches", n + 1);
        }
        let tail = db.store.run_log_tail(db.team, batch.app, None, 3).await.unwrap();
        let texts: Vec<_> = tail.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(texts, ["277", "278", "279"]);
        let all = db.store.run_log_tail(db.team, batch.app, None, 1000).await.unwrap();
        assert!(all.len() >= 50);
    })
    .await;
}

#[tokio::test]
async fn the_run_log_is_bounded_in_bytes_between_sweeps() {
    with_db(|db| async move {
        let (_, mut batch) = instance(&db, "web").await;
        batch.max_bytes = 1_000;
        for n in 1..40 {
            let mut line = lines(n..n + 1).remove(0);
            line.text = format!("{n:0>100}");
            (batch.lines, batch.cursor_ns) = (vec![line], i64::from(n));
            db.store.append_run_log(&batch).await.unwrap();
            let kept: i64 = sqlx::query_scalar("select coalesce(sum(octet_length(text)), 0) from run_log")
                .fetch_one(&db.raw)
                .await
                .unwrap();
            assert!(kept <= 1_000 + 100, "{kept} bytes after {n} batches");
        }
        let tail = db.store.run_log_tail(db.team, batch.app, None, 100).await.unwrap();
        assert!(tail.len() >= 10);
        assert!(tail.last().unwrap().text.ends_with("039"));
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_recorded_once() {
    with_db(|db| async move {
        let (new, mut batch) = instance(&db, "web").await;
        (batch.lines, batch.cursor_ns) = (lines(0..3), 42);
        for _ in 0..2 {
            db.store.append_run_log(&batch).await.unwrap();
        }
        assert_eq!(
            db.store
                .run_log_tail(db.team, batch.app, None, 100)
                .await
                .unwrap()
                .len(),
            3
        );
        let (row, name) = db.store.live_instances().await.unwrap().remove(0);
        assert_eq!((row.id, row.log_cursor_ns, name.as_str()), (new.id, 42, "app-web"));
    })
    .await;
}

#[tokio::test]
async fn two_that_collect_one_log_record_each_line_once() {
    with_db(|db| async move {
        let (_, batch) = instance(&db, "web").await;
        let all: Vec<NewRunLog> = lines(0..10)
            .into_iter()
            .zip(1..)
            .map(|(line, second)| NewRunLog {
                at: DateTime::from_timestamp(second, 0).unwrap(),
                ..line
            })
            .collect();
        let collected = |from: usize, to: usize| RunLogBatch {
            lines: all[from..to].to_vec(),
            from_ns: from as i64 * 1_000_000_000,
            cursor_ns: to as i64 * 1_000_000_000,
            ..batch.clone()
        };
        for (from, to) in [(0, 4), (2, 7), (0, 3), (4, 10), (7, 10)] {
            db.store.append_run_log(&collected(from, to)).await.unwrap();
        }
        let kept = db.store.run_log_tail(db.team, batch.app, None, 100).await.unwrap();
        let texts: Vec<_> = kept.into_iter().map(|row| row.text).collect();
        assert_eq!(texts, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_reader_continues_after_the_last_line_it_saw_and_filters_by_process() {
    with_db(|db| async move {
        let (_, mut batch) = instance(&db, "web").await;
        (batch.lines, batch.cursor_ns) = (lines(0..3), 1);
        db.store.append_run_log(&batch).await.unwrap();
        let seen = db.store.run_log_tail(db.team, batch.app, None, 1).await.unwrap();
        assert_eq!(
            (
                seen[0].process.as_str(),
                seen[0].instance.as_str(),
                seen[0].stream.as_str()
            ),
            ("web", "web.1", "stdout")
        );
        (batch.lines, batch.cursor_ns) = (lines(3..5), 2);
        db.store.append_run_log(&batch).await.unwrap();
        let after = async |process: Option<&ProcessType>| {
            let rows = db
                .store
                .run_log_after(db.team, batch.app, process, seen[0].id, 100)
                .await
                .unwrap();
            rows.into_iter().map(|row| row.text).collect::<Vec<_>>()
        };
        assert_eq!(after(None).await, ["3", "4"]);
        assert_eq!(after(Some(&ProcessType::web())).await, ["3", "4"]);
        assert_eq!(after(Some(&"worker".parse().unwrap())).await, [""; 0]);
    })
    .await;
}
