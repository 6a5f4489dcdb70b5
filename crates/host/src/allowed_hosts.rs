//! `allowed_outbound_hosts`: where a component may connect to.
//!
//! As in Spin 4: an entry is `scheme://host[:port]`; the scheme may be `*`, the host may begin with `*.` or be `*`, the
//! port may be `*` or a range `a..b`, and is the scheme's own where it isn't given. The host is compared by name,
//! before any look-up: `localhost` isn't `127.0.0.1`. An empty entry, as a template may become, is passed over. In
//! Spin, an entry that can't be read lets every request be refused; here it is an error at the start.

use anyhow::{Result, bail};

/// Hosts that a component may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowedHosts(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// `None` for any.
    scheme: Option<String>,
    host: Host,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// Every name that ends with this, which begins with a dot.
    Below(String),
    Exactly(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    Any,
    /// From the first up to, but not including, the second.
    Range(u16, u16),
    Only(u16),
}

impl AllowedHosts {
    /// Reads entries whose templates have been expanded.
    pub(crate) fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let entries = entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(Rule::parse).collect::<Result<_>>().map(Self)
    }

    /// True where a request to that URI may be sent.
    pub(crate) fn allows(&self, uri: &http::Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let port = uri.port_u16().or_else(|| default_port(scheme));
        port.is_some_and(|port| self.allows_host(scheme, host, port))
    }

    /// True where that port of a host may be connected to, for that scheme. An IPv6 address stands in brackets.
    pub(crate) fn allows_host(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.0.iter().any(|rule| rule.allows(scheme, host, port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Result<Self> {
        let Some((scheme, authority)) = entry.split_once("://") else {
            bail!("allowed_outbound_hosts: `{entry}` must be like https://host, with its scheme");
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#', '@']) || authority.is_empty() {
            bail!("allowed_outbound_hosts: `{entry}` must name a host and no more: no user, path or query");
        }
        let scheme = (scheme != "*").then(|| scheme.to_ascii_lowercase());
        // The colons in an IPv6 address are inside its brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let host = match host.to_ascii_lowercase() {
            host if host == "*" => Host::Any,
            host => match host.strip_prefix('*') {
                Some(rest) if rest.starts_with('.') && !rest.contains('*') => Host::Below(rest.to_owned()),
                None if !host.contains('*') && !host.is_empty() => Host::Exactly(host),
                _ => bail!("allowed_outbound_hosts: `{entry}`: a `*` in a host stands alone or before its first dot"),
            },
        };
        let ports = match port {
            None => match scheme.as_deref().map(default_port) {
                None => Ports::Any,
                Some(Some(port)) => Ports::Only(port),
                Some(None) => bail!("allowed_outbound_hosts: `{entry}` needs a port"),
            },
            Some("*") => Ports::Any,
            Some(port) => match port.split_once("..").map(|(first, end)| (first.parse(), end.parse())) {
                Some((Ok(first), Ok(end))) => Ports::Range(first, end),
                Some(_) => bail!("allowed_outbound_hosts: `{entry}`: the range of ports can't be read"),
                None => match port.parse() {
                    Ok(port) => Ports::Only(port),
                    Err(_) => bail!("allowed_outbound_hosts: `{entry}`: the port can't be read"),
                },
            },
        };
        Ok(Self { scheme, host, ports })
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        self.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
            && match &self.host {
                Host::Any => true,
                Host::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
                Host::Exactly(name) => host == *name,
            }
            && match self.ports {
                Ports::Any => true,
                Ports::Range(first, end) => (first..end).contains(&port),
                Ports::Only(only) => only == port,
            }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], uri: &str) -> bool {
        AllowedHosts::parse(entries.iter().copied()).unwrap().allows(&uri.parse().unwrap())
    }

    #[test]
    fn scheme_host_and_port_must_all_fit() {
        for (entry, uri, expected) in [
            ("https://*.hf.space", "https://a-b.hf.space/x", true),
            ("https://*.hf.space", "https://A-B.HF.space/x", true),
            ("https://*.hf.space", "https://hf.space/", false),
            ("https://*.hf.space", "https://evilhf.space/", false),
            ("https://*.hf.space", "https://a.hf.space.evil.example/", false),
            ("https://*.hf.space", "http://a.hf.space/", false),
            ("https://*.hf.space", "https://a.hf.space:8443/", false),
            ("http://127.0.0.1:*", "http://127.0.0.1:7860/", true),
            ("http://127.0.0.1:*", "http://localhost:7860/", false),
            ("http://127.0.0.1:7860", "http://127.0.0.1:7861/", false),
            ("http://127.0.0.1:7860..7862", "http://127.0.0.1:7861/", true),
            ("http://127.0.0.1:7860..7862", "http://127.0.0.1:7862/", false),
            ("http://[::1]:7860", "http://[::1]:7860/", true),
            ("*://example.com:443", "https://example.com/", true),
            ("https://*", "https://anything.example/", true),
        ] {
            assert_eq!(allows(&[entry], uri), expected, "{entry} {uri}");
        }
    }

    #[test]
    fn empty_entries_are_passed_over_and_nothing_allows_nothing() {
        assert!(!allows(&["", " "], "https://example.com/"));
        assert!(allows(&["", "https://example.com"], "https://example.com/"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for entry in [
            "example.com",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://a*b",
            "https://*a",
            "https://a:x",
            "ftp://a",
        ] {
            assert!(AllowedHosts::parse([entry]).is_err(), "{entry}");
        }
    }
}
