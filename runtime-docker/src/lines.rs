//! From frames of Docker's log to lines. Pure.
//!
//! With timestamps each frame is `RFC 3339 time, space, text`. The text of a whole line ends with a line feed; a line of more than
//! 16 KiB comes in several frames, all with the same time, of which only the last ends with one.

use chrono::{DateTime, Utc};
use windlass_runtime::{LogStream, RunLogLine};

/// Bytes of one line that are kept; the rest of a longer line is dropped, so that a program without line ends cannot fill memory.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// Puts lines together, each stream for itself.
#[derive(Default)]
pub(crate) struct Assembler {
    stdout: Partial,
    stderr: Partial,
}

#[derive(Default)]
struct Partial {
    at: Option<DateTime<Utc>>,
    text: Vec<u8>,
}

impl Assembler {
    /// Takes a frame; gives the lines that it completes.
    pub(crate) fn push(&mut self, stream: LogStream, frame: &[u8]) -> Vec<RunLogLine> {
        let (at, text) = split_time(frame);
        let partial = self.partial(stream);
        if partial.at.is_none() {
            partial.at = at;
        }
        let mut lines = Vec::new();
        for piece in text.split_inclusive(|&byte| byte == b'\n') {
            let (body, whole) = piece.strip_suffix(b"\n").map_or((piece, false), |body| (body, true));
            let room = LINE_MAX_BYTES.saturating_sub(partial.text.len());
            partial.text.extend_from_slice(&body[..body.len().min(room)]);
            if whole {
                lines.extend(partial.take(stream));
                partial.at = at;
            }
        }
        if text.ends_with(b"\n") {
            partial.at = None;
        }
        lines
    }

    /// What was left without a line end when the log ended.
    pub(crate) fn finish(&mut self) -> Vec<RunLogLine> {
        let mut rest: Vec<RunLogLine> = [LogStream::Stdout, LogStream::Stderr]
            .into_iter()
            .filter_map(|stream| {
                let partial = self.partial(stream);
                (!partial.text.is_empty()).then(|| partial.take(stream)).flatten()
            })
            .collect();
        rest.sort_by_key(|line| line.at);
        rest
    }

    const fn partial(&mut self, stream: LogStream) -> &mut Partial {
        match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        }
    }
}

impl Partial {
    /// The line so far; none if no frame of it had a time, which Docker never sends.
    fn take(&mut self, stream: LogStream) -> Option<RunLogLine> {
        let mut bytes = std::mem::take(&mut self.text);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Some(RunLogLine {
            at: self.at.take()?,
            stream,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }
}

fn split_time(frame: &[u8]) -> (Option<DateTime<Utc>>, &[u8]) {
    let end = frame.iter().position(|&byte| byte == b' ').unwrap_or(frame.len());
    let time = std::str::from_utf8(&frame[..end])
        .ok()
        .and_then(|text| text.parse().ok());
    match time {
        Some(time) => (Some(time), frame.get(end + 1..).unwrap_or_default()),
        None => (None, frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: &str = "2026-11-21T14:00:00.000000001Z";
    const T2: &str = "2026-11-21T14:00:00.000000002Z";

    fn texts(lines: &[RunLogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_frame_is_a_line() {
        let mut lines = Assembler::default();
        let got = lines.push(LogStream::Stdout, format!("{T1} hello world\n").as_bytes());
        assert_eq!(texts(&got), ["hello world"]);
        assert_eq!(got[0].at, T1.parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn an_empty_line_is_a_line() {
        let mut lines = Assembler::default();
        assert_eq!(
            texts(&lines.push(LogStream::Stdout, format!("{T1} \n").as_bytes())),
            [""]
        );
    }

    #[test]
    fn a_long_line_is_put_together_across_frames_and_streams() {
        let mut lines = Assembler::default();
        assert!(
            lines
                .push(LogStream::Stdout, format!("{T1} one ").as_bytes())
                .is_empty()
        );
        let other = lines.push(LogStream::Stderr, format!("{T2} other\n").as_bytes());
        assert_eq!(texts(&other), ["other"]);
        let got = lines.push(LogStream::Stdout, format!("{T1} line\n").as_bytes());
        assert_eq!(texts(&got), ["one line"]);
    }

    #[test]
    fn a_character_that_is_split_between_frames_survives() {
        let mut lines = Assembler::default();
        let bytes = "ä\n".as_bytes();
        lines.push(LogStream::Stdout, &[T1.as_bytes(), b" ", &bytes[..1]].concat());
        let got = lines.push(LogStream::Stdout, &[T1.as_bytes(), b" ", &bytes[1..]].concat());
        assert_eq!(texts(&got), ["ä"]);
    }

    #[test]
    fn what_has_no_line_end_comes_at_the_end() {
        let mut lines = Assembler::default();
        lines.push(LogStream::Stdout, format!("{T1} no end").as_bytes());
        assert_eq!(texts(&lines.finish()), ["no end"]);
        assert!(lines.finish().is_empty());
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut lines = Assembler::default();
        for _ in 0..10 {
            lines.push(LogStream::Stdout, format!("{T1} {}", "x".repeat(16 * 1024)).as_bytes());
        }
        let got = lines.push(LogStream::Stdout, format!("{T1} y\n").as_bytes());
        assert_eq!(got[0].text.len(), LINE_MAX_BYTES);
        assert_eq!(
            texts(&lines.push(LogStream::Stdout, format!("{T2} next\n").as_bytes())),
            ["next"]
        );
    }
}
