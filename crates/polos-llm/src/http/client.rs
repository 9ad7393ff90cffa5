//! What a connection is made of: address, key, roots of trust, and no surprises.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, Url};

use super::{Timeouts, cause};
use crate::error::Error;

/// llama.cpp closes idle connections after 5 s; a connection we drop first is never stale.
const POOL_IDLE_PLAIN: Duration = Duration::from_secs(4);
const POOL_IDLE_TLS: Duration = Duration::from_secs(55);

pub(super) fn client(url: &Url, timeouts: Timeouts) -> Result<Client, Error> {
    // Whoever came first has chosen the provider for the whole process; that is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let is_tls = url.scheme() == "https";
    let mut builder = Client::builder()
        .connect_timeout(timeouts.connect)
        .pool_idle_timeout(if is_tls { POOL_IDLE_TLS } else { POOL_IDLE_PLAIN })
        // A redirect would carry the key to another host.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("polos-llm/", env!("CARGO_PKG_VERSION")));
    if !is_tls {
        // No roots are read, so a machine without certificates can use a local model.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::config(
            format!("cannot set up TLS: {}", cause::chain(&error)),
            "install the system's CA certificates (package ca-certificates) or set SSL_CERT_FILE",
        )
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Makes the address of an endpoint below a base URL.
pub(crate) fn url(base: &str, path: &str) -> Result<Url, Error> {
    let refuse = || {
        let shown = base.rsplit('@').next().unwrap_or(base);
        Error::config(
            format!("base URL `{shown}` is not an http or https address"),
            "write it like https://host/v1",
        )
    };
    let url = Url::parse(&format!("{base}{path}")).map_err(|_| refuse())?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    if usable { Ok(url) } else { Err(refuse()) }
}

/// Makes a header value that `Debug` does not show.
pub(crate) fn secret_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::config("the API key has characters that no key has", "set it again, without quotes")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
