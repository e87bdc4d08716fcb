//! `windlassd doctor`: does this machine have what the engine needs?

mod machine;
mod versions;

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    process::ExitCode,
};

use serde::Serialize;
use windlass_router::control::ControlClient;

use crate::{
    config::{Config, RouterKind},
    data_dir, postgres, run,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    id: &'static str,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(id: &'static str, detail: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn bad(id: &'static str, verdict: Verdict, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            id,
            verdict,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Prints what was found; fails if anything is missing.
pub fn run(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(look(config));
    if json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(print);
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(finding: &Finding) {
    let sign = match finding.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Warning => "warn",
        Verdict::Failed => "FAIL",
    };
    println!("{sign}  {:<10} {}", finding.id, finding.detail);
    if let Some(remedy) = &finding.remedy {
        println!("                 -> {remedy}");
    }
}

async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = machine::findings(config).await;
    findings.extend([git().await, database(config).await]);
    findings.push(port("api", config.api_listen, config).await);
    if config.router == RouterKind::Builtin {
        findings.push(port("router", config.router_http, config).await);
    }
    findings.push(wildcard_dns(config));
    findings
}

async fn git() -> Finding {
    let version = match run::find_git() {
        Ok(git) => tokio::process::Command::new(git)
            .arg("--version")
            .output()
            .await
            .map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match version {
        Ok(output) => versions::git(String::from_utf8_lossy(&output.stdout).trim()),
        Err(error) => Finding::bad(
            "git",
            Verdict::Failed,
            format!("{error:#}"),
            "install git 2.37 or later",
        ),
    }
}

async fn database(config: &Config) -> Finding {
    match &config.database_url {
        Some(_) => external_database(config).await,
        None => match postgres::binaries(&config.postgres_dir().join("data")) {
            Ok(path) => {
                let detail = format!("embedded, with the programs in {}", path.display());
                // `/usr/lib/postgresql/15/bin`
                let major = path
                    .parent()
                    .and_then(|folder| folder.file_name()?.to_str()?.parse().ok());
                match major {
                    Some(major) => versions::postgres(detail, major),
                    None => Finding::ok("postgres", detail),
                }
            }
            Err(error) => Finding::bad(
                "postgres",
                Verdict::Failed,
                format!("{error:#}"),
                "apt-get install postgresql, or set database_url",
            ),
        },
    }
}

async fn external_database(config: &Config) -> Finding {
    let url = config.database_url.clone().unwrap_or_default();
    let options = windlass_store::StoreOptions {
        url,
        max_connections: 3,
        // Nothing is read that would need the true key.
        master_key: windlass_domain::Secret::new(vec![0; 32]),
    };
    let answer = match windlass_store::Store::connect(options).await {
        Ok(store) => store.server_version().await.map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    match answer {
        Ok(major) => versions::postgres("the server of database_url".to_owned(), major),
        Err(error) => Finding::bad(
            "postgres",
            Verdict::Failed,
            format!("{error:#}"),
            "check database_url and that the server runs",
        ),
    }
}

async fn port(id: &'static str, address: SocketAddr, config: &Config) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(id, format!("{address} is free")),
        Err(_) if held_by_us(id, config).await => Finding::ok(id, format!("{address} is held by our own engine")),
        Err(error) => Finding::bad(
            id,
            Verdict::Failed,
            format!("{address} cannot be bound: {error}"),
            format!(
                "free the port, or set {id}.{} to another address",
                if id == "api" { "listen" } else { "http" }
            ),
        ),
    }
}

async fn held_by_us(id: &str, config: &Config) -> bool {
    if id == "router" {
        return ControlClient::new(config.router_socket()).status().await.is_ok();
    }
    data_dir::running_engine(config).is_ok_and(|engine| engine.is_some())
}

/// Looks up a name that nobody has made: only a wildcard record answers for it.
fn wildcard_dns(config: &Config) -> Finding {
    let name = format!("windlass-doctor.{}", config.base_domain);
    match (name.as_str(), 80).to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(address)) => Finding::ok("dns", format!("*.{} leads to {}", config.base_domain, address.ip())),
        _ if config.base_domain.as_str() == "localhost" => {
            Finding::ok("dns", "*.localhost is resolved by browsers and curl themselves")
        }
        _ => Finding::bad(
            "dns",
            Verdict::Warning,
            format!("{name} has no address"),
            format!(
                "add a wildcard record `*.{}` that points to this server",
                config.base_domain
            ),
        ),
    }
}
