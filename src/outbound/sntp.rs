//! A question to an NTP server: how far is our clock from yours (RFC 5905 §14, SNTP).
//!
//! Not for setting a clock, only for noticing that ours is wrong. Nothing in NTP is authenticated, so an answer can stop the
//! authority but never move a time.

use crate::environment::{Clock, Random, Stopwatch, UnixMillis};
use std::time::Duration;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A packet without extensions.
const LENGTH: usize = 48;
/// No leap warning, version 4, client.
const REQUEST: u8 = 0b00_100_011;
/// From 1900, NTP's epoch, to 1970.
const TO_1970: u64 = 2_208_988_800;
/// Where the transmit timestamp stands; in the answer the origin timestamp has it.
const TRANSMIT: usize = 40;
const ORIGIN: usize = 24;
const RECEIVE: usize = 32;
/// The furthest that a server may be from its source, both ways, in units of 2^-16 s.
const MAX_ROOT_DELAY: u32 = 1 << 16;

/// The clocks and the randomness that a question needs.
#[derive(Clone, Copy)]
pub struct Own<'o> {
    /// The wall clock, which is compared.
    pub clock: &'o dyn Clock,
    /// How long the answer took.
    pub stopwatch: &'o dyn Stopwatch,
    /// So that nobody answers who has not seen the question.
    pub random: &'o dyn Random,
}

/// What to add to our clock to get theirs, in milliseconds.
///
/// # Errors
/// In words: no answer, or none that may be believed.
pub async fn offset(host: &str, port: u16, own: Own<'_>) -> Result<i64, String> {
    timeout(TIMEOUT, ask(host, port, own)).await.map_err(|_| "no answer".to_owned())?
}

async fn ask(host: &str, port: u16, own: Own<'_>) -> Result<i64, String> {
    let failed = |error: std::io::Error| error.to_string();
    let address = lookup_host((host, port)).await.map_err(failed)?.next().ok_or("no address")?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await.map_err(failed)?;
    // Takes packets of this address alone.
    socket.connect(address).await.map_err(failed)?;
    let mut cookie = [0; 8];
    own.random.fill(&mut cookie);
    let began = own.stopwatch.elapsed();
    socket.send(&question(cookie)).await.map_err(failed)?;
    let mut answer = [0; 512];
    loop {
        let length = socket.recv(&mut answer).await.map_err(failed)?;
        let took = own.stopwatch.elapsed().saturating_sub(began);
        let now = own.clock.now();
        // A packet for another question is passed over.
        if let Some(theirs) = read(answer.get(..length).unwrap_or_default(), cookie)? {
            return Ok(difference(theirs, now, took));
        }
    }
}

/// A client's packet says no time of its own: the transmit timestamp is random, and comes back.
fn question(cookie: [u8; 8]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    if let Some(first) = packet.first_mut() {
        *first = REQUEST;
    }
    if let Some(transmit) = packet.get_mut(TRANSMIT..) {
        transmit.copy_from_slice(&cookie);
    }
    packet
}

/// The middle of the time at which the server had the packet; `None`: an answer to something else.
///
/// # Errors
/// The server does not know the time itself, or the packet is none.
fn read(packet: &[u8], cookie: [u8; 8]) -> Result<Option<UnixMillis>, String> {
    let octets = |at: usize| packet.get(at..at + 8).and_then(|octets| <[u8; 8]>::try_from(octets).ok());
    let (Some(origin), Some(received), Some(sent), Some(&first), Some(&stratum)) =
        (octets(ORIGIN), octets(RECEIVE), octets(TRANSMIT), packet.first(), packet.get(1))
    else {
        return Ok(None);
    };
    if origin != cookie || first & 0b111 != 4 {
        return Ok(None);
    }
    // RFC 5905 §7.3 and §7.4: alarm, kiss-o'-death, unsynchronized.
    if first >> 6 == 3 || !(1..=15).contains(&stratum) || !matches!(first >> 3 & 0b111, 3 | 4) {
        return Err("the server is not synchronized".into());
    }
    let short =
        |at: usize| packet.get(at..at + 4).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes);
    if [short(4), short(8)].into_iter().any(|value| value.is_none_or(|value| value > MAX_ROOT_DELAY)) {
        return Err("the server is too far from its source".into());
    }
    let (received, sent) = (unix_millis(received), unix_millis(sent));
    if received == 0 || sent < received || sent - received > TIMEOUT.as_millis() as u64 {
        return Err("the server's times contradict each other".into());
    }
    Ok(Some(UnixMillis(received + (sent - received) / 2)))
}

