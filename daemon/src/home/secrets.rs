//! Identity and tokens.

use std::path::Path;

use anyhow::{Context, Result, bail};
use protocol::SecretIdentity;
use rand::{CryptoRng, RngExt};
use zeroize::Zeroizing;

use super::{Home, PUBLIC, SECRET, set_mode_if_secret, write_file};

const IDENTITY_SECRET: &str = "identity.secret";
const IDENTITY_PUBLIC: &str = "identity.public";
const AUTH_TOKEN: &str = "authtoken.secret";
const METRICS_TOKEN: &str = "metricstoken.secret";
const AFTER_COLLISION: &str = "identity.secret.saved_after_collision";

/// Tokens are this long.
const TOKEN_LENGTH: usize = 24;

impl Home {
    /// Hides secrets that something else wrote with too open a mode.
    pub fn protect_secrets(&self) {
        for name in [IDENTITY_SECRET, AUTH_TOKEN] {
            let path = self.path(name);
            if path.exists()
                && let Err(error) = set_mode_if_secret(&path, SECRET)
            {
                tracing::warn!("{error:#}");
            }
        }
    }

    /// The identity of this node: read and verified, or made on first start.
    pub fn identity(&self, rng: &mut impl CryptoRng) -> Result<SecretIdentity> {
        let path = self.path(IDENTITY_SECRET);
        let identity = match self.read(IDENTITY_SECRET)? {
            Some(content) => read_identity(&path, &content)?,
            None => {
                let identity = SecretIdentity::generate(rng);
                let text = Zeroizing::new(identity.to_secret_string());
                write_file(&path, text.as_bytes(), SECRET)?;
                identity
            }
        };
        let public = identity.public().to_string();
        write_file(&self.path(IDENTITY_PUBLIC), public.as_bytes(), PUBLIC)?;
        Ok(identity)
    }

    /// Another node has our address: keeps the secret under another name and forgets the identity.
    pub fn retire_identity(&self) -> Result<()> {
        if let Some(content) = self.read(IDENTITY_SECRET)? {
            let content = Zeroizing::new(content);
            write_file(&self.path(AFTER_COLLISION), &content, SECRET)?;
        }
        self.remove(IDENTITY_SECRET)?;
        self.remove(IDENTITY_PUBLIC)
    }

    /// The token of the local API.
    pub fn auth_token(&self, rng: &mut impl CryptoRng) -> Result<String> {
        self.token(AUTH_TOKEN, rng)
    }

    /// The token that opens `/metrics` only.
    pub fn metrics_token(&self, rng: &mut impl CryptoRng) -> Result<String> {
        self.token(METRICS_TOKEN, rng)
    }

    /// An empty file counts as missing: an empty token would let everyone in.
    fn token(&self, name: &str, rng: &mut impl CryptoRng) -> Result<String> {
        let path = self.path(name);
        if let Some(content) = self.read(name)? {
            let text = String::from_utf8(content)
                .ok()
                .with_context(|| format!("{}: token is not text", path.display()))?;
            let token = text.trim();
            if !token.is_empty() {
                return Ok(token.to_owned());
            }
        }
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let token: String = (0..TOKEN_LENGTH)
            .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
            .collect();
        write_file(&path, token.as_bytes(), SECRET)?;
        Ok(token)
    }
}

