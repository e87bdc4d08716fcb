//! What a Python app starts when its Procfile does not say.

use windlass_domain::{ProcessSpec, ProcessType, release::ProcessCommand};

use super::installer::Installer;
use crate::{PlanError, Tree, procfile::web};

/// What is started, and why.
#[derive(Debug)]
pub(crate) struct Start {
    /// The process.
    pub(crate) process: ProcessSpec,
    /// For the log.
    pub(crate) decision: String,
    /// Whether Django's static files are collected in the build.
    pub(crate) collects_static: bool,
}

/// Files that may hold the app object of a framework.
const APP_FILES: [&str; 10] = [
    "main.py",
    "app.py",
    "application.py",
    "wsgi.py",
    "asgi.py",
    "server.py",
    "api.py",
    "app/main.py",
    "app/__init__.py",
    "src/main.py",
];
/// Files that are a program by their name.
const PROGRAMS: [&str; 4] = ["main.py", "app.py", "server.py", "src/main.py"];

/// Finds it: Django, FastAPI, Flask, then a program.
pub(crate) fn find(tree: &Tree<'_>, installer: &Installer) -> Result<Option<Start>, PlanError> {
    if tree.has("manage.py") {
        return django(tree, installer).map(Some);
    }
    for (class, server) in [("FastAPI", fastapi as Server), ("Flask", flask as Server)] {
        for file in APP_FILES.iter().filter(|file| tree.has(file)) {
            let text = tree.text(file)?.unwrap_or_default();
            if let Some(name) = app_object(&text, class) {
                let app = format!("{}:{name}", module(file));
                let (process, how) = server(&app, installer);
                let decision = format!("{class} app `{app}`, started by {how}");
                return Ok(Some(Start {
                    process,
                    decision,
                    collects_static: false,
                }));
            }
        }
    }
    let program = tree.first_of(&PROGRAMS).map(|file| Start {
        process: web(&["python", file]),
        decision: format!("Started by `python {file}`"),
        collects_static: false,
    });
    Ok(program)
}

/// The process of an app object `module:name`, and the server's name.
type Server = fn(&str, &Installer) -> (ProcessSpec, &'static str);

fn fastapi(app: &str, installer: &Installer) -> (ProcessSpec, &'static str) {
    if installer.names("gunicorn") && installer.names("uvicorn") {
        return (
            web(&["gunicorn", "--worker-class", "uvicorn.workers.UvicornWorker", app]),
            "Gunicorn",
        );
    }
    (
        on_port(&format!("exec uvicorn {app} --host 0.0.0.0 --port \"$PORT\"")),
        "Uvicorn",
    )
}

fn flask(app: &str, installer: &Installer) -> (ProcessSpec, &'static str) {
    if installer.names("gunicorn") {
        return (web(&["gunicorn", app]), "Gunicorn");
    }
    (
        on_port(&format!("exec flask --app {app} run --host 0.0.0.0 --port \"$PORT\"")),
        "Flask's own server, which is not meant for production: add gunicorn to the requirements",
    )
}

fn django(tree: &Tree<'_>, installer: &Installer) -> Result<Start, PlanError> {
    let wsgi = tree
        .paths()
        .find(|path| path.matches('/').count() == 1 && path.ends_with("/wsgi.py") && is_module(path));
    let (process, how) = match wsgi {
        // Gunicorn binds to PORT by itself.
        Some(path) if installer.names("gunicorn") => (web(&["gunicorn", &module(path)]), "Gunicorn"),
        _ => (
            on_port("exec python manage.py runserver \"0.0.0.0:$PORT\""),
            "its own server, which is not meant for production: add gunicorn to the requirements",
        ),
    };
    let mut collects_static = false;
    for settings in tree
        .paths()
        .filter(|path| path.ends_with("settings.py") || path.contains("/settings/"))
    {
        collects_static |= tree.text(settings)?.unwrap_or_default().contains("STATIC_ROOT");
    }
    Ok(Start {
        process,
        decision: format!("Django app, started by {how}"),
        collects_static,
    })
}

/// A line for the container's shell, which knows `PORT`. Its variable parts are Python names.
fn on_port(line: &str) -> ProcessSpec {
    ProcessSpec {
        process: ProcessType::web(),
        command: Some(ProcessCommand::Shell(line.to_owned())),
    }
}

/// `name = Class(` at the beginning of a line.
fn app_object(text: &str, class: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.split(':').next()?.trim_end();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let value = value.trim_start();
        let value = value
            .strip_prefix("fastapi.")
            .or_else(|| value.strip_prefix("flask."))
            .unwrap_or(value);
        (is_name && value.strip_prefix(class)?.trim_start().starts_with('(')).then(|| name.to_owned())
    })
}

fn is_module(path: &str) -> bool {
    path.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.'))
}

/// The dotted name of a file.
fn module(path: &str) -> String {
    let path = path.trim_end_matches(".py");
    path.strip_suffix("/__init__").unwrap_or(path).replace('/', ".")
}
