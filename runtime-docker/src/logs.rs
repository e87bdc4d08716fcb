//! Reading what a container writes.

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures::{StreamExt, stream, stream::BoxStream};
use windlass_runtime::{ContainerId, LogStream, LogsFrom, RunLogLine, RuntimeError};

use crate::{
    DockerRuntime,
    fault::{is_missing, runtime_error},
    lines::Assembler,
};

type Lines = Vec<Result<RunLogLine, RuntimeError>>;

impl DockerRuntime {
    pub(crate) fn read_logs(
        &self,
        container: &ContainerId,
        from: LogsFrom,
    ) -> BoxStream<'static, Result<RunLogLine, RuntimeError>> {
        let this = self.clone();
        let container = container.clone();
        stream::once(async move {
            match this.inspect_own(&container).await {
                Ok(Some(_)) => this.own_logs(&container, from),
                Ok(None) => stream::iter([Err(RuntimeError::NoSuchContainer(container.to_string()))]).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        })
        .flatten()
        .boxed()
    }

    fn own_logs(
        &self,
        container: &ContainerId,
        from: LogsFrom,
    ) -> BoxStream<'static, Result<RunLogLine, RuntimeError>> {
        let tail = from.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let mut options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(from.follow)
            .tail(&tail);
        if let Some(since) = from.since {
            // Docker takes whole seconds here; what lies between is filtered below.
            options = options.since(i32::try_from(since.timestamp()).unwrap_or(i32::MAX));
        }
        let id = container.to_string();
        let frames = self.docker.logs(&id, Some(options.build())).map(Some);
        let ended = stream::iter([None]);
        frames
            .chain(ended)
            .scan(Assembler::default(), move |lines, frame| {
                let got = match frame {
                    None => lines.finish().into_iter().map(Ok).collect(),
                    Some(frame) => read_frame(lines, frame, &id),
                };
                futures::future::ready(Some(got))
            })
            .flat_map(stream::iter)
            .filter(move |line| {
                let new = match (line, from.since) {
                    (Ok(line), Some(since)) => line.at > since,
                    _ => true,
                };
                futures::future::ready(new)
            })
            .boxed()
    }
}

fn read_frame(lines: &mut Assembler, frame: Result<LogOutput, bollard::errors::Error>, id: &str) -> Lines {
    match frame {
        Ok(LogOutput::StdOut { message }) => lines.push(LogStream::Stdout, &message).into_iter().map(Ok).collect(),
        Ok(LogOutput::StdErr { message }) => lines.push(LogStream::Stderr, &message).into_iter().map(Ok).collect(),
        // Bytes that are no frame: the connection ended in the middle of one.
        Ok(LogOutput::Console { .. } | LogOutput::StdIn { .. }) => {
            vec![Err(RuntimeError::Unreachable("the log was cut off".into()))]
        }
        Err(error) if is_missing(&error) => vec![Err(RuntimeError::NoSuchContainer(id.to_owned()))],
        Err(error) => vec![Err(runtime_error("read a log", error))],
    }
}
