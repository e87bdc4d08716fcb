//! Last words that are known, and what they mean. The last line that says something wins.

/// What a line says.
pub(super) struct Hint {
    needles: &'static [&'static str],
    /// What the app did, as the predicate of a sentence.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) next_step: &'static str,
}

/// The hint that the last telling line gives.
pub(super) fn find(lines: &[String]) -> Option<&'static Hint> {
    lines.iter().rev().take(40).find_map(|line| {
        HINTS
            .iter()
            .find(|hint| hint.needles.iter().any(|needle| line.contains(needle)))
    })
}

const HINTS: &[Hint] = &[
    Hint {
        needles: &["exec format error", "Exec format error", "cannot execute binary file"],
        what: "is a program for another kind of machine, or a script without a first line such as `#!/bin/sh`,",
        next_step: "build the program for this machine's architecture (in the Dockerfile, not on your computer), and begin scripts \
                    with `#!/bin/sh` and Unix line ends",
    },
    Hint {
        needles: &[
            "bad interpreter",
            "\\r: command not found",
            "env: 'bash\\r'",
            "\\r': No such file",
        ],
        what: "is a script with Windows line ends, or one whose interpreter the image lacks,",
        next_step: "save the script with Unix line ends (`git config core.autocrlf input`, or a .gitattributes with \
                    `*.sh text eol=lf`), and name an interpreter that the image has",
    },
    Hint {
        needles: &[
            "address already in use",
            "Address already in use",
            "Address in use",
            "EADDRINUSE",
        ],
        what: "found its port in use already",
        next_step: "start one server only, and let it listen on the port in the environment variable PORT: two processes of the \
                    same instance cannot share it",
    },
    Hint {
        needles: &[
            "EACCES: permission denied, open",
            "EACCES: permission denied, mkdir",
            "EROFS",
            "PermissionError: [Errno 13]",
        ],
        what: "may not write (or read) a file",
        next_step: "give the image's user access to the path in the message (`COPY --chown=…`, or `RUN chown`), or write below /tmp; \
                    what an instance writes is gone when it ends",
    },
    Hint {
        needles: &["Cannot find module", "ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND"],
        what: "misses a JavaScript module",
        next_step: "add the module of the message to `dependencies` (not `devDependencies`) in package.json, commit the lock file, and \
                    check that the build puts the file where the start command looks for it",
    },
    Hint {
        needles: &["ModuleNotFoundError: No module named", "ImportError: No module named"],
        what: "misses a Python module",
        next_step: "add the module of the message to requirements.txt (or pyproject.toml with its lock file) and push again",
    },
    Hint {
        needles: &[
            "npm error Missing script",
            "npm ERR! Missing script",
            "npm ERR! missing script",
        ],
        what: "names a script that package.json does not have",
        next_step: "add the script to package.json, or correct the command in the Procfile",
    },
    Hint {
        needles: &[
            "version `GLIBC_",
            "version `GLIBCXX_",
            "error while loading shared libraries",
        ],
        what: "misses a shared library, or needs a newer one than the image has,",
        next_step: "install the library of the message in the last stage of the Dockerfile, or build and run on the same base image",
    },
    Hint {
        needles: &["JavaScript heap out of memory", "java.lang.OutOfMemoryError"],
        what: "filled its heap",
        next_step: "give it more heap below the app's memory limit (for Node `NODE_OPTIONS=--max-old-space-size=…`, for Java \
                    `-XX:MaxRAMPercentage=…`), or raise the memory limit",
    },
    Hint {
        needles: &[
            "ECONNREFUSED",
            "Connection refused",
            "connection refused",
            "could not connect to server",
        ],
        what: "could not reach a service that it needs",
        next_step: "check the config var that holds the address of the service: inside of an instance, `localhost` is the instance \
                    itself and not this machine",
    },
    Hint {
        needles: &[
            "getaddrinfo ENOTFOUND",
            "Name or service not known",
            "Temporary failure in name resolution",
            "EAI_AGAIN",
        ],
        what: "could not resolve the name of a service that it needs",
        next_step: "check the host name in the config var that holds the address of the service",
    },
    Hint {
        needles: &[
            "Resource temporarily unavailable",
            "can't start new thread",
            "unable to create native thread",
        ],
        what: "needed more processes or threads than its limit",
        next_step: "start fewer workers or threads, or raise the app's limit of processes",
    },
];
