//! lighttpd's configuration for a site.

use windlass_domain::ProcessSpec;

use crate::{PlanFile, procfile::web};

/// Where the configuration is in the image.
const CONFIG: &str = "/etc/lighttpd/windlass.conf";

/// A site to serve.
pub(crate) struct Site<'a> {
    /// Its directory below the work directory; `""` for all of it. Letters, digits, `.`, `-`, `_`, `/` and spaces only.
    pub(crate) root: &'a str,
    /// Whether paths that are no file get the index page, as sites with a router in the browser need it.
    pub(crate) single_page: bool,
}

/// How a site is served: the process, the files it needs and the Debian packages.
pub(crate) fn serve(site: &Site<'_>) -> (ProcessSpec, Vec<PlanFile>, Vec<String>) {
    let file = PlanFile {
        name: "lighttpd.conf".to_owned(),
        target: CONFIG.to_owned(),
        content: config(site),
    };
    let packages = ["lighttpd", "lighttpd-mod-deflate"].map(str::to_owned).to_vec();
    (web(&["lighttpd", "-D", "-f", CONFIG]), vec![file], packages)
}

fn config(site: &Site<'_>) -> String {
    let root = format!("/app/{}", site.root);
    let root = root.trim_end_matches('/');
    let types: String = MIME_TYPES
        .iter()
        .map(|(end, kind)| format!("  \".{end}\" => \"{kind}\",\n"))
        .collect();
    let single_page = if site.single_page { SINGLE_PAGE } else { "" };
    format!(
        r#"server.modules = ("mod_access", "mod_deflate", "mod_rewrite", "mod_setenv", "mod_accesslog")
server.document-root = "{root}"
server.bind = "0.0.0.0"
server.port = env.PORT
server.tag = ""
server.errorfile-prefix = "{root}/"
index-file.names = ("index.html", "index.htm")
# Its standard output goes nowhere; its standard error is the log of the container.
accesslog.filename = "/dev/stderr"
server.max-request-size = 64
server.upload-dirs = ("/tmp")
# What begins with a dot is not part of the site, `.well-known` is.
$HTTP["url"] =~ "/\.(?!well-known(/|$))" {{ url.access-deny = ("") }}
setenv.add-response-header = ("X-Content-Type-Options" => "nosniff")
deflate.allowed-encodings = ("gzip")
deflate.mimetypes = ("text/", "application/javascript", "application/json", "application/xml", "application/wasm", "image/svg+xml")
{single_page}mimetype.assign = (
{types}  "" => "application/octet-stream"
)
"#
    )
}

/// Paths without an ending that are no file get the index page; missing files with an ending stay missing.
const SINGLE_PAGE: &str = "url.rewrite-if-not-file = (\"^/[^.?]*(\\?.*)?$\" => \"/index.html\")\n";

const MIME_TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("wasm", "application/wasm"),
    ("xml", "application/xml"),
    ("rss", "application/rss+xml"),
    ("atom", "application/atom+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
];
