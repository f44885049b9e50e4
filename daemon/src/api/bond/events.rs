//! `/bond/events`: the latest events of bonds, a JSON object a line; with `follow=1` also those to come, with `since=<seq>`
//! only those after that number.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::{Either, Full, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::http::{HeaderValue, Uri, header};

use crate::api::Reply;
use crate::api::server::parameter;
use crate::bonding::events::EventLog;

/// Where it is.
pub const PATH: &str = "/bond/events";
const NDJSON: &str = "application/x-ndjson";

/// A body that is known, or one that goes on.
pub type ResponseBody =
    Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

/// The events after that number.
pub fn show(log: &EventLog, since: u64) -> Reply {
    let (lines, _) = log.after(since);
    Reply {
        status: 200,
        content_type: Some(NDJSON),
        body: lines.to_vec(),
    }
}

/// Does the request want the events to come?
pub fn asks_to_follow(uri: &Uri) -> bool {
    uri.path().trim_end_matches('/') == PATH
        && parameter(uri.query().unwrap_or(""), "follow").is_some_and(|value| value != "0")
}

/// The events after that number, and all to come. Ends when the daemon does, or when the connection's time is over.
pub fn follow(log: Arc<EventLog>, since: u64) -> Response<ResponseBody> {
    let mut watch = log.watch();
    // So that what is there already is sent at once.
    watch.mark_changed();
    let events = stream::unfold((log, watch, since), |(log, mut watch, since)| async move {
        loop {
            watch.changed().await.ok()?;
            let (lines, last) = log.after(since);
            if !lines.is_empty() {
                return Some((Ok(Frame::data(lines)), (log, watch, last)));
            }
        }
    });
    let mut response = Response::new(Either::Right(StreamBody::new(events.boxed())));
    let value = HeaderValue::from_static(NDJSON);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_plain_wish_follows() {
        for (uri, expected) in [
            ("/bond/events?follow=1", true),
            ("/bond/events/?since=3&follow=true", true),
            ("/bond/events?follow=0", false),
            ("/bond/events", false),
            ("/bond/a92cb526fa?follow=1", false),
        ] {
            assert_eq!(asks_to_follow(&uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn following_shows_the_past_and_what_comes() {
        let log = Arc::new(EventLog::default());
        log.add(1, json!({"event": "a"}));
        log.add(2, json!({"event": "b"}));
        assert_eq!(
            show(&log, 1).body,
            b"{\"event\":\"b\",\"seq\":2,\"ts\":2}\n"
        );
        let mut body = follow(Arc::clone(&log), 1).into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "{\"event\":\"b\",\"seq\":2,\"ts\":2}\n");
        log.add(3, json!({"event": "c"}));
        let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(second, "{\"event\":\"c\",\"seq\":3,\"ts\":3}\n");
    }
}
