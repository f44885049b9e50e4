use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::*;
use crate::api::access::Access;
use crate::api::server::Question;
use crate::api::{Call, Reply};

const TOKEN: &str = "secret";
const PATIENCE: Duration = Duration::from_secs(10);

fn short() -> Limits {
    Limits {
        managers: 4,
        header_patience: Duration::from_millis(300),
        manager_lifetime: Duration::from_secs(2),
        ..Limits::default()
    }
}

struct Api {
    address: SocketAddr,
    calls: Option<mpsc::Receiver<Question>>,
    _thread: ApiThread,
}

fn start(limits: Limits) -> Api {
    let (control, calls) = mpsc::channel(4);
    let server = Server {
        access: Arc::new(ArcSwap::from_pointee(Access {
            token: TOKEN.to_owned(),
            ..Access::default()
        })),
        control,
        events: Arc::default(),
    };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    Api {
        address,
        calls: Some(calls),
        _thread: ApiThread::start(server, vec![listener], limits).unwrap(),
    }
}

impl Api {
    /// Answers everything with the length of the body.
    fn answering(mut self) -> Self {
        let mut calls = self.calls.take().unwrap();
        std::thread::spawn(move || {
            while let Some((Call { body, .. }, answer)) = calls.blocking_recv() {
                let _asker_gone = answer.send(Reply::ok(&body.len().into()));
            }
        });
        self
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Everything up to the end of the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset counts as an end too.
    let _end = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ask(api: &Api, path: &str) -> String {
    let mut stream = api.connect();
    let request = format!("GET {path}?auth={TOKEN} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let _refused = stream.write_all(request.as_bytes());
    rest(stream)
}

fn assert_closed_within(stream: TcpStream, limit: Duration) -> String {
    let start = Instant::now();
    let text = rest(stream);
    let took = start.elapsed();
    assert!(took < limit, "closed only after {took:?}");
    text
}

#[test]
fn answers_carry_length_and_type_only() {
    let api = start(Limits::default()).answering();
    let answer = ask(&api, "/status");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "0");
    let mut lines: Vec<&str> = head.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "Connection: close",
            "Content-Length: 1",
            "Content-Type: application/json",
            "HTTP/1.1 200 OK",
        ]
    );
}

#[test]
fn silent_and_slow_connections_are_closed() {
    let api = start(short()).answering();
    let silent = api.connect();
    let mut slow = api.connect();
    slow.write_all(b"GET /status HTTP/1.1\r\nX-Slow: ").unwrap();
    let mut idle = api.connect();
    let request = format!("GET /status?auth={TOKEN} HTTP/1.1\r\n\r\n");
    idle.write_all(request.as_bytes()).unwrap();
    for stream in [silent, slow] {
        assert_closed_within(stream, Duration::from_secs(1));
    }
    let text = assert_closed_within(idle, Duration::from_secs(1));
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn a_busy_connection_ends_in_the_end() {
    let api = start(Limits {
        manager_lifetime: Duration::from_millis(500),
        ..Limits::default()
    })
    .answering();
    let mut stream = api.connect();
    let request = format!("GET /status?auth={TOKEN} HTTP/1.1\r\n\r\n");
    let start = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        let gone = stream.write_all(request.as_bytes()).is_err();
        if gone || !matches!(stream.read(&mut buffer), Ok(1..)) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() >= Duration::from_millis(400));
}

#[test]
fn only_so_many_connections_at_once_and_seats_come_back() {
    let api = start(short()).answering();
    let holders: Vec<TcpStream> = (0..4).map(|_| api.connect()).collect();
    // The thread takes connections in order, so the fifth finds all seats taken.
    assert_eq!(ask(&api, "/status"), "");
    drop(holders);
    let deadline = Instant::now() + PATIENCE;
    while !ask(&api, "/status").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "no seat came back");
    }
}

#[test]
fn strangers_have_seats_of_their_own_and_few_each() {
    let limits = Limits {
        managers: 1,
        strangers: 3,
        per_stranger: 2,
        ..Limits::default()
    };
    let mut seats = Seats::default();
    let party = |text: &str| Some(party(text.parse().unwrap()));
    assert!(seats.take(&limits, party("2001:db8::1")));
    assert!(seats.take(&limits, party("2001:db8::2")));
    assert!(!seats.take(&limits, party("2001:db8::3")));
    assert!(seats.take(&limits, party("192.0.2.1")));
    assert!(!seats.take(&limits, party("192.0.2.2")));
    assert!(seats.take(&limits, None));
    assert!(!seats.take(&limits, None));
    seats.give_back(party("2001:db8::9"));
    assert!(seats.take(&limits, party("::ffff:192.0.2.1")));
    for text in ["192.0.2.1", "192.0.2.1", "2001:db8::1"] {
        seats.give_back(party(text));
    }
    seats.give_back(None);
    assert_eq!((seats.managers, seats.strangers), (0, 0));
    assert!(seats.by_stranger.is_empty(), "the table is left empty");
}

#[test]
fn bodies_have_a_limit_and_strangers_bodies_are_not_read() {
    let api = start(Limits::default()).answering();
    let post = |head: &str, body: &[u8]| {
        let mut stream = api.connect();
        let request = format!("POST /x HTTP/1.1\r\nConnection: close\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // May fail: the answer does not wait for the body.
        let _cut_off = stream.write_all(body);
        rest(stream)
    };
    let auth = format!("X-ZT1-Auth: {TOKEN}\r\n");
    let whole = vec![b'x'; 3 << 20];
    let answer = post(
        &format!("{auth}Content-Length: {}\r\n", whole.len()),
        &whole,
    );
    assert!(answer.ends_with("\r\n\r\n3145728"), "{answer}");
    let answer = post(&format!("{auth}Content-Length: {}\r\n", 17 << 20), b"");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = post("Content-Length: 1000\r\n", b"");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let mut endless = auth;
    endless.push_str("Transfer-Encoding: chunked\r\n");
    let mut chunks = Vec::new();
    for _ in 0..20 {
        chunks.extend(b"100000\r\n");
        chunks.extend(vec![b'x'; 1 << 20]);
        chunks.extend(b"\r\n");
    }
    let answer = post(&endless, &chunks);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
}

#[test]
fn heads_have_a_limit() {
    let api = start(Limits::default()).answering();
    let mut stream = api.connect();
    let filler = vec![b'x'; 1 << 20];
    stream
        .write_all(b"GET /status HTTP/1.1\r\nX-Long: ")
        .unwrap();
    let _cut_off = stream.write_all(&filler);
    let answer = assert_closed_within(stream, Duration::from_secs(5));
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

#[test]
fn the_port_is_free_when_the_thread_has_ended() {
    let api = start(Limits::default());
    let _open = api.connect();
    let address = api.address;
    drop(api);
    assert!(TcpStream::connect(address).is_err());
}
