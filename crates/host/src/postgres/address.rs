//! Addresses of PostgreSQL servers, and whether a component may connect there.

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::allowed_hosts::AllowedHosts;
use crate::bindings::spin::postgres::postgres::Error;

/// Scheme of a server in `allowed_outbound_hosts`.
const SCHEME: &str = "postgres";
const DEFAULT_PORT: u16 = 5432;

/// Reads an address: a URL, or `key=value` pairs.
pub(super) fn parse(address: &str) -> Result<Config, Error> {
    // The error may show a piece of the address, and so of a password.
    address
        .parse()
        .map_err(|_| Error::ConnectionFailed("the address of the PostgreSQL server can't be read".to_owned()))
}

/// Refuses a server that isn't allowed. An address may name several, and each by name or by IP address or both.
pub(super) fn check(config: &Config, allowed: &AllowedHosts) -> Result<(), Error> {
    let refused = |why: String| Err(Error::ConnectionFailed(why));
    let port = |index: usize| {
        let ports = config.get_ports();
        ports.get(index).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT)
    };
    let mut names = Vec::new();
    for (index, host) in config.get_hosts().iter().enumerate() {
        match host {
            Host::Tcp(name) => names.push((bracketed(name), port(index))),
            Host::Unix(_) => return refused("Unix sockets are not supported on WebAssembly".to_owned()),
        }
    }
    // A connection goes there, whatever the name says.
    let addresses = config.get_hostaddrs().iter().enumerate();
    names.extend(addresses.map(|(index, address)| (bracketed(&address.to_string()), port(index))));
    if names.is_empty() {
        return refused("the address names no host".to_owned());
    }
    match names.into_iter().find(|(name, port)| !allowed.allows_host(SCHEME, name, *port)) {
        Some((name, port)) => refused(format!("address {SCHEME}://{}:{port} is not permitted", name.escape_default())),
        None => Ok(()),
    }
}

/// A host as a URL has it.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_address(allowed: &str, address: &str) -> Result<(), Error> {
        check(&parse(address)?, &AllowedHosts::parse([allowed]).unwrap())
    }

    #[test]
    fn every_host_of_an_address_must_be_allowed() {
        for (allowed, address, expected) in [
            ("postgres://db.example", "postgres://u:p@db.example/d", true),
            ("postgres://db.example:5432", "postgresql://db.example/d", true),
            ("postgres://db.example", "host=db.example user=u password=p", true),
            ("postgres://db.example", "host=db.example port=5433", false),
            ("postgres://db.example:5433", "host=db.example port=5433", true),
            ("postgres://db.example:*", "host=db.example,db.example port=1,2", true),
            ("postgres://db.example:1", "host=db.example,db.example port=1,2", false),
            ("postgres://db.example", "host=db.example,evil.example", false),
            ("postgres://*.example", "postgres://a.example", true),
            ("postgres://[::1]:5432", "postgres://[::1]/d", true),
            ("https://db.example:5432", "postgres://db.example", false),
            ("*://*:*", "postgres://db.example", true),
            // The IP address is where the connection goes.
            ("postgres://db.example", "host=db.example hostaddr=10.0.0.1", false),
            ("postgres://10.0.0.1", "hostaddr=10.0.0.1", true),
            ("*://*:*", "user=u", false),
            ("*://*:*", "host=/var/run/postgresql", false),
        ] {
            let checked = check_address(allowed, address);
            assert_eq!(checked.is_ok(), expected, "{allowed} {address}: {checked:?}");
        }
    }

    #[test]
    fn no_error_shows_what_the_address_hides() {
        for address in ["postgres://u:secret@db.example/d", "host=db.example password=secret", "secret", "secret=1 x"] {
            let error = format!("{:?}", check_address("postgres://other.example", address).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
