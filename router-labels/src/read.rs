//! From labels back to routes.

use std::collections::BTreeMap;

use windlass_domain::{Middleware, Route, Upstream};

use crate::{LabelError, TraefikTarget, rule, to_labels};

/// The routes that a container's labels describe, each with this container as its only upstream. Labels of others are passed
/// over; those of a route have to be what [`to_labels`] writes for it, so that nothing is lost in silence.
pub fn from_labels(labels: &BTreeMap<String, String>, upstream: Upstream) -> Result<Vec<Route>, LabelError> {
    let names = labels
        .keys()
        .filter_map(|key| key.strip_prefix("windlass.route.")?.strip_suffix(".app"));
    names.map(|name| route(labels, name, upstream.clone())).collect()
}

fn get<'a>(labels: &'a BTreeMap<String, String>, label: &str) -> Result<&'a str, LabelError> {
    labels
        .get(label)
        .map(String::as_str)
        .ok_or_else(|| LabelError::Missing(label.to_owned()))
}

fn unreadable(label: &str, value: &str) -> LabelError {
    LabelError::Unreadable {
        label: label.to_owned(),
        value: value.chars().take(200).collect(),
    }
}

fn parse<T: std::str::FromStr>(labels: &BTreeMap<String, String>, label: &str) -> Result<T, LabelError> {
    let value = get(labels, label)?;
    value.parse().map_err(|_| unreadable(label, value))
}

fn route(labels: &BTreeMap<String, String>, name: &str, upstream: Upstream) -> Result<Route, LabelError> {
    let rule_label = format!("traefik.http.routers.{name}.rule");
    let rule = get(labels, &rule_label)?;
    let (host, path) = rule::read(rule).ok_or_else(|| unreadable(&rule_label, rule))?;
    let middlewares = labels.get(&format!("traefik.http.routers.{name}.middlewares"));
    let middlewares = middlewares
        .iter()
        .flat_map(|names| names.split(','))
        .map(|name| middleware(labels, name))
        .collect::<Result<_, _>>()?;
    let route = Route {
        app: parse(labels, &format!("windlass.route.{name}.app"))?,
        process: parse(labels, &format!("windlass.route.{name}.process"))?,
        host,
        path,
        middlewares,
        upstreams: vec![upstream],
    };
    for (label, expected) in to_labels(&route, &target(labels, name)?)? {
        let value = get(labels, &label)?;
        if value != expected {
            return Err(unreadable(&label, value));
        }
    }
    Ok(route)
}

fn target(labels: &BTreeMap<String, String>, name: &str) -> Result<TraefikTarget, LabelError> {
    let service = get(labels, &format!("traefik.http.routers.{name}.service"))?;
    let entrypoints = labels.get(&format!("traefik.http.routers.{name}.entrypoints"));
    Ok(TraefikTarget {
        port: parse(
            labels,
            &format!("traefik.http.services.{service}.loadbalancer.server.port"),
        )?,
        network: labels.get("traefik.docker.network").cloned(),
        entrypoints: entrypoints.map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect()),
    })
}

fn middleware(labels: &BTreeMap<String, String>, name: &str) -> Result<Middleware, LabelError> {
    let prefix = format!("traefik.http.middlewares.{name}.");
    let (label, value) = labels
        .range(prefix.clone()..)
        .next()
        .filter(|(label, _)| label.starts_with(&prefix))
        .ok_or_else(|| LabelError::Missing(prefix.clone()))?;
    match &label[prefix.len()..] {
        "stripprefix.prefixes" => Ok(Middleware::StripPath),
        kind if kind.starts_with("redirectscheme.") => Ok(Middleware::RedirectToHttps),
        kind => match kind.strip_prefix("headers.customresponseheaders.") {
            Some(header) => Ok(Middleware::ResponseHeader {
                name: header.to_owned(),
                value: value.clone(),
            }),
            None => Err(unreadable(label, value)),
        },
    }
}
