//! HTTP/2: frames that cost their sender less than the server. Frames are written by hand (RFC 9113), so that nothing keeps
//! to rules that a client library keeps to.

use super::{PATIENCE, Server, flood, limits, octets, read, timeouts};
use countersign::server::limits::{Limits, Memory, Timeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames' types (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Their flags.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:method: GET`, `:scheme: http`, `:path: /` in HPACK's static table, `:authority: x` spelled out.
const GET: &[u8] = b"\x82\x86\x84\x01\x01x";
/// `:method: POST`, `:scheme: http`, `:path: /length`.
const POST: &[u8] = b"\x83\x86\x04\x07/length\x01\x01x";
/// `GET /big`
const GET_BIG: &[u8] = b"\x82\x86\x04\x04/big\x01\x01x";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &payload.collect::<Vec<_>>())
}

/// The identifiers of the streams that a client opens.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// A connection on which the preface, these settings and these frames were sent, as far as the server took them.
async fn http2(server: &Server, ours: &[(u16, u32)], frames: impl IntoIterator<Item = Vec<u8>>) -> TcpStream {
    let mut stream = server.sent([PREFACE, &settings(ours)].concat()).await;
    let all = frames.into_iter().flatten().collect::<Vec<_>>();
    // An error: the server has ended the connection, which the caller looks at.
    let written = timeout(PATIENCE, stream.write_all(&all)).await;
    assert!(written.is_ok(), "the frames are neither read nor refused");
    stream
}

/// The error code of the GOAWAY in these octets.
fn goaway(octets: &[u8]) -> Option<u32> {
    let (mut rest, mut code) = (octets, None);
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = after.get(..length)?;
        if *kind == GOAWAY {
            code = Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        rest = &after[length..];
    }
    code
}

const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Sends these frames; the connection must end, with this code where the peer got to read it.
async fn ends_with(server: &Server, code: Option<u32>, frames: impl IntoIterator<Item = Vec<u8>>) {
    let stream = http2(server, &[], frames).await;
    let (mut reading, _writing) = stream.into_split();
    let said = goaway(&octets(&mut reading).await);
    if let (Some(code), Some(said)) = (code, said) {
        assert_eq!(said, code);
    }
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_44487_streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let server = Server::start(limits()).await;
    let cancel = 8_u32.to_be_bytes();
    let pair = |stream| {
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, GET), frame(RESET, 0, stream, &cancel)].concat()
    };
    ends_with(&server, Some(ENHANCE_YOUR_CALM), streams(20_000).map(pair)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_8671_streams_that_the_server_is_made_to_reset_end_the_connection() {
    let server = Server::start(limits()).await;
    // Windows that grow by nothing, and beyond what a window can be.
    for (by, code) in [(0_u32, None), (0x7fff_ffff, Some(ENHANCE_YOUR_CALM))] {
        let pair = |stream| {
            let update = frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
            [frame(HEADERS, END_HEADERS, stream, POST), update].concat()
        };
        ends_with(&server, code, streams(20_000).map(pair)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2024_27316_continuations_without_end_end_the_connection() {
    let server = Server::start(limits()).await;
    // `x: yyy…`, never indexed, one of them a frame; none says that the headers end.
    let header = [&b"\x10\x01x\x7f\x81\x06"[..], &[b'y'; 896]].concat();
    let frames = std::iter::once(frame(HEADERS, 0, 1, GET))
        .chain(std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &header)).take(2000));
    ends_with(&server, None, frames).await;
    // Empty ones too.
    let frames = std::iter::once(frame(HEADERS, 0, 1, GET))
        .chain(std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, b"")).take(20_000));
    ends_with(&server, Some(ENHANCE_YOUR_CALM), frames).await;
    // Nor is a head in frames that do not come to their end waited for for long.
    read(&mut http2(&server, &[], [frame(HEADERS, 0, 1, GET)]).await).await;
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2016_6581_headers_that_grow_when_unpacked_are_refused() {
    let server = Server::start(limits()).await;
    // One header of 3,000 octets into the dynamic table, then a reference of one octet to it, again and again.
    let bomb = [GET, b"\x40\x01x\x7f\xb9\x16", &[b'y'; 3000], &[0xbe; 10_000]].concat();
    let stream = http2(&server, &[], [frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb)]).await;
    let (mut reading, _writing) = stream.into_split();
    let answer = octets(&mut reading).await;
    assert!(!answer.windows(2).any(|two| two == b"ok"), "it is not answered");
    server.serves().await;
}

