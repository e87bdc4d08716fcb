//! Reading the configuration: every value with its origin, every problem at once.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{Config, KEYS, Key, unknown::nearest, value::Reader};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File(PathBuf),
    /// This environment variable.
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// One key with its value as text.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// Its value; empty: none.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// A valid configuration and where its values come from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// All keys in the order of [`KEYS`].
    pub settings: Vec<Setting>,
}

/// What is wrong with the configuration, all of it.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:{}", list(.problems))]
pub struct ConfigError {
    /// One sentence each: key, problem, remedy.
    pub problems: Vec<String>,
}

fn list(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("\n  - {problem}")).collect()
}

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "/etc/windlass/windlass.toml";

/// Reads and validates the configuration. `file` was asked for by name and must exist; otherwise the default file is read when it
/// is there. `env` looks up an environment variable.
pub fn load(file: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let (path, from_file) = read_file(file, &mut problems);
    let settings: Vec<Setting> = KEYS.iter().map(|key| setting(key, &path, &from_file, env)).collect();
    unknown_keys(&from_file, &path, &mut problems);
    let config = Reader::new(&settings, &mut problems).config();
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded { config, settings }),
        _ => Err(ConfigError { problems }),
    }
}

fn setting(
    key: &'static Key,
    path: &Path,
    file: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Setting {
    let (value, origin) = match (env(key.env).filter(|value| !value.is_empty()), file.get(key.name)) {
        (Some(value), _) => (value, Origin::Environment(key.env)),
        (None, Some(value)) => (value.clone(), Origin::File(path.to_owned())),
        (None, None) => (key.default.to_owned(), Origin::Default),
    };
    Setting {
        name: key.name,
        value,
        origin,
    }
}

fn read_file(file: Option<&Path>, problems: &mut Vec<String>) -> (PathBuf, BTreeMap<String, String>) {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
    let mut values = BTreeMap::new();
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.parse::<toml::Table>() {
            Ok(table) => flatten("", &table, &mut values, problems),
            Err(error) => problems.push(format!("{}: {}", path.display(), indented(&error))),
        },
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => problems.push(format!("{}: cannot be read: {error}", path.display())),
    }
    (path, values)
}

/// A syntax error points at its place with several lines; they stay below the problem that they belong to.
fn indented(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', "\n    ")
}

fn flatten(prefix: &str, table: &toml::Table, values: &mut BTreeMap<String, String>, problems: &mut Vec<String>) {
    for (name, value) in table {
        let name = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, values, problems),
            toml::Value::String(text) => drop(values.insert(name, text.clone())),
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
                drop(values.insert(name, value.to_string()))
            }
            toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
                let items: Vec<_> = items.iter().filter_map(toml::Value::as_str).collect();
                values.insert(name, items.join(","));
            }
            _ => problems.push(format!("{name}: must be a text, a number or a list of texts")),
        }
    }
}

fn unknown_keys(file: &BTreeMap<String, String>, path: &Path, problems: &mut Vec<String>) {
    for name in file.keys().filter(|name| KEYS.iter().all(|key| key.name != **name)) {
        let nearest = nearest(name, KEYS.iter().map(|key| key.name)).unwrap_or_default();
        problems.push(format!(
            "{name}: is no key of Windlass ({}); did you mean `{nearest}`?",
            path.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn with(file: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let mut temp = tempfile::NamedTempFile::new().unwrap();
        temp.write_all(file.as_bytes()).unwrap();
        let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(Some(temp.path()), &|name| env.get(name).cloned())
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
        let loaded = with(
            "base_domain = \"apps.example.com\"\n[api]\nlisten = \"127.0.0.1:9000\"\n",
            &[("WINDLASS_API_LISTEN", "127.0.0.1:9001")],
        )
        .unwrap();
        assert_eq!(loaded.config.base_domain.as_str(), "apps.example.com");
        assert_eq!(loaded.config.api_listen.port(), 9001);
        assert_eq!(loaded.config.api_public_url, "http://apps.example.com:9001");
        assert_eq!(loaded.config.router_http.port(), 80);
    }

    #[test]
    fn every_problem_is_named_at_once_with_its_key() {
        let error = with(
            "base_domian = \"x\"\nbase_domain = \"-\"\n[worker]\nnetwork_pool = \"10.0.0.0/30\"\nconcurrent_builds = 0\n",
            &[("WINDLASS_ROUTER", "nginx"), ("WINDLASS_LOG", "a=b=c")],
        )
        .unwrap_err();
        let keys: Vec<&str> = error.problems.iter().filter_map(|p| p.split(':').next()).collect();
        assert_eq!(
            keys,
            [
                "base_domian",
                "base_domain",
                "log.level",
                "router.kind",
                "worker.concurrent_builds",
                "worker.network_pool"
            ]
        );
        assert!(error.problems[0].contains("did you mean `base_domain`?"));
    }

    #[test]
    fn what_cannot_work_together_is_a_problem() {
        let error = with(
            "base_domain = \"5\"\n[api]\nlisten = \"127.0.0.1:80\"\n",
            &[("DATABASE_URL", "mysql://user:secret@host/x")],
        )
        .unwrap_err();
        let keys: Vec<&str> = error.problems.iter().filter_map(|p| p.split(':').next()).collect();
        assert_eq!(keys, ["base_domain", "database_url"]);
        assert!(!error.to_string().contains("secret"), "{error}");
        let error = with("[api]\nlisten = \"127.0.0.1:80\"\n", &[]).unwrap_err();
        assert!(error.problems[0].starts_with("router.http: "), "{error}");
    }

    #[test]
    fn every_key_stands_in_the_book_with_its_variable_and_its_default() {
        let page = include_str!("../../../docs/reference/configuration.md");
        for key in &KEYS {
            let row = format!("| `{}` | `{}` |", key.name, key.env);
            let line = page
                .lines()
                .find(|line| line.starts_with(&row))
                .unwrap_or_else(|| panic!("no row: {row}"));
            assert!(line.contains(key.default), "{line}: the default is {}", key.default);
        }
        let rows = page
            .lines()
            .filter(|line| line.starts_with("| `") && line.contains("` | `"))
            .count();
        assert!(rows >= KEYS.len(), "{rows} rows for {} keys", KEYS.len());
    }

    #[test]
    fn cores_are_read_to_the_thousandth_and_memory_has_a_floor() {
        let loaded = with("[build]\ncpus = 1.5\nmemory = 268435456\n", &[]).unwrap();
        assert_eq!(loaded.config.build_cpu_millis, Some(1500));
        assert_eq!(loaded.config.build_memory, Some(256 << 20));
        assert_eq!(with("", &[]).unwrap().config.build_cpu_millis, None);
        let error = with(
            "[build]\ncpus = \"0\"\nmemory = 5\n[disk]\nmin_free_percent = 91\n",
            &[],
        )
        .unwrap_err();
        let keys: Vec<&str> = error.problems.iter().filter_map(|p| p.split(':').next()).collect();
        assert_eq!(keys, ["build.memory", "build.cpus", "disk.min_free_percent"]);
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_its_line() {
        let error = with("base_domain = \n", &[]).unwrap_err();
        assert!(error.problems[0].contains("line 1"), "{}", error.problems[0]);
    }
}
