//! Where the service is, and the token that opens its API (service specification D.1).

use std::io;
use std::path::{Path, PathBuf};

use crate::Manner;
use crate::arguments::Options;

/// Home directory unless said otherwise.
const DEFAULT_HOME: &str = "/var/lib/zerotier-one";
const PORT_FILE: &str = "zerotier-one.port";
const TOKEN_FILE: &str = "authtoken.secret";
/// Beneath the user's own home directory.
const USER_TOKEN_FILE: &str = ".zeroTierOneAuthToken";

/// A service's API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    pub(crate) home: PathBuf,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) token: String,
}

/// What environment variables say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `ZEROTIER_HOME`
    pub(crate) service_home: Option<PathBuf>,
    /// `HOME`
    pub(crate) user_home: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        let path = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            service_home: path("ZEROTIER_HOME"),
            user_home: path("HOME"),
        }
    }
}

/// What is missing.
#[derive(Debug)]
pub(crate) enum DiscoveryError {
    Port { home: PathBuf, cause: io::Error },
    Token { home: PathBuf, cause: io::Error },
}

impl DiscoveryError {
    /// What to say.
    pub(crate) fn text(&self, manner: Manner, program: &str) -> String {
        match (manner, self) {
            (Manner::Original, Self::Port { home, .. }) => {
                let home = home.display();
                format!("{program}: missing port and {PORT_FILE} not found in {home}\n")
            }
            (Manner::Original, Self::Token { home, .. }) => {
                let home = home.display();
                format!(
                    "{program}: {TOKEN_FILE} not found or readable in {home} (try again as root)\n"
                )
            }
            (Manner::Hawser, Self::Port { home, cause }) => format!(
                "{program}: cannot tell the service's port from {file}: {cause}.\n\
                 Start the service (`hawserd`) first, or say where its home directory is (-D<path>) or which port it has (-p<port>).\n",
                program = crate::usage::short_name(program),
                file = home.join(PORT_FILE).display(),
            ),
            (Manner::Hawser, Self::Token { home, cause }) => {
                let advice = if cause.kind() == io::ErrorKind::PermissionDenied {
                    "Run this as root, copy the file to ~/.zeroTierOneAuthToken, or give the token with -T<token>."
                } else {
                    "Start the service (`hawserd`) first, say where its home directory is (-D<path>), or give the token with -T<token>."
                };
                format!(
                    "{program}: cannot read the service's token from {file}: {cause}.\n{advice}\n",
                    program = crate::usage::short_name(program),
                    file = home.join(TOKEN_FILE).display(),
                )
            }
        }
    }
}

/// Finds the service: home, then port, then token.
pub(crate) fn discover(
    options: &Options,
    environment: &Environment,
) -> Result<Service, DiscoveryError> {
    let home = options
        .home
        .clone()
        .or_else(|| environment.service_home.clone())
        .unwrap_or_else(|| PathBuf::from(DEFAULT_HOME));
    let port = match options.port {
        Some(port) => port,
        None => read_port(&home).map_err(|cause| DiscoveryError::Port {
            home: home.clone(),
            cause,
        })?,
    };
    let token = match &options.token {
        Some(token) => token.clone(),
        None => read_token(&home, environment.user_home.as_deref()).map_err(|cause| {
            DiscoveryError::Token {
                home: home.clone(),
                cause,
            }
        })?,
    };
    Ok(Service {
        home,
        host: options
            .host
            .clone()
            .unwrap_or_else(|| "127.0.0.1".to_owned()),
        port,
        token,
    })
}

fn read_port(home: &Path) -> io::Result<u16> {
    let text = std::fs::read_to_string(home.join(PORT_FILE))?;
    text.trim()
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| io::Error::other(format!("{:?} is not a port", text.trim())))
}

/// The service's own file, or the user's copy of it; the error is about the former. Home Assistant and Docker write the
/// token with a newline, which is not part of it.
fn read_token(home: &Path, user_home: Option<&Path>) -> io::Result<String> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path)?;
        match text.trim() {
            "" => Err(io::Error::other("it is empty")),
            token => Ok(token.to_owned()),
        }
    };
    read(&home.join(TOKEN_FILE)).or_else(|cause| {
        user_home
            .and_then(|user_home| read(&user_home.join(USER_TOKEN_FILE)).ok())
            .ok_or(cause)
    })
}
