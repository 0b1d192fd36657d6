//! All connections of a load, driven by one thread: epoll(7), and no runtime around it.
//!
//! What the driver takes of the machine the server does not have, and each thread more that is woken takes its processor from a
//! thread of the server. So there is one, which sends and reads all that is there each time that it is awake.

use super::answer::{Answer, Reply};
use super::load::{Load, Manner, SLICE, Seen};
use super::requests::Wire;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Events taken at once.
const EVENTS: usize = 256;
/// What stands for an answer where the connection broke.
const BROKEN: Reply = Reply { status: 0, wait: None, last: true };

/// A load that runs.
pub struct EventLoop {
    load: Load,
    epoll: OwnedFd,
    clients: Vec<Client>,
    began: Instant,
    duration: Duration,
    /// Requests by the clock so far, of all connections.
    turns: u32,
    /// Who goes on later, and when.
    later: BinaryHeap<Reverse<(Instant, usize)>>,
    /// What is read stands here for a moment.
    octets: Vec<u8>,
    seen: Seen,
}

/// One connection, or what is between two of them.
struct Client {
    stream: Option<TcpStream>,
    /// The number of its next request among the load's.
    next: usize,
    asked: Option<Asked>,
    answer: Answer,
    /// When requests were due that it could not send yet.
    due: VecDeque<Instant>,
    /// Its turns of an open loop so far, missed ones too.
    turn: u64,
}

/// A request under way.
struct Asked {
    request: Wire,
    written: usize,
    since: Instant,
}

