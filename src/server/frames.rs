//! Follows HTTP/2's frames (RFC 9113 §4.1) just far enough to know whether a head is unfinished whose first parts are already unpacked:
//! one octet of a header block (RFC 7541 §6.1) becomes seventy in memory.

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What a peer has sent, as far as frames go.
#[derive(Debug)]
pub struct Frames {
    state: State,
    is_head_open: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many octets of the preface.
    Preface(usize),
    /// HTTP/1.
    NoFrames,
    /// So many octets of a frame's header.
    Header(usize, [u8; FRAME_HEADER]),
    /// So many octets of its payload are still to come.
    Payload(usize),
}

impl Frames {
    /// Of a connection's first octet.
    pub const fn new() -> Self {
        Self { state: State::Preface(0), is_head_open: false }
    }

    /// Whether the last frame that carries a part of a head promised another.
    pub const fn is_head_open(&self) -> bool {
        self.is_head_open
    }

    /// Takes note of what came.
    pub fn follow(&mut self, mut octets: &[u8]) {
        while let Some((&first, rest)) = octets.split_first() {
            match &mut self.state {
                State::NoFrames => return,
                State::Preface(known) => {
                    self.state = match PREFACE.get(*known) {
                        Some(expected) if *expected != first => State::NoFrames,
                        Some(_) if *known + 1 < PREFACE.len() => State::Preface(*known + 1),
                        _ => State::Header(0, [0; FRAME_HEADER]),
                    };
                    octets = rest;
                }
                State::Header(known, header) => {
                    if let Some(place) = header.get_mut(*known) {
                        *place = first;
                    }
                    *known += 1;
                    octets = rest;
                    if *known == FRAME_HEADER {
                        let [high, middle, low, kind, flags, ..] = *header;
                        if matches!(kind, HEADERS | CONTINUATION) {
                            self.is_head_open = flags & END_HEADERS == 0;
                        }
                        self.begin(u32::from_be_bytes([0, high, middle, low]) as usize);
                    }
                }
                State::Payload(left) => {
                    let step = octets.len().min(*left);
                    let left = *left - step;
                    octets = octets.get(step..).unwrap_or_default();
                    self.begin(left);
                }
            }
        }
    }

    const fn begin(&mut self, payload: usize) {
        self.state = if payload == 0 { State::Header(0, [0; FRAME_HEADER]) } else { State::Payload(payload) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// However the octets are cut, the answer behind each frame is the same.
    #[test]
    fn a_head_is_open_from_its_first_frame_to_the_one_that_ends_it() {
        let story = [
            (PREFACE.to_vec(), false),
            (frame(4, 0, &[]), false),
            (frame(HEADERS, END_HEADERS, &[0x90; 300]), false),
            (frame(HEADERS, 0, &[0x90; 70_000]), true),
            (frame(CONTINUATION, 0, &[]), true),
            (frame(CONTINUATION, END_HEADERS, &[0x90]), false),
            (frame(0, 1, b"a body \x00\x00\x00\x01\x00"), false),
            (frame(HEADERS, 1, &[]), true),
        ];
        for cut in [1, 2, 7, 9, 10, 4096, usize::MAX] {
            let mut frames = Frames::new();
            for (octets, open) in &story {
                octets.chunks(cut.min(octets.len())).for_each(|part| frames.follow(part));
                assert_eq!(frames.is_head_open(), *open, "{cut}");
            }
        }
    }

    #[test]
    fn http_1_has_no_frames() {
        let mut frames = Frames::new();
        frames.follow(b"PRI / HTTP/1.1\r\n\r\n");
        frames.follow(&frame(HEADERS, 0, &[]));
        assert!(!frames.is_head_open());
    }
}
