//! Runs servers on loopback, with or without TLS, which serve each connection with a closure.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The reply of an upgrade-responder.
pub const ACCEPTED: &str = concat!(
    r#"{"versions":[{"name":"v1.36.2","releaseDate":"2026-10-01T00:00:00Z","minUpgradableVersion":"","#,
    r#""tags":["latest"],"extraInfo":null}],"requestIntervalInMinutes":480}"#
);

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is duplicated");
        first
    }

    /// Returns the target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A server, which runs until the test process ends.
#[derive(Clone)]
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self::on(listener, tls, serve)
    }

    pub fn on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        allow_many_files();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
            sent: Arc::default(),
        };
        let (state, serve) = (server.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, serve, tls) = (state.clone(), Arc::clone(&serve), tls.clone());
                state.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    // Ignore errors: in many tests a peer hangs up on purpose.
                    let _ = Connection::new(stream?, tls, state).and_then(|mut c| serve(&mut c));
                    io::Result::Ok(())
                });
            }
        });
        server
    }

    /// Starts a server that accepts every report.
    pub fn accepting(tls: Option<Arc<ServerConfig>>) -> Self {
        Self::start(tls, |connection| {
            while connection.request()?.is_some() {
                connection.reply(200, ACCEPTED)?;
            }
            Ok(())
        })
    }

    /// Starts a server that answers a request with these bytes, and then hangs up.
    pub fn saying(tls: Option<Arc<ServerConfig>>, answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(tls, move |connection| {
            connection.request()?;
            connection.write(&answer)
        })
    }

    pub fn https(&self) -> String {
        format!("https://127.0.0.1:{}/v1/checkupgrade", self.port)
    }

    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}/v1/checkupgrade", self.port)
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of bytes written to clients, not counting TLS.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Raises the limit of open files, which is 1,024 on Debian unless a program asks for more. Each
/// server of the tests keeps one open until the test process ends.
fn allow_many_files() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    });
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    raw: TcpStream,
    server: Server,
}

impl Connection {
    fn new(raw: TcpStream, tls: Option<Arc<ServerConfig>>, server: Server) -> io::Result<Self> {
        raw.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(raw.try_clone()?),
            Some(config) => {
                let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, raw.try_clone()?))
            }
        };
        let stream = BufReader::new(stream);
        Ok(Self { stream, raw, server })
    }

    /// Reads and records the next request; returns `None` if the client has hung up.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next(), words.next());
        let mut request = Request {
            method: method.unwrap_or_default(),
            target: target.unwrap_or_default(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => request.headers.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        if let Some(length) = request.header("content-length") {
            request.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut request.body)?;
        }
        self.server.seen.lock().unwrap().push(request.clone());
        Ok(Some(request))
    }

    /// Reads so many bytes of a request, and does not record it.
    pub fn skip(&mut self, bytes: usize) -> io::Result<()> {
        self.stream.read_exact(&mut vec![0; bytes])
    }

    /// Writes an answer with a JSON body. The connection stays open.
    pub fn reply(&mut self, status: u16, body: &str) -> io::Result<()> {
        self.write(answer(status, body).as_bytes())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.server.sent.fetch_add(bytes.len(), Ordering::SeqCst);
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Writes the bytes one by one, with a pause after each.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            self.write(&[*byte])?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Returns the TCP connection, which carries TLS.
    pub fn raw(&mut self) -> &mut TcpStream {
        &mut self.raw
    }

    /// Copies bytes both ways between this connection and another server, as a proxy does.
    pub fn tunnel(&mut self, port: u16) -> io::Result<()> {
        let mut there = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let (mut back, mut here) = (there.try_clone()?, self.raw.try_clone()?);
        thread::spawn(move || io::copy(&mut back, &mut here));
        io::copy(&mut self.raw, &mut there)?;
        Ok(())
    }
}

/// Makes an answer with its Content-Length.
pub fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Writes nothing, and hangs up after a longer time than any test waits.
#[allow(clippy::unnecessary_wraps, reason = "the end of a closure that serves")]
pub fn stall() -> io::Result<()> {
    thread::sleep(Duration::from_secs(60));
    Ok(())
}

/// Forwards TCP connections, and counts their bytes.
pub struct Relay {
    pub port: u16,
    there: Arc<AtomicUsize>,
    back: Arc<AtomicUsize>,
}

impl Relay {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            there: Arc::default(),
            back: Arc::default(),
        };
        let counters = (Arc::clone(&relay.there), Arc::clone(&relay.back));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let pair = |stream: &TcpStream| stream.try_clone().unwrap();
                pass(pair(&client), pair(&server), Arc::clone(&counters.0));
                pass(server, client, Arc::clone(&counters.1));
            }
        });
        relay
    }

    /// Returns the numbers of bytes from clients and to clients.
    pub fn bytes(&self) -> (u64, u64) {
        let load = |counter: &AtomicUsize| counter.load(Ordering::SeqCst) as u64;
        (load(&self.there), load(&self.back))
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counter: Arc<AtomicUsize>) {
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            counter.fetch_add(n, Ordering::SeqCst);
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// A port that drops packets: its queue of connections is full, and nobody accepts any.
pub struct BlackHole {
    pub port: u16,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let wait = Duration::from_millis(300);
        let queued = std::iter::from_fn(|| TcpStream::connect_timeout(&address, wait).ok());
        Self { port: address.port(), _queued: queued.collect(), _listener: listener }
    }
}

/// Returns a port on which nobody listens. The system does not assign ports this low, so no server
/// of another test can get it.
pub fn closed_port() -> u16 {
    1
}