/// Many references of one octet, and a promise of more: unpacked they take seventy times that, so memory for it is asked for
/// before they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_in_several_frames_is_read_when_there_is_memory_for_what_it_unpacks_to() {
    const LARGE: usize = 256 * 1024;
    let memory = Memory { heads: 2 * LARGE, ..limits().memory };
    // Nobody is told to leave: this is about those who go on.
    let timeouts = Timeouts { head: PATIENCE, idle: PATIENCE, patience: PATIENCE, ..timeouts() };
    let server = Server::start(Limits { memory, timeouts, ..limits() }).await;
    let bomb = [GET, &[0x90; 1500]].concat();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(http2(&server, &[], [frame(HEADERS, END_STREAM, 1, &bomb)]).await);
    }
    while server.listener.held() < 2 * LARGE {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.listener.held(), 2 * LARGE, "two are read; the others wait");
    for stream in &mut open {
        stream.write_all(&frame(CONTINUATION, END_HEADERS, 1, b"")).await.expect("it is open");
    }
    // Who goes on makes room for those who wait.
    for mut stream in open {
        let mut answered = Vec::new();
        while !answered.windows(2).any(|two| two == b"ok") {
            let mut piece = vec![0; 4096];
            let length = timeout(PATIENCE, stream.read(&mut piece))
                .await
                .expect("it is answered")
                .expect("it is open");
            assert!(length > 0, "it ended without an answer");
            answered.extend_from_slice(&piece[..length]);
        }
    }
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_9512_9513_9515_pings_priorities_and_settings_without_end_end_the_connection() {
    let server = Server::start(limits()).await;
    let priority = frame(PRIORITY, 0, 1, b"\0\0\0\0\x10");
    // The second kind of each: windows that grow, and frames of kinds that do not exist.
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let unknown = frame(0xbe, 0, 0, b"");
    for kind in
        [frame(PING, 0, 0, b"12345678"), priority, settings(&[(4, 65_535)]), settings(&[]), window, unknown]
    {
        let mut stream = http2(&server, &[], []).await;
        // Answers are not read either: where there are answers, they pile up until the server reads no more.
        flood(&mut stream, &kind.repeat(1000)).await;
        server.serves().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_9518_empty_data_without_end_ends_the_connection() {
    let server = Server::start(limits()).await;
    let mut stream = http2(&server, &[], [frame(HEADERS, END_HEADERS, 1, POST)]).await;
    flood(&mut stream, &frame(DATA, 0, 1, b"").repeat(1000)).await;
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_9514_streams_that_are_wrong_from_the_start_end_the_connection() {
    let server = Server::start(limits()).await;
    // No path: each is reset by the server, whose resets nobody reads.
    let wrong = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, b"\x82\x86");
    let mut stream = http2(&server, &[], []).await;
    let all = streams(50_000).map(wrong).collect::<Vec<_>>().concat();
    let _ = timeout(PATIENCE, stream.write_all(&all)).await.expect("it is read or refused");
    server.is_left().await;
    drop(stream);
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_9516_headers_without_names_leave_nothing_behind() {
    let server = Server::start(limits()).await;
    let nameless = [GET, &b"\x40\0\0".repeat(5000)].concat();
    ends_with(
        &server,
        None,
        streams(20).map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, &nameless)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_9511_windows_that_stay_shut_or_open_by_an_octet_end_the_connection() {
    let server = Server::start(limits()).await;
    let ask = || streams(3).map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
    // Shut: neither small nor large answers can be sent.
    let unread = http2(&server, &[(4, 0)], ask()).await;
    server.is_left().await;
    drop(unread);
    // An octet at a time.
    let mut dribble = http2(&server, &[(4, 1)], [frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_BIG)]).await;
    let more = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
    while timeout(PATIENCE, dribble.write_all(&more)).await.is_ok_and(|sent| sent.is_ok()) {
        pace.tick().await;
    }
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_9517_answers_behind_an_open_window_that_nobody_reads_end_the_connection() {
    let server = Server::start(limits()).await;
    let open = [frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes())];
    let ask = streams(40).map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_BIG));
    let unread = http2(&server, &[(4, 0x7fff_ffff)], open.into_iter().chain(ask)).await;
    // Forty answers are more than the memory for all: what is held stays below the cap, and is given back.
    while server.listener.held() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(server.listener.held() <= limits().memory.large + (16 << 20));
    server.is_left().await;
    drop(unread);
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_on_many_streams_stay_within_the_memory_for_all() {
    const MEMORY: usize = 4 << 20;
    let server = Server::start(Limits { memory: Memory::of(MEMORY), ..limits() }).await;
    let begun =
        |stream| [frame(HEADERS, END_HEADERS, stream, POST), frame(DATA, 0, stream, &[b' '; 1000])].concat();
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(http2(&server, &[], streams(250).map(begun)).await);
        assert!(server.listener.held() <= MEMORY);
    }
    // Others get in meanwhile: whoever keeps the server waiting the longest makes way.
    let mut stream = server.sent("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(read(&mut stream).await.ends_with("ok"));
    drop(slow);
    server.serves().await;
}

/// What waits for memory is in memory too: it is counted, and its connection is not read on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_memory_stop_their_connection_and_are_bounded() {
    let mut limits = limits();
    limits.memory = Memory { requests: 24 * 1024, ..Memory::of(1 << 20) };
    limits.timeouts.room = std::time::Duration::from_secs(3600);
    let bound = limits.memory.heads + limits.memory.parked + limits.memory.requests;
    let server = Server::start(limits).await;
    let held = server.sent("GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    while server.listener.held() == 0 {
        tokio::task::yield_now().await;
    }
    // A header of 7,000 octets on each stream, never indexed.
    let large = [GET, &b"\x10\x01x\x7f\xd9\x35"[..], &[b'y'; 7000]].concat();
    let ask: Vec<u8> =
        streams(250).flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, &large)).collect();
    let mut unread = Vec::new();
    for _ in 0..4 {
        let mut stream = server.sent([PREFACE, &settings(&[])].concat()).await;
        // What the system keeps is not the server's.
        let _ = timeout(std::time::Duration::from_millis(200), stream.write_all(&ask)).await;
        unread.push(stream);
        assert!(server.listener.held() <= bound, "{}", server.listener.held());
    }
    // A flood of small ones in one piece: more than may wait ends the connection.
    let tiny: Vec<u8> =
        streams(250).flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET)).collect();
    let mut flood = server.sent([PREFACE, &settings(&[]), &tiny].concat()).await;
    octets(&mut flood).await;
    assert!(server.listener.held() <= bound, "{}", server.listener.held());
    server.release.add_permits(1);
    drop((held, unread));
    server.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_ends_its_connection_after_what_else_is_under_way_on_it() {
    let mut limits = limits();
    limits.timeouts.linger = std::time::Duration::from_secs(30);
    let server = Server::start(limits).await;
    let held = b"\x82\x86\x04\x05/held\x01\x01x";
    let asked = [
        frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_BIG),
        frame(HEADERS, END_STREAM | END_HEADERS, 3, held),
    ];
    let stream = http2(&server, &[(4, 100)], asked).await;
    let (mut reading, _writing) = stream.into_split();
    let mut seen = Vec::new();
    while goaway(&seen).is_none() {
        let mut piece = vec![0; 4096];
        let length =
            timeout(PATIENCE, reading.read(&mut piece)).await.expect("it goes on").expect("it is open");
        assert!(length > 0, "the connection ended without a word");
        seen.extend_from_slice(&piece[..length]);
    }
    assert_eq!(goaway(&seen), Some(NO_ERROR));
    server.release.add_permits(1);
    while !seen.windows(8).any(|eight| eight == b"released") {
        let mut piece = vec![0; 4096];
        let length =
            timeout(PATIENCE, reading.read(&mut piece)).await.expect("it goes on").expect("it is open");
        assert!(length > 0, "it ended before everything was answered");
        seen.extend_from_slice(&piece[..length]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_no_client_may_send_end_the_connection() {
    let server = Server::start(limits()).await;
    let get = || frame(HEADERS, END_STREAM | END_HEADERS, 1, GET);
    for wrong in [
        frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02\x82"),
        frame(HEADERS, END_STREAM | END_HEADERS, 2, GET),
        frame(CONTINUATION, END_HEADERS, 1, GET),
        frame(SETTINGS, 0, 0, b"\0"),
        frame(PING, 0, 0, b"1"),
        frame(WINDOW_UPDATE, 0, 0, &0_u32.to_be_bytes()),
        [get(), frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())].concat(),
        frame(DATA, 0, 7, b"x"),
        // A frame of 16 MiB is announced.
        b"\xff\xff\xff\0\0\0\0\0\x01".to_vec(),
        // HPACK: an index that there is not; a table larger than allowed.
        frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\xff\xff\x7f"),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x3f\xe1\xff\x03\x82"),
    ] {
        ends_with(&server, None, [wrong]).await;
    }
}
