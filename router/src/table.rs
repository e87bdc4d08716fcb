//! A [`RouteTable`] made ready for lookups, and the choice of an upstream.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{HeaderName, HeaderValue};
use windlass_domain::{InstanceId, Middleware, Route, RouteTable};

use crate::endpoint::{Endpoint, InFlight};

/// Why a table cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Two routes would take the same requests.
    #[error("`{host}{path}` is in the table twice; host and path have to be unique together")]
    Duplicate {
        /// The host of both.
        host: String,
        /// The path of both.
        path: String,
    },
    /// A path does not begin with `/`.
    #[error("the path `{path}` of `{host}` does not begin with `/`")]
    Path {
        /// The route's host.
        host: String,
        /// The path.
        path: String,
    },
    /// A response header is no valid header.
    #[error("the response header `{name}` of `{host}` has a name or a value that HTTP does not allow")]
    Header {
        /// The route's host.
        host: String,
        /// The header's name.
        name: String,
    },
}

/// The endpoints of a table by what they are.
pub(crate) type Endpoints = HashMap<(InstanceId, SocketAddr), Arc<Endpoint>>;

/// A table to look up. Immutable: a new table replaces it as a whole.
#[derive(Default)]
pub(crate) struct CompiledTable {
    pub(crate) generation: u64,
    hosts: HashMap<Box<str>, Vec<Arc<CompiledRoute>>>,
}

/// One route with its middlewares parsed and its endpoints resolved.
pub(crate) struct CompiledRoute {
    /// Without a trailing slash; empty for `/`.
    prefix: Box<str>,
    pub(crate) strip_path: bool,
    pub(crate) redirect_to_https: bool,
    pub(crate) response_headers: Vec<(HeaderName, HeaderValue)>,
    endpoints: Box<[Arc<Endpoint>]>,
    next: AtomicUsize,
}

impl CompiledTable {
    /// Checks the table and makes it ready; `endpoint` finds or makes the endpoint of an upstream.
    pub(crate) fn compile(
        table: &RouteTable,
        mut endpoint: impl FnMut(InstanceId, SocketAddr) -> Arc<Endpoint>,
    ) -> Result<Self, TableError> {
        let mut hosts: HashMap<Box<str>, Vec<Arc<CompiledRoute>>> = HashMap::new();
        for route in &table.routes {
            let compiled = CompiledRoute::compile(route, &mut endpoint)?;
            let routes = hosts.entry(route.host.as_str().into()).or_default();
            if routes.iter().any(|other| other.prefix == compiled.prefix) {
                return Err(TableError::Duplicate {
                    host: route.host.to_string(),
                    path: route.path.clone(),
                });
            }
            routes.push(Arc::new(compiled));
        }
        for routes in hosts.values_mut() {
            routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        }
        Ok(Self {
            generation: table.generation,
            hosts,
        })
    }

    /// The route for a host (lower case, without port and trailing dot) and a path: the longest prefix wins.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Arc<CompiledRoute>> {
        self.hosts.get(host)?.iter().find(|route| route.takes(path)).cloned()
    }
}

impl CompiledRoute {
    fn compile(
        route: &Route,
        endpoint: &mut impl FnMut(InstanceId, SocketAddr) -> Arc<Endpoint>,
    ) -> Result<Self, TableError> {
        if !route.path.starts_with('/') {
            return Err(TableError::Path {
                host: route.host.to_string(),
                path: route.path.clone(),
            });
        }
        let mut compiled = Self {
            prefix: route.path.trim_end_matches('/').into(),
            strip_path: false,
            redirect_to_https: false,
            response_headers: Vec::new(),
            endpoints: route
                .upstreams
                .iter()
                .map(|up| endpoint(up.instance, up.address))
                .collect(),
            next: AtomicUsize::new(0),
        };
        for middleware in &route.middlewares {
            match middleware {
                Middleware::StripPath => compiled.strip_path = true,
                Middleware::RedirectToHttps => compiled.redirect_to_https = true,
                Middleware::ResponseHeader { name, value } => {
                    let header = parse_header(name, value).ok_or_else(|| TableError::Header {
                        host: route.host.to_string(),
                        name: name.clone(),
                    })?;
                    compiled.response_headers.push(header);
                }
            }
        }
        Ok(compiled)
    }

