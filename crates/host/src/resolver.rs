//! Look-up of hosts by name: at addresses that were given, and else as the system does it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// Resolver of names.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    given: Arc<BTreeMap<String, SocketAddr>>,
    system: GaiResolver,
}

impl Resolver {
    /// Parses addresses as the option `--resolve` has them: `name=address:port`.
    pub(crate) fn parse(given: &[String]) -> Result<Self> {
        let parse = |text: &String| {
            let (name, address) = text.split_once('=').context("it is not like NAME=ADDR")?;
            anyhow::Ok((name.to_ascii_lowercase(), address.parse()?))
        };
        let given = given.iter().map(|text| parse(text).with_context(|| format!("--resolve {text}")));
        Ok(Self { given: Arc::new(given.collect::<Result<_>>()?), system: GaiResolver::new() })
    }
}

type Resolved = Result<std::vec::IntoIter<SocketAddr>, io::Error>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Resolved> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.system.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if let Some(address) = self.given.get(&name.as_str().to_ascii_lowercase()) {
            // Its port is the one that is connected to, where the URL names none.
            let addresses = vec![*address].into_iter();
            return Box::pin(async move { Ok(addresses) });
        }
        let looked_up = self.system.call(name);
        Box::pin(async move { Ok(looked_up.await?.collect::<Vec<_>>().into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_leads_to_the_address_that_was_given() {
        let mut resolver = Resolver::parse(&["A.example=127.0.0.1:8443".to_owned()]).unwrap();
        let found = resolver.call("a.example".parse().unwrap()).await.unwrap();
        assert_eq!(found.as_slice(), ["127.0.0.1:8443".parse().unwrap()]);
        let other = resolver.call("127.0.0.1".parse().unwrap()).await.unwrap();
        assert_eq!(other.as_slice(), ["127.0.0.1:0".parse().unwrap()]);
        for wrong in ["a.example", "a.example=b.example:1", "a.example=127.0.0.1"] {
            assert!(Resolver::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
