//! Structured logs: text on a terminal, JSON otherwise.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::config::{Config, LogFormat};

/// Installs the log for this process; writes to stderr.
pub fn install(config: &Config) -> anyhow::Result<()> {
    install_as(&config.log_level, config.log_format)
}

/// The same for the router process, which has no configuration of its own.
pub fn install_as(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(directives(level))
        .with_context(|| format!("log.level: `{level}` is no log filter; use a level such as `info`"))?;
    let colours = std::io::stderr().is_terminal();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    if is_text(format) {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_current_span(false).init();
    }
    Ok(())
}

/// Whether the log is for people.
pub fn is_text(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    }
}

/// The operator's directives, with two chatty libraries kept quiet. Neither gets louder than the operator asked for.
fn directives(operator: &str) -> String {
    let parts = operator.split(',').map(str::trim).filter(|part| !part.is_empty());
    let general = parts.filter_map(|part| part.parse().ok()).next_back();
    let general: LevelFilter = general.unwrap_or(LevelFilter::ERROR);
    let mut all = operator.to_owned();
    // At info, every start tells of each migration's table that is there already.
    if !names(operator, "sqlx") {
        all.push_str(&format!(",sqlx={}", general.min(LevelFilter::WARN)));
    }
    // At debug, Docker's client logs the bodies of requests: config vars of apps among them. Nobody may ask for that.
    all.push_str(&format!(",bollard={}", general.min(LevelFilter::INFO)));
    all
}

/// Whether a directive is about targets that begin so; `sqlx` is also about `sqlx_core`, to the filter too.
fn names(directives: &str, target: &str) -> bool {
    directives.split(',').any(|part| part.trim().starts_with(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chatty_libraries_are_quiet_unless_the_operator_names_them() {
        assert_eq!(directives("info"), "info,sqlx=warn,bollard=info");
        assert_eq!(directives("debug"), "debug,sqlx=warn,bollard=info");
        assert_eq!(directives("info,sqlx=info"), "info,sqlx=info,bollard=info");
        assert_eq!(
            directives("sqlx::query=debug,info"),
            "sqlx::query=debug,info,bollard=info"
        );
    }

    #[test]
    fn chatty_libraries_are_never_louder_than_the_rest() {
        assert_eq!(directives("error"), "error,sqlx=error,bollard=error");
        assert_eq!(directives("off"), "off,sqlx=off,bollard=off");
        assert_eq!(
            directives("windlass_worker=debug"),
            "windlass_worker=debug,sqlx=error,bollard=error"
        );
    }

    #[test]
    fn all_of_it_is_a_filter() {
        for operator in [
            "info",
            "off",
            "info,windlass_worker=debug",
            "warn,sqlx::query[span]=trace",
        ] {
            EnvFilter::try_new(directives(operator)).unwrap();
        }
    }
}
