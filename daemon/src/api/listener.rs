//! The API's sockets, on a thread of their own. They can be reached from anywhere, so whatever strangers do to them must
//! not cost the control thread a turn, nor memory without bound, nor the operator's own access.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::server::Server;

/// What connections are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// At once, from sources that may manage this node.
    pub managers: usize,
    /// At once, from everybody else together, who can only want `/metrics`.
    pub strangers: usize,
    /// Of these, from one source: an IPv4 address or an IPv6 network of 64 bits.
    pub per_stranger: usize,
    /// For a request's headers, and between requests.
    pub header_patience: Duration,
    /// For a whole connection of a manager; what is being answered then still is.
    pub manager_lifetime: Duration,
    /// For a whole connection of somebody else.
    pub stranger_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            managers: 128,
            strangers: 64,
            per_stranger: 8,
            header_patience: Duration::from_secs(10),
            manager_lifetime: Duration::from_secs(600),
            stranger_lifetime: Duration::from_secs(20),
        }
    }
}

/// After the end of a connection's lifetime, for the answer that is on its way.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Pause after an error of accept, which is a lack of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest request head.
const MAX_HEAD: usize = 64 << 10;

/// The thread. It ends, and its sockets close, when this is dropped.
#[derive(Debug)]
pub struct ApiThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ApiThread {
    /// Serves `listeners`.
    pub fn start(
        server: Server,
        listeners: Vec<std::net::TcpListener>,
        limits: Limits,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the API's runtime")?;
        let shared = Arc::new(Shared {
            server,
            limits,
            seats: Mutex::default(),
        });
        {
            let _context = runtime.enter();
            for listener in listeners {
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                runtime.spawn(accept(listener, Arc::clone(&shared)));
            }
        }
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("api".to_owned())
            .spawn(move || {
                // An error means that the sender is gone, which is the end as well.
                let _ended = runtime.block_on(stopped);
            })
            .context("cannot start the API's thread")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for ApiThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the API's thread panicked");
        }
    }
}

struct Shared {
    server: Server,
    limits: Limits,
    seats: Mutex<Seats>,
}

/// Connections at present.
#[derive(Debug, Default)]
struct Seats {
    managers: usize,
    strangers: usize,
    by_stranger: BTreeMap<IpAddr, usize>,
}

impl Seats {
    fn take(&mut self, limits: &Limits, stranger: Option<IpAddr>) -> bool {
        let Some(source) = stranger else {
            let free = self.managers < limits.managers;
            self.managers += usize::from(free);
            return free;
        };
        let of_source = self.by_stranger.get(&source).copied().unwrap_or(0);
        let free = self.strangers < limits.strangers && of_source < limits.per_stranger;
        if free {
            self.strangers += 1;
            self.by_stranger.insert(source, of_source + 1);
        }
        free
    }

    fn give_back(&mut self, stranger: Option<IpAddr>) {
        let Some(source) = stranger else {
            self.managers = self.managers.saturating_sub(1);
            return;
        };
        self.strangers = self.strangers.saturating_sub(1);
        if let Some(count) = self.by_stranger.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_stranger.remove(&source);
            }
        }
    }
}

/// A seat, given back when dropped.
struct Seat {
    shared: Arc<Shared>,
    stranger: Option<IpAddr>,
}

impl Seat {
    fn take(shared: &Arc<Shared>, source: IpAddr) -> Option<Self> {
        let manager = shared.server.access.load().is_manager(source);
        let stranger = (!manager).then(|| party(source));
        let mut seats = shared.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let free = seats.take(&shared.limits, stranger);
        drop(seats);
        free.then(|| Self {
            shared: Arc::clone(shared),
            stranger,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let seats = self.shared.seats.lock();
        seats
            .unwrap_or_else(PoisonError::into_inner)
            .give_back(self.stranger);
    }
}

/// Whom an address belongs to: one customer usually has 64 bits of IPv6.
fn party(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => {
            let network = ip.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        ip => ip,
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                // Without a seat the connection is closed at once.
                if let Some(seat) = Seat::take(&shared, source.ip()) {
                    tokio::spawn(serve(stream, source, seat));
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::debug!(%error, "no connection to the local API accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn serve(stream: TcpStream, source: SocketAddr, seat: Seat) {
    let limits = seat.shared.limits;
    let lifetime = if seat.stranger.is_some() {
        limits.stranger_lifetime
    } else {
        limits.manager_lifetime
    };
    let server = &seat.shared.server;
    let service = service_fn(move |request| async move {
        Ok::<_, std::convert::Infallible>(server.respond(source.ip(), request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_patience)
        .max_buf_size(MAX_HEAD)
        .auto_date_header(false)
        .title_case_headers(true)
        // Some clients close their sending side after the request.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // What goes wrong is the client's affair.
    if timeout(lifetime, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _late = timeout(LAST_ANSWER, connection).await;
    }
}

#[cfg(test)]
mod tests;
