//! Small apps for tests. They need nothing but the image that the kit makes, so that they build in an instant and anywhere.

use std::collections::BTreeMap;

use crate::docker::BUSYBOX;

/// The files of a commit: path, content, and whether it is a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, (String, bool)>);

impl Files {
    /// No file at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl Into<String>) -> Self {
        self.0.insert(path.to_owned(), (content.into(), false));
        self
    }

    /// Adds or replaces a program.
    #[must_use]
    pub fn with_program(mut self, path: &str, content: impl Into<String>) -> Self {
        self.0.insert(path.to_owned(), (content.into(), true));
        self
    }

    /// Path, content, and whether it is a program.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.0
            .iter()
            .map(|(path, (content, program))| (path.as_str(), content.as_str(), *program))
    }
}

/// Serves until SIGTERM; as process 1 a program that installs no handler would not hear it.
const SERVE: &str = r#"#!/bin/sh
echo "listening on $PORT"
httpd -f -vv -p "$PORT" -h /app/www &
trap 'echo "ending"; kill $!; exit 0' TERM
wait $!
"#;

/// Shows the environment of the app, one variable a line.
const ENVIRONMENT: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n";

/// An app that answers with this text at `/`, and with its environment at `/cgi-bin/env`. It logs each request.
pub fn saying(text: &str) -> Files {
    Files::new()
        .with("Dockerfile", dockerfile("CMD [\"/app/serve\"]\n"))
        .with_program("serve", SERVE)
        .with("www/index.html", format!("{text}\n"))
        .with_program("www/cgi-bin/env", ENVIRONMENT)
}

/// An app whose `web` is this shell script, run as process 1.
pub fn running(script: &str) -> Files {
    Files::new()
        .with("Dockerfile", dockerfile("CMD [\"/app/serve\"]\n"))
        .with_program("serve", format!("#!/bin/sh\n{script}\n"))
}

/// A Dockerfile over the kit's image that copies the commit to `/app`, and goes on with `rest`.
pub fn dockerfile(rest: &str) -> String {
    format!("FROM {BUSYBOX}\nCOPY . /app\nWORKDIR /app\n{rest}")
}
