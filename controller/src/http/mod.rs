//! The controller's part of the HTTP interface as a pure router (service specification F.3).

mod member;
mod network;

use protocol::{Address, NetworkId};
use serde_json::{Value, json};

use crate::{Controller, StoreError};

/// Content-Type of every body.
const JSON: &str = "application/json";

/// What to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiReply {
    /// HTTP status.
    pub status: u16,
    /// The body; empty for most failures.
    pub body: Vec<u8>,
    /// `None` if there is no body, and then no Content-Type is sent.
    pub content_type: Option<&'static str>,
}

impl ApiReply {
    fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status: 200,
                body,
                content_type: Some(JSON),
            },
            Err(error) => Self::failure(error),
        }
    }

    const fn empty(status: u16) -> Self {
        Self {
            status,
            body: Vec::new(),
            content_type: None,
        }
    }

    const fn not_found() -> Self {
        Self::empty(404)
    }

    /// Status 500 and a description, spaced as 1.14.1 spaces it.
    fn failure(error: impl ToString) -> Self {
        let description = Value::from(error.to_string());
        Self {
            status: 500,
            body: format!(r#"{{"error": 500, "description": {description}}}"#).into_bytes(),
            content_type: Some(JSON),
        }
    }
}

impl From<StoreError> for ApiReply {
    fn from(error: StoreError) -> Self {
        Self::failure(error)
    }
}

/// What a request wants from what its path names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Read,
    Write,
    Delete,
}

impl Controller {
    /// Answers a call below `/controller` or `/unstable/controller`. The caller has authenticated it.
    ///
    /// * `method`: upper case; HEAD is answered as GET, PUT as POST.
    /// * `path`: decoded segments, `["controller", "network", …]`; a trailing empty one is tolerated.
    /// * `now_ms`: milliseconds since the Unix epoch.
    ///
    /// Call [`Controller::poll`] afterwards: changes are pushed to members at once.
    pub fn handle_api(
        &mut self,
        method: &str,
        path: &[&str],
        body: &[u8],
        now_ms: u64,
    ) -> ApiReply {
        self.set_time(now_ms);
        let method = match method {
            "GET" | "HEAD" => Method::Read,
            "POST" | "PUT" => Method::Write,
            "DELETE" => Method::Delete,
            _ => return ApiReply::not_found(),
        };
        let path = match path {
            [path @ .., ""] => path,
            path => path,
        };
        match *path {
            ["controller", ref path @ ..] => self.route(method, path, body),
            ["unstable", "controller", ref path @ ..] if method == Method::Read => {
                self.route_unstable(path)
            }
            _ => Err(ApiReply::not_found()),
        }
        .unwrap_or_else(|reply| reply)
    }

    fn route(&mut self, method: Method, path: &[&str], body: &[u8]) -> Reply {
        match (method, path) {
            (Method::Read, []) => Ok(self.about()),
            (Method::Read, ["network"]) => Ok(self.list_networks()),
            (Method::Write, ["network"]) => self.create_network(body),
            (Method::Write, ["network", id]) if id.len() == 16 && id.ends_with("______") => {
                match id[..10].parse::<Address>() {
                    Ok(address) if address == self.identity.address() => self.create_network(body),
                    Ok(_) => Err(ApiReply::empty(400)),
                    Err(_) => Err(ApiReply::not_found()),
                }
            }
            (method, ["network", id]) => {
                let id = network_id(id)?;
                match method {
                    Method::Read => self.show_network(id),
                    Method::Write => self.write_network(id, body),
                    Method::Delete => self.remove_network(id),
                }
            }
            (Method::Read, ["network", id, "member"]) => self.list_members(network_id(id)?),
            (method, ["network", id, "member", address]) => {
                let id = network_id(id)?;
                let address = address.parse().map_err(|_| ApiReply::not_found())?;
                match method {
                    Method::Read => self.show_member(id, address),
                    Method::Write => self.write_member(id, address, body),
                    Method::Delete => self.remove_member(id, address),
                }
            }
            _ => Err(ApiReply::not_found()),
        }
    }

    fn route_unstable(&mut self, path: &[&str]) -> Reply {
        match path {
            ["network"] => Ok(self.list_networks_with_records()),
            ["network", id, "member"] => self.list_members_with_records(network_id(id)?),
            _ => Err(ApiReply::not_found()),
        }
    }

    /// Formatted by hand in 1.14.1, and compared by clients as text.
    fn about(&self) -> ApiReply {
        let body = format!(
            "{{\n\t\"controller\": true,\n\t\"apiVersion\": 4,\n\t\"clock\": {},\n\t\"databaseReady\": true\n}}\n",
            self.now_ms()
        );
        ApiReply {
            status: 200,
            body: body.into_bytes(),
            content_type: Some(JSON),
        }
    }
}

/// Failures are replies, too.
type Reply = Result<ApiReply, ApiReply>;

fn network_id(text: &str) -> Result<NetworkId, ApiReply> {
    text.parse().map_err(|_| ApiReply::not_found())
}

/// Any JSON value; a byte order mark is skipped.
fn parse(body: &[u8]) -> Result<Value, ApiReply> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiReply::failure(format!(
            "parse error at line {line}, column {column}: {error}"
        ))
    })
}

fn data_with_meta(data: Vec<Value>, meta: Value) -> ApiReply {
    ApiReply::json(&json!({ "data": data, "meta": meta }))
}

#[cfg(test)]
mod tests;
