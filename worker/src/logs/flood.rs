//! How much one instance may bring in a second: a flood must not keep the database busy. What is too much is dropped and counted,
//! but for its end, which often says why an instance ended. Pure.

use std::collections::VecDeque;

use windlass_runtime::RunLogLine;

use super::follower::MAX_LINE_BYTES;

/// Lines of one instance that are stored in a second …
const LINES_PER_SECOND: u32 = 2_000;
/// … and bytes of their text.
const BYTES_PER_SECOND: usize = 1 << 20;
/// Of what is too much, so many of the last lines are stored all the same …
const LAST_LINES: usize = 100;
/// … if they are no longer than this together.
const LAST_BYTES: usize = 256 << 10;

/// What one instance brought in the second that is being read.
#[derive(Default)]
pub(super) struct Flood {
    second: i64,
    lines: u32,
    bytes: usize,
    dropped: u64,
    last: VecDeque<RunLogLine>,
    last_bytes: usize,
}

impl Flood {
    /// Takes the next line; what is to be stored now is added to `batch`.
    pub(super) fn take(&mut self, line: RunLogLine, batch: &mut Vec<RunLogLine>) {
        let second = line.at.timestamp();
        if second != self.second {
            self.release(batch);
            *self = Self {
                second,
                ..Self::default()
            };
        }
        self.lines += 1;
        self.bytes += line.text.len().min(MAX_LINE_BYTES);
        if self.lines <= LINES_PER_SECOND && self.bytes <= BYTES_PER_SECOND {
            batch.push(line);
        } else {
            self.hold(line);
        }
    }

    /// Whether it holds lines that are yet to be stored.
    pub(super) fn is_holding(&self) -> bool {
        !self.last.is_empty()
    }

    /// Adds how much was dropped, and the last lines of what was too much. To be called when no more comes.
    pub(super) fn release(&mut self, batch: &mut Vec<RunLogLine>) {
        if let Some(first) = self.last.front()
            && self.dropped > 0
        {
            let text = format!(
                "[windlass] {} lines were dropped: more than {LINES_PER_SECOND} lines, or {} KiB, in a second",
                self.dropped,
                BYTES_PER_SECOND >> 10
            );
            batch.push(RunLogLine { text, ..*first });
        }
        batch.extend(self.last.drain(..));
        (self.dropped, self.last_bytes) = (0, 0);
    }

    fn hold(&mut self, line: RunLogLine) {
        self.last_bytes += line.text.len();
        self.last.push_back(line);
        while self.last.len() > LAST_LINES || (self.last_bytes > LAST_BYTES && self.last.len() > 1) {
            self.last_bytes -= self.last.pop_front().map_or(0, |line| line.text.len());
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use windlass_runtime::LogStream;

    use super::*;

    fn line(second: i64, text: impl Into<String>) -> RunLogLine {
        RunLogLine {
            at: DateTime::from_timestamp(second, 0).unwrap(),
            stream: LogStream::Stdout,
            text: text.into(),
        }
    }

    fn taken(flood: &mut Flood, lines: impl IntoIterator<Item = RunLogLine>) -> Vec<String> {
        let mut batch = Vec::new();
        lines.into_iter().for_each(|line| flood.take(line, &mut batch));
        batch.into_iter().map(|line| line.text).collect()
    }

    fn released(flood: &mut Flood) -> Vec<String> {
        let mut batch = Vec::new();
        flood.release(&mut batch);
        batch.into_iter().map(|line| line.text).collect()
    }

    fn numbers(second: i64, count: usize) -> impl Iterator<Item = RunLogLine> {
        (1..=count).map(move |n| line(second, n.to_string()))
    }

    #[test]
    fn what_is_within_bounds_is_stored_at_once() {
        let mut flood = Flood::default();
        assert_eq!(
            taken(&mut flood, numbers(1, 2_000).chain(numbers(2, 2_000))).len(),
            4_000
        );
        assert!(!flood.is_holding());
        assert_eq!(released(&mut flood), [""; 0]);
    }

    #[test]
    fn the_end_of_a_flood_is_stored_when_the_instance_ends() {
        let mut flood = Flood::default();
        let panic = line(1, "panic: out of cheese");
        assert_eq!(taken(&mut flood, numbers(1, 5_000).chain([panic])).len(), 2_000);
        assert!(flood.is_holding());

        let end = released(&mut flood);

        assert!(end[0].starts_with("[windlass] 2901 lines were dropped"), "{}", end[0]);
        assert_eq!((end[1].as_str(), end.len()), ("4902", 101));
        assert_eq!(end[100], "panic: out of cheese");
        assert_eq!(released(&mut flood), [""; 0], "it is told once");
    }

    #[test]
    fn the_end_of_a_flood_comes_before_the_next_second() {
        let mut flood = Flood::default();
        taken(&mut flood, numbers(1, 2_200));

        let next = taken(&mut flood, [line(2, "later")]);

        assert!(next[0].contains("100 lines were dropped"), "{}", next[0]);
        assert_eq!(
            (next[100].as_str(), next[101].as_str(), next.len()),
            ("2200", "later", 102)
        );
    }

    #[test]
    fn what_is_hardly_too_much_is_stored_whole_and_without_a_note() {
        let mut flood = Flood::default();
        taken(&mut flood, numbers(1, 2_001));
        assert_eq!(released(&mut flood), ["2001"]);
    }

    #[test]
    fn few_long_lines_are_a_flood_too() {
        let mut flood = Flood::default();
        let long = (0..1_000).map(|_| line(1, "x".repeat(MAX_LINE_BYTES)));
        assert_eq!(taken(&mut flood, long).len(), BYTES_PER_SECOND / MAX_LINE_BYTES);
        assert_eq!(released(&mut flood).len(), 1 + LAST_BYTES / MAX_LINE_BYTES);
    }

    #[test]
    fn a_last_line_is_stored_however_long_it_is() {
        let mut flood = Flood::default();
        taken(&mut flood, numbers(1, 2_100));
        taken(&mut flood, [line(1, "x".repeat(2 * LAST_BYTES))]);
        assert_eq!(released(&mut flood).len(), 2);
    }
}