impl EventLoop {
    /// All connections, open.
    pub fn of(load: Load, duration: Duration) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::new();
        for number in 0..load.connections {
            let stream = TcpStream::connect(load.address)?;
            watch(&epoll, &stream, number)?;
            clients.push(Client {
                stream: Some(stream),
                next: number,
                asked: None,
                answer: Answer::default(),
                due: VecDeque::new(),
                turn: 0,
            });
        }
        let slices = vec![0; (duration.as_millis() / SLICE.as_millis()) as usize + 1];
        let seen = Seen { slices, ..Seen::default() };
        let (began, later, octets) = (Instant::now(), BinaryHeap::new(), vec![0; 64 * 1024]);
        Ok(Self { load, epoll, clients, began, duration, turns: 0, later, octets, seen })
    }

    /// Until the time is over and all answers are there.
    pub fn run(mut self) -> io::Result<Seen> {
        if !matches!(self.load.manner, Manner::Due(_)) {
            (0..self.clients.len()).for_each(|number| self.go_on(number));
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let next = self.what_is_due();
            if next.is_none() && self.clients.iter().all(|client| client.asked.is_none()) {
                break;
            }
            self.wait(next, &mut events)?;
            for event in events.drain(..) {
                self.advance(event.data.u64() as usize);
            }
        }
        self.seen.elapsed = self.began.elapsed().min(self.duration);
        Ok(self.seen)
    }

    /// Begins what is due; when the next is.
    fn what_is_due(&mut self) -> Option<Instant> {
        [self.what_the_clock_says(), self.what_is_later()].into_iter().flatten().min()
    }

    /// Those who were to wait until now go on.
    fn what_is_later(&mut self) -> Option<Instant> {
        while let Some(Reverse((when, number))) = self.later.peek().copied() {
            if Instant::now() < when {
                return Some(when);
            }
            self.later.pop();
            match self.load.manner {
                // It may have gone on when its next request was due.
                Manner::Due(_) if self.clients[number].asked.is_some() => {}
                Manner::Due(_) => self.go_on(number),
                _ => self.turn(number),
            }
        }
        None
    }

    /// Each connection in turn is told that a request is due, where that goes by the clock.
    fn what_the_clock_says(&mut self) -> Option<Instant> {
        let Manner::Due(rate) = self.load.manner else { return None };
        loop {
            let due = Duration::from_secs_f64(f64::from(self.turns) / rate);
            if due >= self.duration {
                return None;
            }
            if self.began.elapsed() < due {
                return Some(self.began + due);
            }
            let number = self.turns as usize % self.clients.len();
            self.turns += 1;
            self.clients[number].due.push_back(self.began + due);
            if self.clients[number].asked.is_none() {
                self.go_on(number);
            }
        }
    }

    /// What happened on connections, or nothing when it is time for something else.
    fn wait(&self, until: Option<Instant>, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        // epoll_wait(2) knows whole milliseconds only.
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => return Ok(()),
                ready => ready?,
            };
        }
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// After an answer, or at the beginning: the next request, if there is one.
    fn go_on(&mut self, number: usize) {
        let now = Instant::now();
        match self.load.manner {
            Manner::Greedy | Manner::Polite => self.turn(number),
            Manner::Open(rate) => {
                let client = &mut self.clients[number];
                let period = Duration::from_secs_f64(self.load.connections as f64 / rate);
                let offset = period.mul_f64(number as f64 / self.load.connections as f64);
                let late = (now - self.began).saturating_sub(offset).as_secs_f64() / period.as_secs_f64();
                self.seen.missed += (late as u64).saturating_sub(client.turn);
                client.turn = client.turn.max(late as u64);
                let next = self.began + offset + period.mul_f64(client.turn as f64);
                client.turn += 1;
                self.later.push(Reverse((next.min(self.began + self.duration), number)));
            }
            Manner::Due(_) => {
                if let Some(due) = self.clients[number].due.pop_front() {
                    self.ask(number, due);
                }
            }
        }
    }

    /// It is time for the next request, or over.
    fn turn(&mut self, number: usize) {
        let now = Instant::now();
        if now - self.began < self.duration {
            self.ask(number, now);
        }
    }

    fn ask(&mut self, number: usize, since: Instant) {
        let client = &mut self.clients[number];
        if client.stream.is_none() {
            client.stream = connect(self.load.address)
                .and_then(|stream| watch(&self.epoll, &stream, number).map(|()| stream))
                .ok();
        }
        let request = self.load.requests[client.next % self.load.requests.len()].clone();
        client.next += self.load.connections;
        client.answer.clear();
        client.asked = Some(Asked { request, written: 0, since });
        // The answer takes a while: an event tells of it.
        if client.send().is_err() {
            self.end(number, BROKEN);
        }
    }

    /// Writes and reads what goes.
    fn advance(&mut self, number: usize) {
        let client = &mut self.clients[number];
        match client.send().and_then(|sent| if sent { client.receive(&mut self.octets) } else { Ok(None) }) {
            Ok(None) => {}
            Ok(Some(reply)) => self.end(number, reply),
            Err(_) => self.end(number, BROKEN),
        }
    }

    /// A request has its answer, and its connection goes on.
    fn end(&mut self, number: usize, reply: Reply) {
        let client = &mut self.clients[number];
        let Some(asked) = client.asked.take() else { return };
        self.seen.note(reply, asked.since.elapsed(), self.began.elapsed());
        if self.load.keep && matches!(reply.status, 200 | 201) {
            self.seen.kept.push(client.answer.content().into());
        }
        if reply.last {
            client.stream = None;
        }
        let wait = match (self.load.manner, reply.status) {
            (Manner::Open(_), _) => None,
            // A server that is not there is not asked all the time.
            (_, 0) => Some(Duration::from_millis(1)),
            // Whoever waits as told waits a little longer, never less.
            (Manner::Polite, 429 | 503) => reply.wait,
            _ => None,
        };
        match wait {
            Some(wait) => {
                let next = Instant::now() + wait;
                self.later.push(Reverse((next.min(self.began + self.duration), number)));
            }
            None => self.go_on(number),
        }
    }
}

impl Client {
    /// Writes until it would have to wait; whether all of a request is written.
    fn send(&mut self) -> io::Result<bool> {
        let Some(asked) = &mut self.asked else { return Ok(false) };
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        while asked.written < asked.request.len() {
            match stream.write(&asked.request[asked.written..]) {
                Ok(count) => asked.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads until it would have to wait, or the answer is complete.
    fn receive(&mut self, octets: &mut [u8]) -> io::Result<Option<Reply>> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        loop {
            match stream.read(octets) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    if let Some(reply) = self.answer.more(&octets[..count])? {
                        return Ok(Some(reply));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Begins to connect; what is written meanwhile has to wait.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Told of what happens on it, once each time.
fn watch(epoll: &OwnedFd, stream: &TcpStream, number: usize) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    Ok(epoll::add(epoll, stream, epoll::EventData::new_u64(number as u64), flags)?)
}
