//! From a route to labels.

use std::collections::BTreeMap;

use windlass_domain::{Middleware, Route};

use crate::{LabelError, TraefikTarget, router_name, rule, service_name};

/// The labels of a container that serves this route. The route's upstreams are not written: the container itself is one.
pub fn to_labels(route: &Route, target: &TraefikTarget) -> Result<BTreeMap<String, String>, LabelError> {
    rule::check_path(&route.path)?;
    target
        .network
        .iter()
        .chain(&target.entrypoints)
        .try_for_each(|name| rule::check_name(name))?;
    if target.port == 0 {
        return Err(LabelError::Port);
    }
    let settings = route
        .middlewares
        .iter()
        .map(|middleware| settings(middleware, &route.path));
    let settings: Vec<Settings> = settings.collect::<Result<_, _>>()?;
    let service = service_name(route.app.as_str(), route.process.as_str(), &route.host, &route.path);
    let said = settings
        .iter()
        .flatten()
        .flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    let name = router_name(&service, said.chain(target.entrypoints.iter().map(String::as_str)));
    let router = format!("traefik.http.routers.{name}");
    let mut labels = BTreeMap::from([
        ("traefik.enable".to_owned(), "true".to_owned()),
        (format!("{router}.rule"), rule::write(&route.host, &route.path)),
        (format!("{router}.service"), service.clone()),
        (
            format!("traefik.http.services.{service}.loadbalancer.server.port"),
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
    let names: Vec<String> = (0..settings.len()).map(|index| format!("{name}_m{index}")).collect();
    for (name, settings) in names.iter().zip(settings) {
        let prefix = format!("traefik.http.middlewares.{name}");
        labels.extend(
            settings
                .into_iter()
                .map(|(key, value)| (format!("{prefix}.{key}"), value)),
        );
    }
    if !names.is_empty() {
        labels.insert(format!("{router}.middlewares"), names.join(","));
    }
    Ok(labels)
}

/// What Traefik is told about a middleware, without the middleware's name.
type Settings = Vec<(String, String)>;

fn settings(middleware: &Middleware, path: &str) -> Result<Settings, LabelError> {
    Ok(match middleware {
        Middleware::StripPath => vec![("stripprefix.prefixes".to_owned(), path.to_owned())],
        Middleware::RedirectToHttps => vec![
            ("redirectscheme.scheme".to_owned(), "https".to_owned()),
            ("redirectscheme.permanent".to_owned(), "true".to_owned()),
        ],
        Middleware::ResponseHeader { name, value } => {
            rule::check_header(name, value)?;
            vec![(format!("headers.customresponseheaders.{name}"), value.clone())]
        }
    })
}
