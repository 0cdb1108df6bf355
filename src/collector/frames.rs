//! A rate limit (token bucket) on frames of HTTP/2 that bring nothing, by connection.
//!
//! ```text
//! bucket              1,024 tokens
//! SETTINGS, PING      2 tokens each, and one for each 64 bytes
//! HEADERS             1 token, and the request that it begins gives 32 back
//! DATA of 500 bytes   none
//! ```
//!
//! A client may ask to have a PING answered, and change its settings or priorities, as often as it
//! likes, at some bytes each: the protocol bounds none of it (RFC 9113, section 10.5). Whoever
//! sends requests pays nothing in the end, and who waits for the next one may go on asking whether
//! the connection lives.

use std::time::Instant;

/// Tokens that there are at first, and at most: those of 256 requests at a time, each cancelled.
const TOKENS_MAX: u64 = 1024;
/// Tokens that a request gives back.
const REQUEST_TOKENS: u64 = 32;
/// Tokens that a second gives back.
const SECOND_TOKENS: u64 = 16;
/// Bytes of a frame that brings nothing that cost one token more.
const TOKEN_BYTES: usize = 64;
/// Bytes of DATA that are worth a frame of their own.
const DATA_BYTES_MIN: usize = 32;
/// Bytes of a frame before its payload.
const HEAD_BYTES: usize = 9;

/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// The flag of a stream's last frame.
const END_STREAM: u8 = 1;

/// GOAWAY with `ENHANCE_YOUR_CALM`: all streams may have been processed, and none will be.
pub(super) const GO_AWAY: [u8; HEAD_BYTES + 8] =
    [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11];

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of its payload.
    pub length: usize,
    /// Its type.
    pub kind: u8,
    pub flags: u8,
}

impl FrameHead {
    fn tokens(self) -> u64 {
        match self.kind {
            HEADERS => 1,
            DATA if self.length >= DATA_BYTES_MIN => 0,
            DATA if self.length > 0 || self.flags & END_STREAM != 0 => 1,
            _ => 2 + (self.length / TOKEN_BYTES) as u64,
        }
    }
}

/// Finds frames in a stream of bytes, however they are cut.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
}

impl FrameReader {
    /// Tells of each frame whose head ends within the next bytes.
    pub fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        loop {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            self.head[self.head_bytes..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_bytes += taken;
            bytes = &bytes[taken..];
            if self.head_bytes == HEAD_BYTES {
                let [a, b, c, kind, flags, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                (self.head_bytes, self.payload_left) = (0, length);
                each(FrameHead { length, kind, flags });
            }
        }
    }

    /// Whether a frame has ended, and the next one has not begun.
    pub fn is_between_frames(&self) -> bool {
        self.head_bytes == 0 && self.payload_left == 0
    }
}

/// What a connection's frames may still cost.
#[derive(Debug)]
pub(super) struct FrameBudget {
    tokens: u64,
    /// Requests of the connection that have given their tokens.
    requests: u64,
    /// Until when seconds have.
    filled: Instant,
}

impl FrameBudget {
    pub fn new(now: Instant) -> Self {
        FrameBudget { tokens: TOKENS_MAX, requests: 0, filled: now }
    }

    /// Pays for a frame of a connection that has begun so many requests; whether there was enough.
    pub fn pay(&mut self, frame: FrameHead, requests: u64, now: impl Fn() -> Instant) -> bool {
        let tokens = frame.tokens();
        if tokens > self.tokens {
            // Only here: most frames need no clock.
            self.fill(requests, now());
        }
        let left = self.tokens.checked_sub(tokens);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    fn fill(&mut self, requests: u64, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        let of_requests = requests.saturating_sub(self.requests).saturating_mul(REQUEST_TOKENS);
        let of_time = seconds.saturating_mul(SECOND_TOKENS);
        self.tokens =
            self.tokens.saturating_add(of_requests).saturating_add(of_time).min(TOKENS_MAX);
        self.requests = requests;
        self.filled += std::time::Duration::from_secs(seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: FrameHead = FrameHead { length: 8, kind: 6, flags: 0 };

    fn data(length: usize, flags: u8) -> FrameHead {
        FrameHead { length, kind: DATA, flags }
    }

    fn frames_of(pieces: &[&[u8]]) -> (Vec<FrameHead>, bool) {
        let (mut reader, mut found) = (FrameReader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, |frame| found.push(frame));
        }
        (found, reader.is_between_frames())
    }

    #[test]
    fn frames_are_found_however_their_bytes_are_cut() {
        let mut bytes = vec![0, 0, 8, 6, 0, 0, 0, 0, 0];
        bytes.extend([7; 8]);
        bytes.extend([0, 0, 0, DATA, END_STREAM, 0, 0, 0, 1]);
        bytes.extend([0, 1, 2, HEADERS, 4, 0, 0, 0, 3]);
        bytes.extend([9; 258]);
        bytes.extend(GO_AWAY);
        let expected = [
            PING,
            data(0, END_STREAM),
            FrameHead { length: 258, kind: HEADERS, flags: 4 },
            FrameHead { length: 8, kind: 7, flags: 0 },
        ];
        for size in 1..bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(frames_of(&pieces), (expected.to_vec(), true), "in pieces of {size}");
        }
        assert!(!frames_of(&[&bytes[..20]]).1 && !frames_of(&[&bytes[..100]]).1);
    }

    #[test]
    fn whoever_sends_requests_may_send_as_much_beside_them_as_clients_do() {
        let now = Instant::now();
        let mut budget = FrameBudget::new(now);
        // As many at a time as may be, each with a body in pieces, and cancelled.
        for round in 0..100_u64 {
            for stream in 0..256 {
                let begun = round * 256 + stream / 2;
                let kinds = [HEADERS, 8, 3].map(|kind| FrameHead { length: 4, kind, flags: 0 });
                for frame in kinds.into_iter().chain([data(20, 0), data(0, END_STREAM)]) {
                    assert!(budget.pay(frame, begun, || now), "{round}, {stream}: {frame:?}");
                }
            }
        }
        assert!((0..1_000_000).all(|_| budget.pay(data(16_384, 0), 0, || now)));
    }

    #[test]
    fn frames_that_bring_nothing_are_bounded_and_large_ones_are_fewer() {
        let now = Instant::now();
        let count = |frame: FrameHead| {
            let mut budget = FrameBudget::new(now);
            (0..100_000).take_while(|_| budget.pay(frame, 0, || now)).count()
        };
        let of = |kind: u8, length: usize| count(FrameHead { length, kind, flags: 0 });
        for kind in 2..=255 {
            assert_eq!(of(kind, 8), 512, "{kind}");
            assert_eq!(of(kind, 16_384), 3, "{kind}");
        }
        assert_eq!((of(HEADERS, 500), of(DATA, 0), of(DATA, 1)), (1024, 512, 1024));
    }

    #[test]
    fn an_idle_connection_may_ask_whether_it_lives_and_saves_nothing_up() {
        let began = Instant::now();
        let mut budget = FrameBudget::new(began);
        for second in 0..86_400 {
            assert!((0..8).all(|_| budget.pay(PING, 0, || began + Duration::from_secs(second))));
        }
        let later = began + Duration::from_secs(864_000);
        let count = (0..100_000).take_while(|_| budget.pay(PING, 0, || later)).count();
        assert!((512..=1024).contains(&count), "{count}");
    }
}
