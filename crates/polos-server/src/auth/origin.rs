//! Neither a web page nor a name that was rebound to this machine may speak to the server.

use crate::rest::Refusal;
use axum::http::{HeaderMap, StatusCode, header};
use std::net::{IpAddr, SocketAddr};

/// The names under which the server may be spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    bound: IpAddr,
    named: Vec<String>,
}

impl Hosts {
    /// Loopback names always count; `named` are further host names, without a port.
    pub(crate) fn new(bound: SocketAddr, named: &[String]) -> Self {
        let named = named.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { bound: bound.ip(), named }
    }

    /// Refuses a request to a name that is not ours, or from a page that is not ours.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = single(headers, &header::HOST)?.ok_or_else(|| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "host_missing",
                "a request needs one `Host` header",
                "",
            )
        })?;
        if !self.knows(name_of(host)) {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host_unknown",
                format!("this server is not called `{}`", shown(host)),
                "start the server with this name among its hosts, or use a loopback address",
            ));
        }
        match single(headers, &header::ORIGIN)? {
            Some(origin) if !is_own(origin, host) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "origin_refused",
                format!("pages of `{}` may not use this server", shown(origin)),
                "there is no access from other web pages",
            )),
            _ => Ok(()),
        }
    }

    fn knows(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || self.named.contains(&name) {
            return true;
        }
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // An address cannot be rebound: one that leads here is ours if we listen on all of them.
        bare.parse::<IpAddr>().is_ok_and(|address| {
            address.is_loopback() || address == self.bound || self.bound.is_unspecified()
        })
    }
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match (first.map(|value| value.to_str()), second) {
        (None, _) => Ok(None),
        (Some(Ok(text)), None) => Ok(Some(text)),
        _ => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_header",
            format!("the header `{name}` must stand once, as text"),
            "",
        )),
    }
}

/// The host without its port.
fn name_of(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_own(origin: &str, host: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(scheme))
        .any(|authority| authority.eq_ignore_ascii_case(host))
}

fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bound: &str, host: &str, origin: Option<&str>, expect: Option<&str>) {
        let hosts = Hosts::new(bound.parse().unwrap(), &["polos.example".into()]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let code = hosts.check(&headers).err().map(|refusal| refusal.body.code);
        assert_eq!(code.as_deref(), expect, "{host} {origin:?}");
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let local = "127.0.0.1:4300";
        for host in ["localhost", "localhost:4300", "127.0.0.1:1", "[::1]:4300", "127.9.9.9"] {
            check(local, host, None, None);
        }
        check(local, "POLOS.example:443", None, None);
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io", ""] {
            check(local, host, None, Some("host_unknown"));
        }
        check("0.0.0.0:4300", "10.0.0.1:4300", None, None);
        check("0.0.0.0:4300", "evil.example", None, Some("host_unknown"));
    }

    #[test]
    fn other_pages_are_refused() {
        let local = "127.0.0.1:4300";
        check(local, "localhost:4300", Some("http://localhost:4300"), None);
        check(local, "polos.example", Some("https://polos.example"), None);
        for origin in ["null", "http://evil.example", "http://localhost:4301", "http://localhost"] {
            check(local, "localhost:4300", Some(origin), Some("origin_refused"));
        }
    }
}
