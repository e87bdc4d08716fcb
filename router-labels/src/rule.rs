//! The text of a rule, and the checks that keep it one.

use windlass_domain::Hostname;

use crate::LabelError;

/// Checks that a path cannot end a rule or a list, and that it means the same to both routers. So no percent escapes: Traefik
/// matches the decoded path, the built-in router the one that was sent. No empty and no dot segments: clients remove them.
pub(crate) fn check_path(path: &str) -> Result<(), LabelError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/!$&+;=:@".contains(&b);
    let real = |segment: &str| !matches!(segment, "" | "." | "..");
    let segments = path.strip_prefix('/');
    let whole = segments.is_some_and(|segments| segments.is_empty() || segments.split('/').all(real));
    if whole && path.len() <= 1024 && path.bytes().all(plain) {
        return Ok(());
    }
    Err(LabelError::Path(path.chars().take(80).collect()))
}

pub(crate) fn check_name(name: &str) -> Result<(), LabelError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    Err(LabelError::Name(name.chars().take(80).collect()))
}

pub(crate) fn check_header(name: &str, value: &str) -> Result<(), LabelError> {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let printable = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && value.trim() == value;
    if !name.is_empty() && name.bytes().all(token) && printable && !value.is_empty() && !value.contains('`') {
        return Ok(());
    }
    Err(LabelError::Header(name.chars().take(80).collect()))
}

/// ``Host(`a.example.com`) && PathPrefix(`/p`)``. The path matches on segment boundaries, as the built-in router does it.
pub(crate) fn write(host: &Hostname, path: &str) -> String {
    if path == "/" {
        return format!("Host(`{host}`)");
    }
    format!("Host(`{host}`) && (Path(`{path}`) || PathPrefix(`{path}/`))")
}

/// The host and the path of a rule that [`write`] wrote.
pub(crate) fn read(rule: &str) -> Option<(Hostname, String)> {
    let rest = rule.strip_prefix("Host(`")?;
    let (host, rest) = rest.split_once("`)")?;
    let host: Hostname = host.parse().ok()?;
    if rest.is_empty() {
        return Some((host, "/".to_owned()));
    }
    let (path, _) = rest.strip_prefix(" && (Path(`")?.split_once("`)")?;
    check_path(path).ok()?;
    (write(&host, path) == rule).then(|| (host, path.to_owned()))
}