/// An NTP timestamp; of the era that began in 2036 where the first bit is 0 (RFC 4330 §3).
fn unix_millis(timestamp: [u8; 8]) -> u64 {
    let value = u64::from_be_bytes(timestamp);
    if value == 0 {
        return 0;
    }
    let seconds = value >> 32;
    let era = if seconds >> 31 == 0 { 1 << 32 } else { 0 };
    let millis = ((value & 0xffff_ffff) * 1000) >> 32;
    ((seconds + era).saturating_sub(TO_1970)) * 1000 + millis
}

/// Half of the way is taken to be there, half back.
fn difference(theirs: UnixMillis, now: UnixMillis, took: Duration) -> i64 {
    let half = i64::try_from(took.as_millis() / 2).unwrap_or(i64::MAX);
    let [theirs, now] = [theirs.0, now.0].map(|millis| i64::try_from(millis).unwrap_or(i64::MAX));
    theirs.saturating_add(half).saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    /// 2026-11-21T09:00:00Z
    const THEN: u64 = 1_795_251_600;

    fn answer(change: impl FnOnce(&mut [u8; LENGTH])) -> Result<Option<UnixMillis>, String> {
        let mut packet = [0; LENGTH];
        packet[0] = 0b00_100_100;
        packet[1] = 2;
        packet[ORIGIN..RECEIVE].copy_from_slice(&COOKIE);
        let stamp = (THEN + TO_1970) << 32 | 1 << 31;
        packet[RECEIVE..TRANSMIT].copy_from_slice(&stamp.to_be_bytes());
        packet[TRANSMIT..].copy_from_slice(&(stamp + (1 << 31)).to_be_bytes());
        change(&mut packet);
        read(&packet, COOKIE)
    }

    #[test]
    fn an_answer_gives_the_middle_of_the_servers_times() {
        assert_eq!(answer(|_| {}), Ok(Some(UnixMillis(THEN * 1000 + 750))));
        let ours = UnixMillis(THEN * 1000);
        assert_eq!(difference(UnixMillis(THEN * 1000 + 750), ours, Duration::from_millis(100)), 800);
        assert_eq!(difference(UnixMillis(0), UnixMillis(u64::MAX), Duration::MAX), 0);
    }

    #[test]
    fn times_after_2036_are_of_the_next_era() {
        assert_eq!(unix_millis([0, 0, 0, 1, 0, 0, 0, 0]), 2_085_978_497_000);
        assert_eq!(unix_millis([0xff; 8]), 2_085_978_495_999);
    }

    #[test]
    fn what_is_no_answer_is_passed_over_and_what_cannot_be_believed_refused() {
        assert_eq!(answer(|packet| packet[ORIGIN] = 9), Ok(None));
        assert_eq!(answer(|packet| packet[0] = REQUEST), Ok(None));
        assert_eq!(read(&[0; 47], COOKIE), Ok(None));
        assert_eq!(read(&[], COOKIE), Ok(None));
        assert!(answer(|packet| packet[0] |= 0b1100_0000).is_err());
        assert!(answer(|packet| packet[0] = 0b00_001_100).is_err());
        for stratum in [0, 16, 255] {
            assert!(answer(|packet| packet[1] = stratum).is_err());
        }
        assert!(answer(|packet| packet[4] = 1).is_err());
        assert!(answer(|packet| packet[8] = 1).is_err());
        assert!(answer(|packet| packet[TRANSMIT..].fill(0)).is_err());
        assert!(answer(|packet| packet[RECEIVE..TRANSMIT].fill(0)).is_err());
        assert!(answer(|packet| packet[RECEIVE] ^= 1).is_err());
    }

    struct Fixed;
    impl Clock for Fixed {
        fn now(&self) -> UnixMillis {
            UnixMillis(THEN * 1000)
        }
    }
    impl Stopwatch for Fixed {
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }
    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&COOKIE[..bytes.len()]);
        }
    }

    #[tokio::test]
    async fn a_server_is_asked_over_udp_and_a_forged_packet_before_its_answer_does_no_harm() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut packet = [0; 64];
            let (length, from) = server.recv_from(&mut packet).await.unwrap();
            assert_eq!((length, packet[0]), (LENGTH, REQUEST));
            server.send_to(&[0; 3], from).await.unwrap();
            let mut answer = [0; LENGTH];
            answer[0] = 0b00_100_100;
            answer[1] = 1;
            answer[ORIGIN..RECEIVE].copy_from_slice(&packet[TRANSMIT..LENGTH]);
            let stamp = ((THEN + 2 + TO_1970) << 32).to_be_bytes();
            answer[RECEIVE..TRANSMIT].copy_from_slice(&stamp);
            answer[TRANSMIT..].copy_from_slice(&stamp);
            server.send_to(&answer, from).await.unwrap();
        });
        let own = Own { clock: &Fixed, stopwatch: &Fixed, random: &Fixed };
        assert_eq!(offset("127.0.0.1", port, own).await, Ok(2000));
        serving.await.unwrap();
    }
}
