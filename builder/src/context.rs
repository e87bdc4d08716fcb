//! The build context: a tar made on the fly from the revision's files. A blocking thread writes into a short channel, the request's
//! body reads from it: nothing on disk, and a slow engine slows the writer.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use windlass_domain::{ExtraFile, SourceTree};

use crate::{engine::Body, ignore::IgnoreRules};

/// Bytes that travel at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Chunks that wait to be sent at most.
const CHUNKS_WAITING: usize = 4;

/// What is sent of a tree.
pub(crate) struct Context {
    /// The revision's files.
    pub(crate) tree: Arc<dyn SourceTree>,
    /// The directory of the tree that is the root of the context; `""` for all.
    pub(crate) folder: String,
    /// What is left out.
    pub(crate) ignore: IgnoreRules,
    /// What is sent even if the rules leave it out: the Dockerfile and the file of the rules.
    pub(crate) always: Vec<String>,
    /// Files that are added.
    pub(crate) extra: Vec<ExtraFile>,
}

/// The context as a request body, and how writing it ended. A reader that went away is no error.
pub(crate) fn stream(context: Context) -> (Body, JoinHandle<io::Result<()>>) {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let writer = tokio::task::spawn_blocking(move || write(&context, sender));
    let frames = ReceiverStream::new(receiver).map(|chunk: io::Result<Bytes>| chunk.map(Frame::data));
    (StreamBody::new(frames).boxed_unsync(), writer)
}

fn write(context: &Context, sender: mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut out = ChunkWriter {
        sender,
        buffer: BytesMut::with_capacity(CHUNK_BYTES),
    };
    let keep = |path: &str| context.always.iter().any(|kept| kept == path) || !context.ignore.leaves_out(path);
    let written = context
        .tree
        .write_tar(&context.folder, &keep, &context.extra, &mut out)
        .and_then(|()| out.flush());
    match written {
        Err(_) if out.sender.is_closed() => Ok(()),
        Err(error) => {
            // The body must end with an error: an engine that got half a tar must not build it.
            let _ = out
                .sender
                .blocking_send(Err(io::Error::other("the revision could not be read")));
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

struct ChunkWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: BytesMut,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(CHUNK_BYTES)).freeze();
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