    /// Prefixes end on the boundary of a segment: `/api` takes `/api` and `/api/x`, not `/apix`.
    fn takes(&self, path: &str) -> bool {
        self.prefix.is_empty()
            || path
                .strip_prefix(&*self.prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The route's path without a trailing slash; empty for `/`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Chooses the endpoint with the fewest requests in flight, in turn among equals, and not one of `tried`.
    ///
    /// Fewest in flight, because this process sees every request and so has the exact count for free: an instance that is
    /// slow or busy with long requests gets fewer new ones, and among instances that are alike it is a plain round robin.
    /// Ejected endpoints count only if there is no other.
    pub(crate) fn choose(&self, tried: &[usize]) -> Option<(usize, InFlight)> {
        let n = self.endpoints.len();
        let start = if n > 1 { self.next.fetch_add(1, Relaxed) } else { 0 };
        let (_, _, index) = (0..n)
            .map(|turn| (start.wrapping_add(turn)) % n)
            .filter(|index| !tried.contains(index))
            .enumerate()
            .map(|(order, index)| {
                let endpoint = &self.endpoints[index];
                ((endpoint.is_ejected(), endpoint.in_flight()), order, index)
            })
            .min()?;
        Some((index, InFlight::new(&self.endpoints[index])))
    }

    /// Whether there is another endpoint than this one that was not tried and has not refused connections lately.
    pub(crate) fn has_another(&self, than: usize, tried: &[usize]) -> bool {
        let mut others = (0..self.endpoints.len()).filter(|index| *index != than && !tried.contains(index));
        others.any(|index| !self.endpoints[index].is_ejected())
    }

    /// Ejects an endpoint that refused a connection, unless it is the last that is not.
    pub(crate) fn eject(&self, index: usize) {
        let others = self.endpoints.iter().enumerate().filter(|(other, _)| *other != index);
        if others.into_iter().any(|(_, endpoint)| !endpoint.is_ejected()) {
            self.endpoints[index].eject();
        }
    }
}

fn parse_header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, path: &str, instances: usize) -> Route {
        Route {
            app: "shop".parse().unwrap(),
            process: "web".parse().unwrap(),
            host: host.parse().unwrap(),
            path: path.to_owned(),
            middlewares: vec![],
            upstreams: (0..instances)
                .map(|n| windlass_domain::Upstream {
                    instance: InstanceId::generate(),
                    address: SocketAddr::from(([127, 0, 0, 1], 9000 + u16::try_from(n).unwrap())),
                })
                .collect(),
        }
    }

    fn compile(routes: Vec<Route>) -> Result<CompiledTable, TableError> {
        CompiledTable::compile(&RouteTable { generation: 1, routes }, |instance, address| {
            Arc::new(Endpoint::new(instance, address, 1))
        })
    }

    #[test]
    fn the_longest_path_wins_on_segment_boundaries() {
        let table = compile(vec![
            route("a", "/", 0),
            route("a", "/api/", 0),
            route("a", "/api/v1", 0),
        ])
        .unwrap();
        let found = |path| table.find("a", path).unwrap().prefix().to_owned();
        for (path, prefix) in [
            ("/", ""),
            ("/apix", ""),
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/api/v10", "/api"),
            ("/api/v1/x", "/api/v1"),
            ("*", ""),
        ] {
            assert_eq!(found(path), prefix, "{path}");
        }
        assert!(table.find("b", "/").is_none());
    }

    #[test]
    fn a_table_with_two_routes_for_the_same_requests_is_refused() {
        let error = compile(vec![route("a", "/api", 0), route("a", "/api/", 0)])
            .err()
            .unwrap();
        assert!(matches!(error, TableError::Duplicate { .. }));
        assert!(matches!(
            compile(vec![route("a", "api", 0)]).err().unwrap(),
            TableError::Path { .. }
        ));
    }

    #[test]
    fn equal_endpoints_take_turns_and_busy_ones_are_spared() {
        let table = compile(vec![route("a", "/", 3)]).unwrap();
        let route = table.find("a", "/").unwrap();
        let turns: Vec<usize> = (0..6).map(|_| route.choose(&[]).unwrap().0).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        let (busy, _held) = route.choose(&[]).unwrap();
        assert!((0..9).all(|_| route.choose(&[]).unwrap().0 != busy));
    }

    #[test]
    fn an_ejected_endpoint_gets_nothing_but_the_last_one_is_never_ejected() {
        let table = compile(vec![route("a", "/", 2)]).unwrap();
        let route = table.find("a", "/").unwrap();
        route.eject(0);
        assert!((0..4).all(|_| route.choose(&[]).unwrap().0 == 1));
        route.eject(1);
        assert!(!route.endpoints[1].is_ejected());
        assert_eq!(route.choose(&[1]).unwrap().0, 0, "an ejected one is better than none");
        assert!(route.choose(&[0, 1]).is_none());
    }
}
