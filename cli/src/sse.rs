//! A parser for server-sent events (WHATWG HTML, section 9.2.6), fed with bytes as they arrive.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The last id that the stream has given, to resume after it.
    pub id: Option<String>,
    /// Its type; `message` if the stream names none.
    pub event: String,
    /// Its data, lines joined by line feeds.
    pub data: String,
}

/// A line that is longer than this is cut off: no event of Windlass comes near it.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Turns bytes into events.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_carriage_return: bool,
    id: Option<String>,
    event: String,
    data: Option<String>,
}

impl SseParser {
    /// Takes the next bytes, cut anywhere, and answers with the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends_pair = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            match byte {
                b'\n' if ends_pair => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                _ if self.line.len() < MAX_LINE_BYTES => self.line.push(byte),
                _ => {}
            }
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = value.to_owned(),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment, `retry`, or a field that this version does not know.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        Some(SseEvent {
            id: self.id.clone(),
            event: if event.is_empty() { "message".to_owned() } else { event },
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, event: &str, data: &str) -> SseEvent {
        SseEvent {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    const STREAM: &[u8] = b": hello\r\n\r\nid: 1\nevent: line\ndata: {\"a\":\ndata:  1}\n\nretry: 5\n\ndata: x\r\rid\nevent: end\ndata\n\ndata: cut";

    #[test]
    fn events_are_read_whole() {
        let expected = [
            event(Some("1"), "line", "{\"a\":\n 1}"),
            event(Some("1"), "message", "x"),
            event(None, "end", ""),
        ];
        assert_eq!(SseParser::default().push(STREAM), expected);
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        let whole = SseParser::default().push(STREAM);
        for size in 1..STREAM.len() {
            let mut parser = SseParser::default();
            let events: Vec<_> = STREAM.chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(events, whole, "chunks of {size} bytes");
        }
    }
}
