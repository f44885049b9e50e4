//! The controller's part of the HTTP interface as a pure router (service specification F.3).

use crate::Controller;

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
        _method: &str,
        _path: &[&str],
        _body: &[u8],
        _now_ms: u64,
    ) -> ApiReply {
        todo!()
    }
}
