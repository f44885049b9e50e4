//! HTTP to the service on this machine (service specification C.1, C.2).

use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::time::Duration;

use serde_json::Value;

use crate::discovery::Service;

/// How long the service may keep silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer, bytes.
const LONGEST_ANSWER: u64 = 16 << 20;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request<'a> {
    Get,
    Post(&'a Value),
    Patch(&'a Value),
    Delete,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A client of one service.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Client {
    /// Nothing is sent yet.
    pub(crate) fn new(service: &Service) -> Self {
        let config = ureq::Agent::config_builder()
            // A proxy that the environment names is not for the service on this machine.
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE))
            .build();
        let host = match service.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => service.host.clone(),
        };
        Self {
            agent: config.into(),
            base: format!("http://{host}:{}", service.port),
            token: service.token.clone(),
        }
    }

    /// Asks for an answer that comes line by line: each is for `take`, until that says false or the answer ends. One with
    /// another status than 200 is returned.
    pub(crate) fn lines(
        &self,
        path: &str,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<Option<Reply>, ureq::Error> {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("X-ZT1-Auth", self.token.as_str())
            .config()
            // Nothing may happen for long.
            .timeout_per_read(None)
            .build()
            .call()?;
        let status = response.status().as_u16();
        if status != 200 {
            let body = response.body_mut().read_to_string()?;
            return Ok(Some(Reply { status, body }));
        }
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            match line {
                Ok(line) if take(&line) => {}
                // The service went away or ended the connection: whoever asked may ask again.
                Ok(_) | Err(_) => break,
            }
        }
        Ok(None)
    }

    /// Asks. `path` begins with a slash.
    pub(crate) fn request(&self, request: Request<'_>, path: &str) -> Result<Reply, ureq::Error> {
        let url = format!("{}{path}", self.base);
        let header = ("X-ZT1-Auth", self.token.as_str());
        let mut response = match request {
            Request::Get => self.agent.get(url).header(header.0, header.1).call(),
            Request::Delete => self.agent.delete(url).header(header.0, header.1).call(),
            Request::Post(body) | Request::Patch(body) => match request {
                Request::Patch(_) => self.agent.patch(url),
                _ => self.agent.post(url),
            }
            .header(header.0, header.1)
            .header("Content-Type", "application/json")
            // Compact, as scripts that watch the wire know it.
            .send(body.to_string()),
        }?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_vec()?;
        Ok(Reply {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}
