//! Origins that requests may go to, where no host keeps a list of them.

use std::collections::HashSet;

use url::{Origin, Url};

/// Origins that requests may go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(HashSet<Origin>);

impl AllowedOrigins {
    /// True for a URL at one of them.
    pub fn has(&self, url: &Url) -> bool {
        self.0.contains(&url.origin())
    }
}

impl FromIterator<Origin> for AllowedOrigins {
    /// Those of them that a host can have: one without a host is nowhere.
    fn from_iter<T: IntoIterator<Item = Origin>>(origins: T) -> Self {
        Self(origins.into_iter().filter(Origin::is_tuple).collect())
    }
}
