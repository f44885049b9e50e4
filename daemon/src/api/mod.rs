//! The local HTTP API (service specification C): who may ask, and how answers look. What is answered stands in one file
//! per noun.

pub mod access;
pub mod bond;
pub mod config;
pub mod listener;
pub mod metrics;
pub mod moon;
pub mod network;
pub mod peer;
pub mod router;
pub mod server;
pub mod status;

use serde_json::Value;

/// What is asked to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET and HEAD.
    Get,
    /// POST and PUT.
    Post,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// The method of that name; none if no path knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" | "PUT" => Some(Self::Post),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// The name that the controller's router knows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// An authorised request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// What to do.
    pub method: Method,
    /// Decoded path, starting with `/`.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// None for bodies that are empty.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

const JSON: &str = "application/json";

impl Reply {
    /// 200 with a JSON body.
    pub fn ok(value: &Value) -> Self {
        Self::json(200, value)
    }

    /// A JSON body: compact, keys in byte order.
    pub fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            content_type: Some(JSON),
            body: value.to_string().into_bytes(),
        }
    }

    /// `{}` with some status.
    pub fn empty_object(status: u16) -> Self {
        Self::json(status, &Value::Object(serde_json::Map::new()))
    }

    /// 404 with nothing.
    pub const fn not_found() -> Self {
        Self::nothing(404)
    }

    /// A status alone.
    pub const fn nothing(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: Vec::new(),
        }
    }

    /// Plain text.
    pub fn text(status: u16, text: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: Some("text/plain"),
            body: text.into(),
        }
    }

    /// 500 with a description.
    pub fn failure(description: &str) -> Self {
        let text = format!(
            "{{\"error\": 500, \"description\": {}}}",
            Value::from(description)
        );
        Self {
            status: 500,
            content_type: Some(JSON),
            body: text.into_bytes(),
        }
    }

    /// As a script that calls `function` with the answer.
    pub fn into_jsonp(self, function: &str) -> Self {
        let json = String::from_utf8_lossy(&self.body);
        let json = if json.is_empty() {
            "null"
        } else {
            json.as_ref()
        };
        Self {
            status: self.status,
            content_type: Some("application/javascript"),
            body: format!("{function}({json});").into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_compact_and_sorted() {
        let reply = Reply::ok(&json!({"b": 1, "a": [true, null]}));
        assert_eq!(reply.body, br#"{"a":[true,null],"b":1}"#);
        let failure = Reply::failure("line \"1\"");
        assert_eq!(
            String::from_utf8(failure.body).unwrap(),
            r#"{"error": 500, "description": "line \"1\""}"#
        );
    }

    #[test]
    fn jsonp_wraps_the_body() {
        assert_eq!(Reply::ok(&json!([])).into_jsonp("f").body, b"f([]);");
        assert_eq!(Reply::not_found().into_jsonp("f").body, b"f(null);");
    }
}
