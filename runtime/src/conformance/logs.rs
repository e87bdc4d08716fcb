use futures::{StreamExt, TryStreamExt};

use super::{Act, Stage};
use crate::{ContainerId, LogStream, LogsFrom, RunLogLine};

const FOLLOW: LogsFrom = LogsFrom {
    since: None,
    follow: true,
    tail: None,
};

async fn read_all(stage: &Stage<'_>, container: &ContainerId, from: LogsFrom) -> Vec<RunLogLine> {
    let lines = stage.runtime().logs(container, from).try_collect();
    stage.soon("reading", lines).await.expect("the log can be read")
}

fn texts(lines: &[RunLogLine], stream: LogStream) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line.stream == stream)
        .map(|line| line.text.as_str())
        .collect()
}

pub(super) async fn both_streams_are_read(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::Speak).await;
    let followed = read_all(stage, &started.container, FOLLOW).await;
    let read = read_all(stage, &started.container, LogsFrom::default()).await;
    for lines in [followed, read] {
        assert_eq!(texts(&lines, LogStream::Stdout), ["out 1", "out 2"]);
        assert_eq!(texts(&lines, LogStream::Stderr), ["err 1"]);
    }
}

pub(super) async fn a_reader_that_comes_back_loses_and_doubles_nothing(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::Count(60)).await;
    let mut got: Vec<RunLogLine> = Vec::new();
    for part in [7, 13, usize::MAX] {
        let from = LogsFrom {
            since: got.last().map(|line| line.at),
            ..FOLLOW
        };
        let lines = stage.runtime().logs(&started.container, from).take(part).try_collect();
        let more: Vec<RunLogLine> = stage.soon("reading", lines).await.expect("the log can be read");
        got.extend(more);
    }
    let expected: Vec<String> = (1..=60).map(|n| n.to_string()).collect();
    assert_eq!(texts(&got, LogStream::Stdout), expected);
}

pub(super) async fn many_and_long_lines_are_whole(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::Chatter(2000)).await;
    let lines = read_all(stage, &started.container, FOLLOW).await;
    assert_eq!(lines.len(), 2001);
    let numbers: Vec<String> = (1..=2000).map(|n| n.to_string()).collect();
    assert_eq!(texts(&lines[..2000], LogStream::Stdout), numbers);
    assert_eq!(lines[2000].text, "x".repeat(40_000));
    let middle = &lines[999];
    let from = LogsFrom {
        since: Some(middle.at),
        ..LogsFrom::default()
    };
    let rest = read_all(stage, &started.container, from).await;
    assert_eq!(rest.first().map(|line| line.text.as_str()), Some("1001"));
    assert_eq!(rest.len(), 1001);
}

pub(super) async fn the_tail_is_the_end(stage: &Stage<'_>) {
    let (_, started) = stage.start(&Act::Count(10)).await;
    stage.runtime().wait(&started.container).await.expect("it ends");
    let from = LogsFrom {
        tail: Some(3),
        ..LogsFrom::default()
    };
    let lines = read_all(stage, &started.container, from).await;
    assert_eq!(texts(&lines, LogStream::Stdout), ["8", "9", "10"]);
}
