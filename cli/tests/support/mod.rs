//! What the tests of the real program share: a home directory of its own, a service that is none, and links by the names
//! that the program stands in for.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a run of the program said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

/// A directory with links to the program, removed at the end.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("place-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["hawser", "zerotier-cli", "zerotier-idtool", "zerotier-one"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hawser"), directory.join(name)).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_string_lossy().into_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs the program under one of its names; this directory is its home, its user's home, and where it works.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Said {
        self.run_program(&self.path(name), arguments)
    }

    pub(crate) fn run_program(&self, program: &Path, arguments: &[&str]) -> Said {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("ZEROTIER_HOME", &self.directory)
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("http_proxy", "http://127.0.0.1:1")
            .stdin(Stdio::null());
        // A program that was just written counts as open for writing while another test's thread is between fork and exec.
        let mut attempts = 0;
        let output = loop {
            match command.output() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && attempts < 100 => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                ended => break ended.unwrap(),
            }
        };
        Said {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A request as the service got it: method and path, token, body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) what: String,
    pub(crate) token: String,
    pub(crate) body: String,
}

/// What a service says: method and path, status, body.
pub(crate) type Answer<'a> = (&'a str, u16, &'a str);

/// A service that answers from a table. Ends with the test process.
pub(crate) struct FakeDaemon {
    pub(crate) place: Place,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeDaemon {
    /// Anything but `answers` is 404 without a body; a wrong token is 401.
    pub(crate) fn start(answers: &[Answer<'_>]) -> Self {
        let place = Place::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        place.write(
            "zerotier-one.port",
            listener.local_addr().unwrap().port().to_string(),
        );
        place.write("authtoken.secret", "secret-token\n");
        let answers: BTreeMap<String, (u16, String)> = answers
            .iter()
            .map(|(what, status, body)| ((*what).to_owned(), (*status, (*body).to_owned())))
            .collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &answers, &log);
            }
        });
        Self { place, asked }
    }

    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Said {
        self.place.run(name, arguments)
    }

    /// What was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Answers the one request of a connection.
fn serve(
    stream: TcpStream,
    answers: &BTreeMap<String, (u16, String)>,
    log: &Mutex<Vec<Asked>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let what = format!("{} {}", words.next()?, words.next()?);
    let (mut token, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-zt1-auth" => token = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap(),
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    assert!(!chunked, "1.14.1 wants the length of a body");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, answer) = match answers.get(&what) {
        _ if token != "secret-token" => (401, "{}".to_owned()),
        Some(answer) => answer.clone(),
        None => (404, String::new()),
    };
    log.lock().unwrap().push(Asked {
        what,
        token,
        body: String::from_utf8(body).unwrap(),
    });
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status} Something\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
    .ok()
}
