//! The router's side of the control socket.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time,
};

use super::{
    Ack, Ejected, RouterStatus, descriptors,
    protocol::{Answer, MAX_MESSAGE_BYTES, Request},
    socket::Bound,
};
use crate::state::{ApplyError, Shared};

/// Serves the control socket until the router has drained.
pub(crate) async fn serve(bound: Bound, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.abort.cancelled() => return,
            accepted = bound.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, Arc::clone(&shared)))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket; trying again in 50 ms");
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    loop {
        let answered = tokio::select! {
            () = shared.abort.cancelled() => return,
            answered = answer_one(&mut stream, &shared) => answered,
        };
        match answered {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(%error, "a control connection broke"),
        }
    }
}

/// Reads a request and answers it; false at the end of the connection.
async fn answer_one(stream: &mut BufReader<UnixStream>, shared: &Arc<Shared>) -> io::Result<bool> {
    let mut line = Vec::new();
    let n = stream.take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await?;
    if n == 0 {
        return Ok(false);
    }
    match serde_json::from_slice(&line) {
        Ok(Request::Watch) => return report(stream, shared).await.map(|()| false),
        Ok(Request::Listeners) => hand_over(stream.get_mut(), shared).await?,
        Ok(Request::Shutdown) => {
            say(stream, &Answer::Stopping).await?;
            shared.close();
        }
        Ok(request) => say(stream, &answer(request, shared).await).await?,
        Err(error) => {
            let reason = error.to_string();
            say(stream, &Answer::Malformed { reason }).await?;
        }
    }
    Ok(line.ends_with(b"\n"))
}

async fn say(stream: &mut BufReader<UnixStream>, answer: &Answer) -> io::Result<()> {
    stream.write_all(&line_of(answer)?).await
}

fn line_of(answer: &Answer) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    Ok(line)
}

async fn hand_over(stream: &mut UnixStream, shared: &Shared) -> io::Result<()> {
    // Duplicates, so that the lock is not held while somebody is slow to read.
    let sockets: io::Result<Vec<TcpListener>> = shared.listeners().iter().map(TcpListener::try_clone).collect();
    let sockets = sockets?;
    let line = line_of(&Answer::Listeners { count: sockets.len() })?;
    descriptors::send(stream, &line, &sockets).await
}

/// Tells what happens to the router, until it closes or the other side has heard enough.
async fn report(stream: &mut BufReader<UnixStream>, shared: &Shared) -> io::Result<()> {
    let mut wanted = shared.replacement_wanted.subscribe();
    say(stream, &Answer::Watching).await?;
    loop {
        let mut heard = [0_u8; 1];
        tokio::select! {
            () = shared.closing.cancelled() => return say(stream, &Answer::Stopping).await,
            changed = wanted.changed() => {
                changed.map_err(io::Error::other)?;
                say(stream, &Answer::Replacing).await?;
            }
            _ = stream.read(&mut heard) => return Ok(()),
        }
    }
}

async fn answer(request: Request, shared: &Arc<Shared>) -> Answer {
    match request {
        Request::Apply { table } => match shared.apply(table).await {
            Ok((generation, persisted)) => Answer::Applied(Ack {
                generation,
                persisted,
                closing: shared.is_closing(),
            }),
            Err(ApplyError::Stale { given, live }) => Answer::Stale { given, live },
            Err(ApplyError::Invalid(error)) => Answer::Invalid {
                reason: error.to_string(),
            },
        },
        Request::Status => Answer::Status(status(shared)),
        Request::Table => Answer::Table {
            table: shared.live_table().await,
        },
        Request::Replace => replace(shared),
        Request::Shutdown | Request::Watch | Request::Listeners => Answer::Malformed {
            reason: "this is answered elsewhere".to_owned(),
        },
    }
}

fn replace(shared: &Shared) -> Answer {
    // It fails if nobody watches.
    match shared.replacement_wanted.send(()) {
        Ok(()) => Answer::Replacing,
        Err(_) => Answer::Unwatched,
    }
}

fn status(shared: &Shared) -> RouterStatus {
    let ejected = shared.ejected().into_iter();
    RouterStatus {
        generation: shared.table.load().generation,
        in_flight: shared.in_flight(),
        served: shared.served(),
        requests_total: shared.requests_total(),
        connections: shared.caps.open() as u64,
        ejected: ejected
            .map(|(instance, address)| Ejected { instance, address })
            .collect(),
        version: shared.version.clone(),
        pid: std::process::id(),
        closing: shared.is_closing(),
    }
}
