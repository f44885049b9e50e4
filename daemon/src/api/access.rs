//! Who may ask what (service specification C.2).

use std::net::IpAddr;

use protocol::IpPrefix;

/// What decides on access.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Opens everything.
    pub token: String,
    /// Opens `/metrics`.
    pub metrics_token: String,
    /// Sources allowed besides loopback.
    pub management: Vec<IpPrefix>,
}

/// The tokens that a request shows, in order of precedence.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shown {
    /// Header X-ZT1-Auth.
    pub header: Option<String>,
    /// Query parameter `auth`.
    pub query: Option<String>,
    /// Header Authorization.
    pub authorization: Option<String>,
}

impl Shown {
    /// The first one that is there decides, even if another would fit.
    fn token(&self) -> Option<&str> {
        let bearer = || {
            let (word, token) = self.authorization.as_deref()?.trim().split_once(' ')?;
            word.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        let query = || self.query.as_deref();
        self.header.as_deref().or_else(query).or_else(bearer)
    }
}

impl Access {
    /// May a request from `source` for `path` be answered?
    pub fn permits(&self, source: IpAddr, path: &str, shown: &Shown) -> bool {
        let shows = |token: &str| {
            !token.is_empty() && shown.token().is_some_and(|given| equal(given, token))
        };
        if path == "/metrics" {
            return shows(&self.metrics_token) || shows(&self.token);
        }
        let open = path == "/health" || path == "/sso" || path.starts_with("/app");
        self.is_manager(source) && (open || shows(&self.token))
    }

    /// May this source ask for anything but `/metrics`?
    pub fn is_manager(&self, source: IpAddr) -> bool {
        // On a dual-stack socket IPv4 comes as a mapped address.
        let source = source.to_canonical();
        source.is_loopback() || self.management.iter().any(|net| net.contains(source))
    }
}

/// Comparison that takes as long wherever the difference is.
fn equal(a: &str, b: &str) -> bool {
    let differences = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            token: "secret".to_owned(),
            metrics_token: "numbers".to_owned(),
            management: vec!["10.79.0.0/24".parse().unwrap()],
        }
    }

    fn header(token: &str) -> Shown {
        Shown {
            header: Some(token.to_owned()),
            ..Shown::default()
        }
    }

    fn permits(source: &str, path: &str, shown: &Shown) -> bool {
        access().permits(source.parse().unwrap(), path, shown)
    }

    #[test]
    fn only_loopback_and_management_networks() {
        let good = header("secret");
        for source in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "10.79.0.9",
            "::ffff:10.79.0.9",
        ] {
            assert!(permits(source, "/status", &good), "{source}");
        }
        for source in ["10.80.0.1", "192.0.2.1", "fd00::1"] {
            assert!(!permits(source, "/status", &good), "{source}");
            assert!(!permits(source, "/health", &good), "{source}");
            assert!(permits(source, "/metrics", &good), "{source}");
        }
    }

    #[test]
    fn the_first_token_shown_decides() {
        let mut shown = Shown {
            query: Some("secret".to_owned()),
            ..Shown::default()
        };
        assert!(permits("::1", "/status", &shown));
        shown.header = Some("wrong".to_owned());
        assert!(!permits("::1", "/status", &shown));
        let shown = Shown {
            authorization: Some("bEARER secret".to_owned()),
            ..Shown::default()
        };
        assert!(permits("::1", "/status", &shown));
        let shown = Shown {
            authorization: Some("Basic secret".to_owned()),
            ..Shown::default()
        };
        assert!(!permits("::1", "/status", &shown));
    }

    #[test]
    fn tokens_have_their_places() {
        for open in ["/health", "/sso", "/app", "/app/index.html"] {
            assert!(permits("::1", open, &Shown::default()), "{open}");
            assert!(!permits("10.80.0.1", open, &Shown::default()), "{open}");
        }
        assert!(!permits("::1", "/status", &Shown::default()));
        assert!(!permits("::1", "/status", &header("numbers")));
        assert!(permits("192.0.2.1", "/metrics", &header("numbers")));
        assert!(!permits("::1", "/metrics", &Shown::default()));
        assert!(!Access::default().permits("::1".parse().unwrap(), "/status", &header("")));
    }
}
