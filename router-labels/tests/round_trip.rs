//! What is written is read back, and nothing can break out of a rule.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use windlass_domain::{InstanceId, Middleware, Route, Upstream};
use windlass_router_labels::{LabelError, TraefikTarget, from_labels, to_labels};

fn upstream() -> Upstream {
    Upstream {
        instance: InstanceId::generate(),
        address: "10.0.0.2:8080".parse().unwrap(),
    }
}

fn target() -> TraefikTarget {
    TraefikTarget {
        port: 8080,
        network: Some("windlass-shop".to_owned()),
        entrypoints: vec!["web".to_owned()],
    }
}

fn route(app: &str, process: &str, host: &str, path: &str) -> Route {
    Route {
        app: app.parse().unwrap(),
        process: process.parse().unwrap(),
        host: host.parse().unwrap(),
        path: path.to_owned(),
        middlewares: Vec::new(),
        upstreams: vec![upstream()],
    }
}

#[test]
fn the_labels_are_those_that_traefik_documents() {
    let labels = to_labels(&route("shop", "web", "shop.example.com", "/"), &target()).unwrap();
    let service = "windlass_shop_web_shop_dexample_dcom";
    let router = format!("{service}_3d7c8bf619e911ca");
    let lines: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        lines,
        [
            "traefik.docker.network=windlass-shop".to_owned(),
            "traefik.enable=true".to_owned(),
            format!("traefik.http.routers.{router}.entrypoints=web"),
            format!("traefik.http.routers.{router}.rule=Host(`shop.example.com`)"),
            format!("traefik.http.routers.{router}.service={service}"),
            format!("traefik.http.services.{service}.loadbalancer.server.port=8080"),
            format!("windlass.route.{router}.app=shop"),
            format!("windlass.route.{router}.process=web"),
        ]
    );
}

fn header(name: &str, value: &str) -> Middleware {
    Middleware::ResponseHeader {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// Traefik drops what two containers define differently (seen with 3.7: the router answers 404).
#[test]
fn containers_that_differ_in_middlewares_or_entry_points_share_only_the_service() {
    let labels = |value: &str, entrypoint: &str| {
        let mut route = route("shop", "web", "shop.example.com", "/");
        route.middlewares = vec![header("x-a", value)];
        let entrypoints = vec![entrypoint.to_owned()];
        to_labels(
            &route,
            &TraefikTarget {
                entrypoints,
                ..target()
            },
        )
        .unwrap()
    };
    let first = labels("1", "web");
    for second in [labels("2", "web"), labels("1", "websecure")] {
        let shared: Vec<_> = first.iter().filter(|(key, _)| second.contains_key(*key)).collect();
        assert!(shared.iter().all(|(key, value)| second[*key] == **value), "{shared:?}");
        assert!(shared.iter().any(|(key, _)| key.contains(".loadbalancer.")));
        assert!(
            shared
                .iter()
                .all(|(key, _)| !key.contains(".routers.") && !key.contains(".middlewares."))
        );
    }
}

#[test]
fn labels_that_were_changed_by_others_are_not_read() {
    let mut route = route("shop", "web", "shop.example.com", "/api");
    route.middlewares = vec![Middleware::StripPath];
    let labels = to_labels(&route, &target()).unwrap();
    for (key, value) in [
        (".prefixes", "/"),
        (".rule", "Host(`shop.example.com`)"),
        (".rule", "Host(`a`) || Host(`b`)"),
        (".service", "other"),
        (".port", "x"),
        ("traefik.enable", "false"),
    ] {
        let mut changed = labels.clone();
        let key = changed.keys().find(|label| label.ends_with(key)).unwrap().clone();
        changed.insert(key.clone(), value.to_owned());
        assert!(from_labels(&changed, upstream()).is_err(), "{key}={value}");
        changed.remove(&key);
        assert!(from_labels(&changed, upstream()).is_err(), "{key} is missing");
    }
}

#[test]
fn a_path_that_could_end_the_rule_is_refused() {
    for path in [
        "",
        "p",
        "/p/",
        "/a`)||Host(`b",
        "/a\"b",
        "/a b",
        "/{x}",
        "/a\nb",
        "/é",
        "/a,b",
        "/a%2fb",
        "//",
        "/a//b",
        "/./a",
        "/a/..",
    ] {
        let result = to_labels(&route("shop", "web", "a.b", path), &target());
        assert_eq!(result, Err(LabelError::Path(path.to_owned())), "{path:?}");
    }
}

#[test]
fn a_header_that_could_end_the_label_is_refused() {
    for (name, value) in [
        ("X-A", "v"),
        ("x a", "v"),
        ("", "v"),
        ("x-a", "v\r\nb: c"),
        ("x-a", "`"),
        ("x-a", ""),
        ("x.a", "v"),
    ] {
        let mut route = route("shop", "web", "a.b", "/");
        route.middlewares = vec![header(name, value)];
        assert!(
            matches!(to_labels(&route, &target()), Err(LabelError::Header(_))),
            "{name:?} {value:?}"
        );
    }
}

#[test]
fn routes_that_look_alike_when_joined_do_not_share_a_name() {
    let routes = [
        route("a-b", "c", "x.y", "/"),
        route("a", "b-c", "x.y", "/"),
        route("a", "c", "b-x.y", "/"),
        route("a", "c", "x.y", "/b"),
        route("a", "c", "x-d.y", "/"),
        route("a", "c", "x.d.y", "/"),
    ];
    let rules: BTreeSet<String> = routes
        .iter()
        .flat_map(|route| {
            to_labels(route, &target())
                .unwrap()
                .into_keys()
                .filter(|key| key.ends_with(".rule"))
        })
        .collect();
    assert_eq!(rules.len(), routes.len());
}

fn any_middleware() -> impl Strategy<Value = Middleware> {
    prop_oneof![
        Just(Middleware::StripPath),
        Just(Middleware::RedirectToHttps),
        ("[a-z][a-z0-9-]{0,20}", "[!-_a-~]{1,30}").prop_map(|(name, value)| Middleware::ResponseHeader { name, value }),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    let path = prop_oneof![
        Just("/".to_owned()),
        "(/[a-zA-Z0-9_~!$&+;=:@-][a-zA-Z0-9._~-]{0,10}){1,4}"
    ];
    let name = "[a-z]([a-z0-9-]{0,10}[a-z0-9])?";
    let host = "[a-z0-9]{1,10}(\\.[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?){0,4}";
    (name, name, host, path, prop::collection::vec(any_middleware(), 0..12)).prop_filter_map(
        "a reserved name",
        |(app, process, host, path, middlewares)| {
            Some(Route {
                app: app.parse().ok()?,
                process: process.parse().ok()?,
                host: host.parse().ok()?,
                path,
                middlewares,
                upstreams: vec![upstream()],
            })
        },
    )
}

proptest! {
    #[test]
    fn a_route_reads_back_from_its_labels(route in any_route()) {
        let labels = to_labels(&route, &target()).unwrap();
        let back = from_labels(&labels, route.upstreams[0].clone()).unwrap();
        prop_assert_eq!(back, vec![route]);
    }

    #[test]
    fn whatever_path_is_accepted_leaves_the_rule_whole(path in "\\PC{0,40}") {
        if let Ok(labels) = to_labels(&route("shop", "web", "a.b", &path), &target()) {
            let rule = labels.iter().find(|(key, _)| key.ends_with(".rule")).unwrap().1;
            let ticks = if path == "/" { 2 } else { 6 };
            prop_assert_eq!(rule.matches('`').count(), ticks);
        }
    }
}
