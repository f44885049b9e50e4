//! One command against one service: requests, and what to say when they fail (service specification D.2).

use serde_json::Value;

use crate::Manner;
use crate::arguments::Options;
use crate::client::{Client, Reply, Request};
use crate::discovery::Service;
use crate::outcome::Outcome;
use crate::usage;

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) manner: Manner,
    pub(crate) program: &'a str,
    pub(crate) options: &'a Options,
    pub(crate) service: Service,
    client: Client,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        manner: Manner,
        program: &'a str,
        options: &'a Options,
        service: Service,
    ) -> Self {
        Self {
            manner,
            program,
            options,
            client: Client::new(&service),
            service,
        }
    }

    /// The command's name as typed.
    pub(crate) fn command(&self) -> &str {
        self.options.word(0)
    }

    /// Speak as hawser?
    pub(crate) fn is_hawser(&self) -> bool {
        self.manner == Manner::Hawser
    }

    /// GET that must answer with JSON.
    pub(crate) fn read(&self, path: &str) -> Result<Value, Outcome> {
        let reply = self
            .client
            .request(Request::Get, path)
            .map_err(|cause| match self.manner {
                Manner::Original => Outcome::to_stdout(1, cannot_connect("connection failed")),
                Manner::Hawser => self.unreachable(&cause),
            })?;
        let reply = self.successful(reply)?;
        serde_json::from_str(&reply.body).map_err(|cause| match self.manner {
            Manner::Original => Outcome::to_stdout(
                1,
                format!("200 {} invalid JSON response ({cause})\n", self.command()),
            ),
            Manner::Hawser => self.failure(&format!(
                "what answers at {} is not the service: its answer to {path} is no JSON ({cause})",
                self.place()
            )),
        })
    }

    /// A request that must succeed.
    pub(crate) fn write(&self, request: Request<'_>, path: &str) -> Result<Reply, Outcome> {
        self.successful(self.send(request, path)?)
    }

    /// A request; only a service that does not answer is a failure.
    pub(crate) fn send(&self, request: Request<'_>, path: &str) -> Result<Reply, Outcome> {
        self.client
            .request(request, path)
            .map_err(|cause| match self.manner {
                Manner::Original => {
                    Outcome::to_stdout(1, format!("0 {} connection failed\n", self.command()))
                }
                Manner::Hawser => self.unreachable(&cause),
            })
    }

    /// A request whose answer comes line by line, each for `take`, until that says false or the service ends it. An answer
    /// that is not 200 is returned as a whole.
    pub(crate) fn lines(
        &self,
        path: &str,
        take: impl FnMut(&str) -> bool,
    ) -> Result<Option<Reply>, Outcome> {
        self.client
            .lines(path, take)
            .map_err(|cause| match self.manner {
                Manner::Original => {
                    Outcome::to_stdout(1, format!("0 {} connection failed\n", self.command()))
                }
                Manner::Hawser => self.unreachable(&cause),
            })
    }

    fn successful(&self, reply: Reply) -> Result<Reply, Outcome> {
        if reply.status == 200 {
            return Ok(reply);
        }
        Err(match self.manner {
            Manner::Original => Outcome::to_stdout(
                1,
                format!("{} {} {}\n", reply.status, self.command(), reply.body),
            ),
            Manner::Hawser => self.refused(&reply),
        })
    }

    /// hawser's words about an answer that is not 200.
    pub(crate) fn refused(&self, reply: &Reply) -> Outcome {
        match reply.status {
            401 => self.failure(
                "the service refused the token (401). Use the one in the service's authtoken.secret; from another \
                 machine, add its address to allowManagementFrom in local.conf",
            ),
            404 => self.failure("the service does not know this (404)"),
            status => {
                let detail = match reply.body.trim() {
                    "" | "{}" => String::new(),
                    body => format!(": {body}"),
                };
                self.failure(&format!("the service refused ({status}){detail}"))
            }
        }
    }

    fn unreachable(&self, cause: &ureq::Error) -> Outcome {
        self.failure(&format!(
            "the service at {} does not answer: {cause}.\n\
             Is hawserd running? If it has another home directory, say which with -D<path>",
            self.place()
        ))
    }

    /// hawser's words about something that failed: exit code 1.
    pub(crate) fn failure(&self, text: &str) -> Outcome {
        Outcome::to_stderr(1, format!("{}: {text}.\n", usage::short_name(self.program)))
    }

    /// hawser's words about arguments: exit code 2.
    pub(crate) fn mistake(&self, text: &str) -> Outcome {
        Outcome::mistake(self.program, text)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.service.host, self.service.port)
    }
}

/// The original's words about a service that cannot be read. The port is always 9993, whatever was tried.
pub(crate) fn cannot_connect(reason: &str) -> String {
    format!(
        "Error connecting to the ZeroTier service: {reason}\n\n\
         Please check that the service is running and that TCP port 9993 can be contacted via 127.0.0.1.\n"
    )
}
