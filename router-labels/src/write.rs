//! From a route to labels.

use std::collections::BTreeMap;

use windlass_domain::{Middleware, Route};

use crate::{LabelError, TraefikTarget, route_name, rule};

/// The labels of a container that serves this route. The route's upstreams are not written: the container itself is one.
pub fn to_labels(route: &Route, target: &TraefikTarget) -> Result<BTreeMap<String, String>, LabelError> {
    rule::check_path(&route.path)?;
    target
        .network
        .iter()
        .chain(&target.entrypoints)
        .try_for_each(|name| rule::check_name(name))?;
    let name = route_name(route.app.as_str(), route.process.as_str(), &route.host, &route.path);
    let router = format!("traefik.http.routers.{name}");
    let mut labels = BTreeMap::from([
        ("traefik.enable".to_owned(), "true".to_owned()),
        (format!("{router}.rule"), rule::write(&route.host, &route.path)),
        (format!("{router}.service"), name.clone()),
        (
            format!("traefik.http.services.{name}.loadbalancer.server.port"),
            target.port.to_string(),
        ),
        // Traefik has no words for these two; they make the way back possible.
        (format!("windlass.route.{name}.app"), route.app.to_string()),
        (format!("windlass.route.{name}.process"), route.process.to_string()),
    ]);
    if let Some(network) = &target.network {
        labels.insert("traefik.docker.network".to_owned(), network.clone());
    }
    if !target.entrypoints.is_empty() {
        labels.insert(format!("{router}.entrypoints"), target.entrypoints.join(","));
    }
    let mut names = Vec::new();
    for (index, middleware) in route.middlewares.iter().enumerate() {
        let name = format!("{name}_m{index}");
        labels.extend(middleware_labels(&name, middleware, &route.path)?);
        names.push(name);
    }
    if !names.is_empty() {
        labels.insert(format!("{router}.middlewares"), names.join(","));
    }
    Ok(labels)
}

fn middleware_labels(name: &str, middleware: &Middleware, path: &str) -> Result<Vec<(String, String)>, LabelError> {
    let prefix = format!("traefik.http.middlewares.{name}");
    Ok(match middleware {
        Middleware::StripPath => vec![(format!("{prefix}.stripprefix.prefixes"), path.to_owned())],
        Middleware::RedirectToHttps => vec![
            (format!("{prefix}.redirectscheme.scheme"), "https".to_owned()),
            (format!("{prefix}.redirectscheme.permanent"), "true".to_owned()),
        ],
        Middleware::ResponseHeader { name, value } => {
            rule::check_header(name, value)?;
            vec![(format!("{prefix}.headers.customresponseheaders.{name}"), value.clone())]
        }
    })
}
