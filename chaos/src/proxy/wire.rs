//! Messages of Postgres' frontend/backend protocol, version 3 (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use std::{collections::HashMap, io};

use tokio::io::{AsyncRead, AsyncReadExt};

/// No message of Windlass is nearly as large; anything above is a misread length.
const MAX: usize = 256 << 20;

/// A message with its type. The bytes are those of the whole message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) tag: u8,
    pub(super) bytes: Vec<u8>,
}

/// Reads a message that begins with its type; none at the end of the stream.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let tag = match stream.read_u8().await {
        Ok(tag) => tag,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![tag];
    rest(stream, &mut bytes).await?;
    Ok(Some(Message { tag, bytes }))
}

/// Reads a first message, which has no type.
pub(super) async fn read_first(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    rest(stream, &mut bytes).await?;
    Ok(bytes)
}

async fn rest(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_i32().await?;
    bytes.extend(length.to_be_bytes());
    let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let body = body.filter(|body| *body < MAX).ok_or(io::ErrorKind::InvalidData)?;
    let start = bytes.len();
    bytes.resize(start + body, 0);
    stream.read_exact(&mut bytes[start..]).await.map(drop)
}

/// Whether a first message asks for TLS.
pub(super) fn asks_for_tls(first: &[u8]) -> bool {
    first.get(4..8) == Some(&80_877_103_i32.to_be_bytes())
}

impl Message {
    /// The strings at the beginning of the body.
    fn strings(&self, count: usize) -> Vec<String> {
        let body = self.bytes.get(5..).unwrap_or_default();
        body.split(|byte| *byte == 0)
            .take(count)
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }
}

/// What a session has prepared: enough to know which statement an `Execute` runs.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    statements: HashMap<String, String>,
    portals: HashMap<String, String>,
}

impl Prepared {
    /// Takes a message of the client; gives the statement that it runs, if it runs one.
    pub(super) fn take(&mut self, message: &Message) -> Option<String> {
        let mut strings = message.strings(2).into_iter();
        let mut next = || strings.next().unwrap_or_default();
        match message.tag {
            b'P' => {
                let (name, sql) = (next(), next());
                self.statements.insert(name, sql);
                None
            }
            b'B' => {
                let (portal, statement) = (next(), next());
                let sql = self.statements.get(&statement).cloned().unwrap_or_default();
                self.portals.insert(portal, sql);
                None
            }
            b'E' => self.portals.get(&next()).cloned(),
            b'Q' => Some(next()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Message {
        let length = i32::try_from(body.len() + 4).unwrap();
        let bytes = [&[tag][..], &length.to_be_bytes(), body].concat();
        Message { tag, bytes }
    }

    #[test]
    fn an_execute_runs_the_statement_that_its_portal_was_bound_to() {
        let mut prepared = Prepared::default();
        assert_eq!(prepared.take(&message(b'P', b"s1\0update a\0\0\0")), None);
        assert_eq!(prepared.take(&message(b'P', b"s2\0select 1\0\0\0")), None);
        assert_eq!(prepared.take(&message(b'B', b"\0s1\0\0\0")), None);
        assert_eq!(
            prepared.take(&message(b'E', b"\0\0\0\0\0")).as_deref(),
            Some("update a")
        );
        assert_eq!(prepared.take(&message(b'Q', b"COMMIT\0")).as_deref(), Some("COMMIT"));
    }

    #[tokio::test]
    async fn messages_are_read_whole_and_nonsense_is_refused() {
        let bytes = message(b'Q', b"BEGIN\0").bytes;
        let mut stream = bytes.as_slice();
        assert_eq!(read(&mut stream).await.unwrap().unwrap().bytes, bytes);
        assert!(read(&mut stream).await.unwrap().is_none());
        assert!(read(&mut [b'Q', 0, 0, 0, 1].as_slice()).await.is_err());
    }
}