fn read_identity(path: &Path, content: &[u8]) -> Result<SecretIdentity> {
    let reason = |reason: &str| {
        format!(
            "invalid identity loaded from disk: {}: {reason}",
            path.display()
        )
    };
    let Ok(text) = std::str::from_utf8(content) else {
        bail!(reason("not text"));
    };
    let identity: SecretIdentity = match text.trim().parse() {
        Ok(identity) => identity,
        Err(error) => bail!(reason(&error.to_string())),
    };
    if !identity.is_consistent() {
        bail!(reason("the private key does not belong to the public key"));
    }
    if !identity.public().validate() {
        bail!(reason("the address does not belong to the public key"));
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::tests::TemporaryDirectory;
    use super::*;

    fn setup() -> (TemporaryDirectory, Home, StdRng) {
        let directory = TemporaryDirectory::new();
        let home = Home::open(&directory.0).unwrap();
        (directory, home, StdRng::seed_from_u64(5))
    }

    fn mode(home: &Home, name: &str) -> u32 {
        let metadata = fs::metadata(home.path(name)).unwrap();
        metadata.permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_an_identity_and_the_second_reads_it() {
        let (_directory, home, mut rng) = setup();
        let first = home.identity(&mut rng).unwrap();
        assert_eq!(
            fs::metadata(home.path("identity.secret")).unwrap().len(),
            270
        );
        assert_eq!(
            fs::metadata(home.path("identity.public")).unwrap().len(),
            141
        );
        assert_eq!(mode(&home, "identity.secret"), 0o600);
        assert_eq!(mode(&home, "identity.public"), 0o644);
        let second = home.identity(&mut rng).unwrap();
        assert_eq!(first.public(), second.public());
    }

    #[test]
    fn a_newline_behind_the_identity_is_fine_and_the_public_file_is_repaired() {
        let (_directory, home, mut rng) = setup();
        let identity = home.identity(&mut rng).unwrap();
        let text = identity.to_secret_string() + "\n";
        fs::write(home.path("identity.secret"), &text).unwrap();
        fs::write(home.path("identity.public"), "nonsense").unwrap();
        home.identity(&mut rng).unwrap();
        let public = fs::read_to_string(home.path("identity.public")).unwrap();
        assert_eq!(public, identity.public().to_string());
        fs::remove_file(home.path("identity.public")).unwrap();
        home.identity(&mut rng).unwrap();
        assert!(home.path("identity.public").exists());
        assert_eq!(
            fs::read_to_string(home.path("identity.secret")).unwrap(),
            text
        );
    }

    #[test]
    fn corrupt_identities_are_refused_and_left_alone() {
        let (_directory, home, mut rng) = setup();
        let identity = home.identity(&mut rng).unwrap();
        let good = identity.to_secret_string();
        let other = SecretIdentity::generate(&mut rng).to_secret_string();
        let cases = [
            "garbage".to_owned(),
            String::new(),
            identity.public().to_string(),
            // Keys of two identities.
            format!("{}{}", &good[..142], &other[142..]),
            // Another address.
            format!("{}{}", &other[..10], &good[10..]),
        ];
        for case in cases {
            fs::write(home.path("identity.secret"), &case).unwrap();
            let error = format!("{:#}", home.identity(&mut rng).unwrap_err());
            assert!(
                error.contains("invalid identity loaded from disk"),
                "{error}"
            );
            assert!(error.contains("identity.secret: "), "{error}");
            assert!(
                !error.contains(&good[200..]),
                "the secret is not for the log"
            );
            assert_eq!(
                fs::read_to_string(home.path("identity.secret")).unwrap(),
                case
            );
        }
    }

    #[test]
    fn a_collision_keeps_the_old_secret() {
        let (_directory, home, mut rng) = setup();
        let first = home.identity(&mut rng).unwrap();
        home.retire_identity().unwrap();
        let saved = home.path("identity.secret.saved_after_collision");
        assert_eq!(fs::read_to_string(saved).unwrap(), first.to_secret_string());
        let second = home.identity(&mut rng).unwrap();
        assert_ne!(first.address(), second.address());
    }

    #[test]
    fn tokens_are_made_once_and_read_without_white_space() {
        let (_directory, home, mut rng) = setup();
        let token = home.auth_token(&mut rng).unwrap();
        assert_eq!(token.len(), 24);
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        assert_eq!(mode(&home, "authtoken.secret"), 0o600);
        assert_eq!(home.auth_token(&mut rng).unwrap(), token);
        fs::write(home.path("authtoken.secret"), " mine\n").unwrap();
        assert_eq!(home.auth_token(&mut rng).unwrap(), "mine");
        fs::write(home.path("authtoken.secret"), "\n").unwrap();
        assert_eq!(home.auth_token(&mut rng).unwrap().len(), 24);
        assert_ne!(home.metrics_token(&mut rng).unwrap(), token);
    }
}
