//! `Staticfile`, as Cloud Foundry's buildpack reads it: `root`, and `pushstate: enabled` for sites of a single page.

use crate::{InvalidFile, PlanError, Tree};

/// Where it is.
pub(crate) const STATICFILE: &str = "Staticfile";

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Staticfile {
    /// The directory of the site.
    pub(crate) root: Option<String>,
    /// Whether paths that are no file get the index page.
    pub(crate) single_page: bool,
}

impl Staticfile {
    /// Reads it, if there is one.
    pub(crate) fn read(tree: &Tree<'_>) -> Result<Self, PlanError> {
        let mut own = Self::default();
        for (index, line) in tree.text(STATICFILE)?.unwrap_or_default().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let invalid = |problem: &str| {
                let next = "write one `key: value` a line, such as `root: public`";
                InvalidFile::new(STATICFILE, Some(index + 1), problem, next)
            };
            let (key, value) = line.split_once(':').ok_or_else(|| invalid("expected `key: value`"))?;
            let value = value.trim().trim_matches(['"', '\'']);
            match key.trim() {
                "root" => {
                    own.root =
                        Some(folder(value, tree).ok_or_else(|| invalid("`root` is no directory of the revision"))?)
                }
                "pushstate" => own.single_page = matches!(value, "enabled" | "true"),
                // Options of other platforms that have no meaning here, such as `force_https`.
                _ => {}
            }
        }
        Ok(own)
    }
}

/// A directory of the tree whose name can stand in the server's configuration.
fn folder(value: &str, tree: &Tree<'_>) -> Option<String> {
    let path = crate::tree::context_path(value.trim_start_matches('/'));
    let plain = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ' '));
    (plain && (path.is_empty() || tree.has_folder(&path))).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::tree;

    #[test]
    fn a_root_must_be_a_plain_directory_of_the_tree() {
        for root in ["nowhere", "../..", "a\" + env.HOME + \"", "www/x.html"] {
            let source = tree(&[("Staticfile", &format!("root: {root}")), ("www/x.html", "")]);
            let error = Staticfile::read(&Tree::new(&source, "").unwrap()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "Staticfile line 1: `root` is no directory of the revision",
                "{root}"
            );
        }
    }

    #[test]
    fn push_state_makes_a_single_page() {
        let source = tree(&[("Staticfile", "root: ./www/\npushstate: enabled\n"), ("www/x.html", "")]);
        let own = Staticfile::read(&Tree::new(&source, "").unwrap()).unwrap();
        assert_eq!(
            own,
            Staticfile {
                root: Some("www".to_owned()),
                single_page: true
            }
        );
    }
}
