//! BuildKit's progress as build events. Pure: statuses in, events out.
//!
//! BuildKit reports vertices (started, completed, cached, failed) by digest and output by the vertex it belongs to; the same vertex
//! comes several times. What is shown here is each step once, its lines whole, and no more output than the cap allows.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use windlass_domain::{Redactor, log::clean_line};

use crate::{BuildEvent, LineStream};

/// Lines that a failure shows.
const TAIL_LINES: usize = 20;
/// A line without an end is cut here.
const PARTIAL_LINE_BYTES: usize = 64 * 1024;

/// Limits on what is kept of the output.
pub(crate) struct OutputLimits {
    /// Bytes of a build's output.
    pub(crate) log_bytes: u64,
    /// Characters of a line.
    pub(crate) line_chars: usize,
}

/// What is known of a build so far.
pub(crate) struct Progress {
    redactor: Redactor,
    limits: OutputLimits,
    written_bytes: u64,
    truncated: bool,
    numbers: HashMap<String, u32>,
    steps: BTreeMap<u32, StepState>,
}

/// One step of the build.
#[derive(Default)]
pub(crate) struct StepState {
    /// Its name.
    pub(crate) name: String,
    /// Its last lines.
    pub(crate) tail: VecDeque<String>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    finished: bool,
    partial: [Vec<u8>; 2],
}

impl Progress {
    /// Nothing has happened yet.
    pub(crate) fn new(redactor: Redactor, limits: OutputLimits) -> Self {
        Self {
            redactor,
            limits,
            written_bytes: 0,
            truncated: false,
            numbers: HashMap::new(),
            steps: BTreeMap::new(),
        }
    }

    /// Takes one report.
    pub(crate) fn apply(&mut self, status: &StatusResponse) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        for vertex in &status.vertexes {
            self.start(vertex, &mut events);
        }
        for log in &status.logs {
            self.log(log, &mut events);
        }
        for vertex in &status.vertexes {
            self.finish(vertex, &mut events);
        }
        for warning in &status.warnings {
            let text = self.clean(&String::from_utf8_lossy(&warning.short));
            events.push(BuildEvent::Warning { text });
        }
        events
    }

    /// The step that failed, or else the last one that began and did not end.
    pub(crate) fn culprit(&self) -> Option<&StepState> {
        let failed = self
            .steps
            .values()
            .find(|step| step.error.as_deref().is_some_and(|error| !is_cancelled(error)));
        failed.or_else(|| self.steps.values().rev().find(|step| !step.finished))
    }

    /// A text of the engine, safe to show.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.redactor.redact(&clean_line(text, self.limits.line_chars))
    }

    fn start(&mut self, vertex: &Vertex, events: &mut Vec<BuildEvent>) {
        if vertex.started.is_none() || self.numbers.contains_key(&vertex.digest) {
            return;
        }
        let step = u32::try_from(self.steps.len()).unwrap_or(u32::MAX).saturating_add(1);
        let name = self.clean(&vertex.name);
        self.numbers.insert(vertex.digest.clone(), step);
        self.steps.insert(
            step,
            StepState {
                name: name.clone(),
                ..StepState::default()
            },
        );
        events.push(BuildEvent::StepStarted { step, name });
    }

    fn finish(&mut self, vertex: &Vertex, events: &mut Vec<BuildEvent>) {
        let (Some(&step), Some(completed)) = (self.numbers.get(&vertex.digest), &vertex.completed) else {
            return;
        };
        self.flush(step, events);
        let error = (!vertex.error.is_empty()).then(|| self.clean(&vertex.error));
        let Some(state) = self.steps.get_mut(&step) else {
            return;
        };
        // A vertex that is looked at again completes again; only a new error is news.
        if state.finished && (error.is_none() || state.error.is_some()) {
            return;
        }
        state.finished = true;
        state.error.clone_from(&error);
        let nanos = |seconds: i64, nanos: i32| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let started = vertex.started.as_ref().map_or(0, |at| nanos(at.seconds, at.nanos));
        let ran = (nanos(completed.seconds, completed.nanos) - started).max(0);
        events.push(BuildEvent::StepFinished {
            step,
            name: state.name.clone(),
            cached: vertex.cached,
            duration: Duration::from_nanos(u64::try_from(ran).unwrap_or(0)),
            error,
        });
    }

    fn log(&mut self, log: &VertexLog, events: &mut Vec<BuildEvent>) {
        let Some(&step) = self.numbers.get(&log.vertex) else {
            return;
        };
        let stream = if log.stream == 2 {
            LineStream::Err
        } else {
            LineStream::Out
        };
        let Some(state) = self.steps.get_mut(&step) else {
            return;
        };
        let partial = &mut state.partial[stream as usize];
        partial.extend_from_slice(&log.msg);
        let whole = match partial.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => partial.drain(..=end).collect::<Vec<u8>>(),
            None if partial.len() > PARTIAL_LINE_BYTES => std::mem::take(partial),
            None => return,
        };
        let whole = whole.strip_suffix(b"\n").unwrap_or(&whole);
        for line in whole.split(|&byte| byte == b'\n') {
            self.line(step, stream, line, events);
        }
    }

    /// Lines that have no end when their step ends.
    fn flush(&mut self, step: u32, events: &mut Vec<BuildEvent>) {
        for stream in [LineStream::Out, LineStream::Err] {
            let partial = self
                .steps
                .get_mut(&step)
                .map(|state| std::mem::take(&mut state.partial[stream as usize]));
            if let Some(line) = partial.filter(|line| !line.is_empty()) {
                self.line(step, stream, &line, events);
            }
        }
    }

    fn line(&mut self, step: u32, stream: LineStream, raw: &[u8], events: &mut Vec<BuildEvent>) {
        let text = self.clean(&String::from_utf8_lossy(raw));
        if let Some(state) = self.steps.get_mut(&step) {
            if state.tail.len() == TAIL_LINES {
                state.tail.pop_front();
            }
            state.tail.push_back(text.clone());
        }
        if self.truncated {
            return;
        }
        self.written_bytes += text.len() as u64 + 1;
        if self.written_bytes > self.limits.log_bytes {
            self.truncated = true;
            let text = format!(
                "output truncated: this build wrote more than {} KiB; it goes on without being logged",
                self.limits.log_bytes / 1024
            );
            events.push(BuildEvent::Warning { text });
            return;
        }
        events.push(BuildEvent::Line { step, stream, text });
    }
}

