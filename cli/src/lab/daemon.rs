//! A daemon of the lab: hawserd, or a zerotier-one to compare with, on a host of its own.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::world::World;
use protocol::{Address, SecretIdentity};
use serde_json::{Map, Value};

use super::host::Host;

/// UDP and API port of every daemon in the lab.
pub const PORT: u16 = 9993;

/// Nothing of the lab may look for the Internet.
const LOCAL_CONF: &str = r#"{"settings":{"portMappingEnabled":false,"allowTcpFallbackRelay":false,"softwareUpdate":"disable"}}"#;

/// Files of a home directory that make the node what it is in the lab.
const KEPT_FILES: [&str; 3] = ["identity.secret", "identity.public", "planet"];

/// A daemon with its home directory.
pub struct Daemon {
    host: Arc<Host>,
    program: PathBuf,
    home: PathBuf,
    identity: SecretIdentity,
    child: Option<Child>,
}

impl Daemon {
    /// Prepares a home directory below `folder` with the given identity and planet. Nothing runs yet.
    pub fn prepare(
        host: Arc<Host>,
        program: &Path,
        folder: &Path,
        identity: SecretIdentity,
        planet: &World,
    ) -> io::Result<Self> {
        let home = folder.join(host.name());
        fs::create_dir_all(&home)?;
        fs::write(home.join("identity.secret"), identity.to_secret_string())?;
        fs::write(home.join("identity.public"), identity.public().to_string())?;
        fs::write(home.join("planet"), planet.to_bytes())?;
        fs::write(home.join("local.conf"), LOCAL_CONF)?;
        Ok(Self {
            host,
            program: program.to_owned(),
            home,
            identity,
            child: None,
        })
    }

    /// The host that it runs on.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// What it runs, or will from the next start on.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its home directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its node address.
    pub fn address(&self) -> Address {
        self.identity.address()
    }

    /// Uses another program from the next start on.
    pub fn set_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Makes a new node of it, with the same identity and planet, that must not run yet: everything learnt is forgotten.
    /// From the next start on it is `program` with these `settings` of local.conf beside the lab's own.
    pub fn renew(&mut self, program: &Path, settings: &Map<String, Value>) -> io::Result<()> {
        for entry in fs::read_dir(&self.home)? {
            let path = entry?.path();
            let kept = KEPT_FILES.iter().any(|name| path.ends_with(name));
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else if !kept {
                fs::remove_file(&path)?;
            }
        }
        let mut configuration: Value = serde_json::from_str(LOCAL_CONF)?;
        for (key, value) in settings {
            configuration["settings"][key] = value.clone();
        }
        fs::write(self.home.join("local.conf"), configuration.to_string())?;
        File::create(self.log_path())?;
        self.set_program(program);
        Ok(())
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it and waits until its API answers.
    pub fn start(&mut self) -> io::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let mut command = Command::new(&self.program);
        command
            .args(["-U", &format!("-p{PORT}")])
            .arg(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(self.host.run(move || command.spawn())??);
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                self.child = None;
                return Err(io::Error::other(format!(
                    "{} on {} ended at once with {status}: {}",
                    self.program.display(),
                    self.host.name(),
                    self.log().lines().last().unwrap_or("it said nothing")
                )));
            }
            if matches!(self.get("/status"), Ok((200, _))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "the API of {} did not answer within 15 s",
                    self.host.name()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to stop (SIGTERM) and waits, at most 10 s; then kills it.
    pub fn stop(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        if let Ok(pid) = i32::try_from(child.id()) {
            let _gone_already = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait().map(Some)
    }

    /// Kills it without warning.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// What it wrote to its standard outputs so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn log_path(&self) -> PathBuf {
        self.home.with_extension("log")
    }

    /// User and system CPU seconds used so far.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).ok()?;
        let after_name = stat.rsplit_once(')')?.1;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        // USER_HZ is 100 on every Linux architecture that we build for (proc_pid_stat(5)).
        Some(ticks / 100.0)
    }

    /// Resident memory, bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    }

    /// GET of its API: status and body.
    pub fn get(&self, path: &str) -> io::Result<(u16, Value)> {
        self.request("GET", path, None)
    }

    /// POST to its API: status and body.
    pub fn post(&self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        self.request("POST", path, Some(body.to_string()))
    }

    /// DELETE at its API: status and body.
    pub fn delete(&self, path: &str) -> io::Result<(u16, Value)> {
        self.request("DELETE", path, None)
    }

    fn request(
        &self,
        method: &'static str,
        path: &str,
        body: Option<String>,
    ) -> io::Result<(u16, Value)> {
        let token = fs::read_to_string(self.home.join("authtoken.secret"))?;
        let url = format!("http://{}{path}", SocketAddr::from(([127, 0, 0, 1], PORT)));
        self.host
            .run(move || call(method, &url, token.trim(), body))?
    }

    /// Runs the operator's tool against it.
    pub fn tool(&self, tool: &Path, arguments: &[&str]) -> io::Result<Output> {
        let mut command = Command::new(tool);
        command
            .arg(format!("-D{}", self.home.display()))
            .args(arguments);
        self.host.run(move || command.output())?
    }

    /// Runs the operator's tool against it and returns what it prints.
    pub fn cli(&self, tool: &Path, arguments: &[&str]) -> io::Result<String> {
        let output = self.tool(tool, arguments)?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

fn call(method: &str, url: &str, token: &str, body: Option<String>) -> io::Result<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let mut response = match (method, body) {
        ("GET", _) => agent.get(url).header("X-ZT1-Auth", token).call(),
        ("DELETE", _) => agent.delete(url).header("X-ZT1-Auth", token).call(),
        (_, body) => agent
            .post(url)
            .header("X-ZT1-Auth", token)
            .send(body.unwrap_or_default().as_bytes()),
    }
    .map_err(io::Error::other)?;
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(io::Error::other)?;
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok((response.status().as_u16(), value))
}
