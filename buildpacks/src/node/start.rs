//! What an app starts: the Procfile's `web`, the `start` script, a server file, or the pages that its build makes.

use windlass_domain::ProcessSpec;

use super::{PACKAGE_JSON, package_json::PackageJson};
use crate::{InvalidFile, PlanError, Tree, procfile::web};

/// What is started.
#[derive(Debug)]
pub(crate) enum Start {
    /// The Procfile says it.
    Procfile,
    /// This process.
    Process(ProcessSpec),
    /// A server for the files that the build makes.
    Pages {
        /// Where the build puts them.
        root: &'static str,
        /// Whether they are one page with a router in the browser.
        single_page: bool,
    },
}

/// Tools that make pages: the package, where its build puts them, and whether they are a single page.
const PAGE_BUILDERS: [(&str, &str, bool); 6] = [
    ("react-scripts", "build", true),
    ("@vue/cli-service", "dist", true),
    ("astro", "dist", false),
    ("@11ty/eleventy", "_site", false),
    ("gatsby", "public", false),
    ("vite", "dist", true),
];

/// Files that are a server by their name.
const SERVER_FILES: [&str; 6] = ["server.js", "server.mjs", "index.js", "index.mjs", "app.js", "main.js"];

impl Start {
    /// For the log.
    pub(crate) fn decision(&self) -> String {
        match self {
            Self::Procfile => "Started as the Procfile says".to_owned(),
            Self::Process(process) => match &process.command {
                Some(windlass_domain::release::ProcessCommand::Exec(arguments)) => {
                    format!("Started by `{}`", arguments.join(" "))
                }
                _ => "Started by its own command".to_owned(),
            },
            Self::Pages { root, .. } => format!("The build's pages in `{root}`, served by lighttpd"),
        }
    }
}

/// Finds it. Without a Procfile an app that cannot be started is a failure.
pub(crate) fn find(tree: &Tree<'_>, package: &PackageJson, has_procfile: bool) -> Result<Start, PlanError> {
    if package.has_script("start") {
        return Ok(Start::Process(start_script(package)));
    }
    let by_main = package
        .main
        .as_deref()
        .map(|main| main.trim_start_matches("./"))
        .filter(|main| is_plain(main));
    let main = by_main
        .filter(|main| tree.has(main))
        .or_else(|| tree.first_of(&SERVER_FILES));
    let pages = PAGE_BUILDERS
        .iter()
        .find(|(tool, ..)| package.has_script("build") && package.uses(tool));
    match (main, pages, by_main) {
        (Some(file), ..) => Ok(Start::Process(web(&["node", file]))),
        (None, Some(&(_, root, single_page)), _) => Ok(Start::Pages { root, single_page }),
        // Its build may make it.
        (None, None, Some(file)) if package.has_script("build") => Ok(Start::Process(web(&["node", file]))),
        _ if has_procfile => Ok(Start::Procfile),
        _ => Err(InvalidFile::new(
            PACKAGE_JSON,
            None,
            "does not say how the app is started: it has no `start` script, and there is no server.js or index.js",
            "add a `start` script to package.json, or a Procfile such as `web: node server.js`",
        )
        .into()),
    }
}

/// `start` without npm in between where it is plainly `node file …`: signals then reach the app itself.
fn start_script(package: &PackageJson) -> ProcessSpec {
    let script = package
        .scripts
        .get("start")
        .map(|script| script.trim())
        .unwrap_or_default();
    let words: Vec<&str> = script.split_whitespace().collect();
    let alone = !package.has_script("prestart") && !package.has_script("poststart");
    if alone && words.len() > 1 && words[0] == "node" && words.iter().all(|word| is_plain(word)) {
        return web(&words);
    }
    web(&["npm", "start"])
}

/// Without anything that a shell would read.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '=' | ':' | '@' | ','))
}