/// Steps beside the failed one end with this.
fn is_cancelled(error: &str) -> bool {
    error.ends_with("context canceled")
}

#[cfg(test)]
mod tests {
    use windlass_domain::Secret;

    use super::*;

    fn progress(log_bytes: u64) -> Progress {
        let redactor = Redactor::new([&Secret::from("hunter22")]);
        Progress::new(
            redactor,
            OutputLimits {
                log_bytes,
                line_chars: 100,
            },
        )
    }

    fn vertex(name: &str, started: i64, completed: Option<i64>) -> Vertex {
        let mut vertex = Vertex {
            digest: name.to_owned(),
            name: name.to_owned(),
            ..Vertex::default()
        };
        // The timestamp's own type is not exported: it is filled in through its default.
        vertex.started.get_or_insert_default().seconds = started;
        if let Some(completed) = completed {
            vertex.completed.get_or_insert_default().seconds = completed;
        }
        vertex
    }

    fn log(name: &str, text: &str) -> StatusResponse {
        let log = VertexLog {
            vertex: name.to_owned(),
            stream: 1,
            msg: text.into(),
            ..VertexLog::default()
        };
        StatusResponse {
            logs: vec![log],
            ..StatusResponse::default()
        }
    }

    fn report(vertex: Vertex) -> StatusResponse {
        StatusResponse {
            vertexes: vec![vertex],
            ..StatusResponse::default()
        }
    }

    fn lines(events: &[BuildEvent]) -> Vec<String> {
        let text = |event: &'_ BuildEvent| match event {
            BuildEvent::Line { text, .. } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }

    #[test]
    fn lines_come_whole_and_without_secrets() {
        let mut progress = progress(1000);
        progress.apply(&report(vertex("RUN", 1, None)));
        assert_eq!(progress.apply(&log("RUN", "one\ntw")).len(), 1);
        let events = progress.apply(&log("RUN", "o hunter22\n"));
        assert_eq!(lines(&events), ["two [redacted]"]);
        progress.apply(&log("RUN", "no end"));
        let events = progress.apply(&report(vertex("RUN", 1, Some(3))));
        assert_eq!(lines(&events), ["no end"]);
        assert!(matches!(
            events.last(),
            Some(BuildEvent::StepFinished { duration, cached: false, error: None, .. }) if duration.as_secs() == 2
        ));
    }

    #[test]
    fn a_step_is_reported_once() {
        let mut progress = progress(1000);
        assert_eq!(progress.apply(&report(vertex("RUN", 1, Some(2)))).len(), 2);
        assert_eq!(progress.apply(&report(vertex("RUN", 1, Some(2)))).len(), 0);
    }

    #[test]
    fn output_beyond_the_cap_is_dropped_with_one_warning_but_the_tail_is_kept() {
        let mut progress = progress(10);
        progress.apply(&report(vertex("RUN", 1, None)));
        let mut warnings = 0;
        for n in 0..100 {
            let events = progress.apply(&log("RUN", &format!("line {n}\n")));
            warnings += events
                .iter()
                .filter(|event| matches!(event, BuildEvent::Warning { .. }))
                .count();
        }
        assert_eq!(warnings, 1);
        let tail = &progress.culprit().unwrap().tail;
        assert_eq!((tail.len(), tail.back().unwrap().as_str()), (20, "line 99"));
    }
}
