//! Listening sockets on their way between processes: file descriptors beside the bytes of a line (`SCM_RIGHTS`).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketType, recvmsg, sendmsg, sockopt,
    },
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
};

/// More than a router ever listens on.
const MAX: usize = 16;
/// The line beside which the descriptors come is short.
const MAX_LINE: usize = 4096;

/// Sends a line, with the sockets beside it.
pub(super) async fn send(stream: &mut UnixStream, line: &[u8], sockets: &[TcpListener]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let sent = stream
        .async_io(Interest::WRITABLE, || send_once(stream, line, &descriptors))
        .await?;
    stream.write_all(&line[sent..]).await
}

fn send_once(stream: &UnixStream, line: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many listening sockets to hand over"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(stream, &[IoSlice::new(line)], &mut control, flags)?)
}

/// Reads a line and the sockets beside it.
pub(super) async fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    while !line.ends_with(b"\n") && line.len() < MAX_LINE {
        let n = stream
            .async_io(Interest::READABLE, || receive_once(stream, &mut line, &mut descriptors))
            .await?;
        if n == 0 {
            break;
        }
    }
    Ok((line, descriptors))
}

fn receive_once(stream: &UnixStream, line: &mut Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0_u8; 512];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            descriptors.extend(given);
        }
    }
    line.extend_from_slice(&bytes[..received.bytes]);
    Ok(received.bytes)
}

/// Takes a descriptor for what its sender says it is only after a look: a socket that listens for TCP connections.
pub(super) fn as_listener(descriptor: OwnedFd) -> Option<TcpListener> {
    let listens = sockopt::socket_acceptconn(&descriptor) == Ok(true);
    let streams = sockopt::socket_type(&descriptor) == Ok(SocketType::STREAM);
    let listener = TcpListener::from(descriptor);
    // Of a socket of another family this is an error.
    (listens && streams && listener.local_addr().is_ok()).then_some(listener)
}
