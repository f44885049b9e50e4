//! HTTP around the API: headers, tokens, bodies. Answers come from the control thread.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Body;
use hyper::http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::{Request, Response};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::access::{Access, Shown};
use super::bond::events::{self, ResponseBody};
use super::{Call, Method, Reply};
use crate::bonding::events::EventLog;

/// Longest body that is read: rule sets of large networks are far below.
const MAX_BODY: usize = 16 << 20;
/// A body has to arrive within this time.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// A call on its way to the control thread.
pub type Question = (Call, oneshot::Sender<Reply>);

/// What requests are handled with.
#[derive(Clone)]
pub struct Server {
    /// Replaced when local.conf changes.
    pub access: Arc<ArcSwap<Access>>,
    /// To the control thread.
    pub control: mpsc::Sender<Question>,
    /// What happens to bonds.
    pub events: Arc<EventLog>,
}

impl Server {
    /// Answers one request.
    pub(super) async fn respond<B>(
        &self,
        source: IpAddr,
        request: Request<B>,
    ) -> Response<ResponseBody>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let follows =
            request.method() == hyper::Method::GET && events::asks_to_follow(request.uri());
        let query = request.uri().query().unwrap_or("").to_owned();
        let reply = self.answer(source, request).await;
        if follows && reply.status == 200 {
            return events::follow(Arc::clone(&self.events), since(&query));
        }
        let mut response = Response::new(Either::Left(Full::from(reply.body)));
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(content_type) = reply.content_type {
            let value = HeaderValue::from_static(content_type);
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        response
    }

    async fn answer<B>(&self, source: IpAddr, request: Request<B>) -> Reply
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let path = decode(parts.uri.path(), false);
        let query = parts.uri.query().unwrap_or("");
        let shown = Shown {
            header: header_text(&parts.headers, "x-zt1-auth"),
            query: parameter(query, "auth"),
            authorization: header_text(&parts.headers, header::AUTHORIZATION.as_str()),
        };
        if !self.access.load().permits(source, &path, &shown) {
            return Reply::empty_object(401);
        }
        let reply = match Method::from_name(parts.method.as_str()) {
            None if is_standard(&parts.method) => Reply::not_found(),
            None => Reply::nothing(400),
            // The control thread has no part in this.
            Some(Method::Get) if path.trim_end_matches('/') == events::PATH => {
                events::show(&self.events, since(query))
            }
            Some(method) => match read_body(body).await {
                Err(status) => Reply::empty_object(status),
                Ok(body) => self.ask(Call { method, path, body }).await,
            },
        };
        match parameter(query, "jsonp").filter(|name| is_function_name(name)) {
            Some(function) => reply.into_jsonp(&function),
            None => reply,
        }
    }

    async fn ask(&self, call: Call) -> Reply {
        let (sender, answer) = oneshot::channel();
        if self.control.send((call, sender)).await.is_err() {
            return Reply::empty_object(503);
        }
        answer.await.unwrap_or_else(|_| Reply::empty_object(503))
    }
}

/// The whole body, or the status that says why there is none.
async fn read_body<B>(body: B) -> Result<Vec<u8>, u16>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(413);
    }
    match timeout(BODY_PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Err(_) => Err(408),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(413),
        Ok(Err(_)) => Err(400),
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
    }
}

/// Number of the event after which others shall be shown.
fn since(query: &str) -> u64 {
    let number = parameter(query, "since");
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// The first parameter of that name in a query string.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true) == name).then(|| decode(value, true))
    })
}

/// A method of HTTP that is merely of no use here.
fn is_standard(method: &hyper::Method) -> bool {
    ["CONNECT", "OPTIONS", "PATCH", "TRACE"].contains(&method.as_str())
}

/// What may stand in front of a bracket without being anything else.
fn is_function_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['_', '$', '.'].contains(&c);
    !name.is_empty() && name.len() <= 128 && name.chars().all(fits)
}

/// Resolves `%41`, and `+` where that means a space.
fn decode(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = || {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then_some(())?;
            u8::from_str_radix(digits, 16).ok()
        };
        match (first, escaped()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) if plus => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        assert_eq!(
            parameter("a=1&auth=x%20y+z&auth=2", "auth").as_deref(),
            Some("x y z")
        );
        assert_eq!(parameter("auth", "auth").as_deref(), Some(""));
        assert_eq!(parameter("", "auth"), None);
        assert_eq!(decode("/a%2fb%zz%4+", false), "/a/b%zz%4+");
    }

    #[test]
    fn scripts_cannot_be_smuggled_in() {
        assert!(is_function_name("jQuery.cb_1$"));
        for name in ["", "alert(1)//", "a b", "<x>"] {
            assert!(!is_function_name(name), "{name}");
        }
    }
}
