//! The presentation language of TLS (RFC 8446 §3), as far as the log's structs use it: big-endian numbers and
//! length-prefixed vectors. Reading never panics and never copies.

use super::{Hash, Malformed};

/// What is left of a struct that is being read. Errors name the field that did not fit.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn rest(&self) -> &'b [u8] {
        self.0
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what follows the end of a struct.
    pub(super) fn end(&self, field: &'static str) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed(field)) }
    }

    pub(super) fn take(&mut self, length: usize, field: &'static str) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A big-endian number of `N` octets, at most 8.
    pub(super) fn number<const N: usize>(&mut self, field: &'static str) -> Result<u64, Malformed> {
        const { assert!(N <= 8) };
        let octets = self.take(N, field)?;
        Ok(octets.iter().fold(0, |number, octet| (number << 8) | u64::from(*octet)))
    }

    pub(super) fn hash(&mut self, field: &'static str) -> Result<&'b Hash, Malformed> {
        self.take(32, field)?.try_into().map_err(|_| Malformed(field))
    }

    /// `opaque field<0..2^(8N)-1>`.
    pub(super) fn vector<const N: usize>(&mut self, field: &'static str) -> Result<&'b [u8], Malformed> {
        let length = self.number::<N>(field)?;
        self.take(usize::try_from(length).map_err(|_| Malformed(field))?, field)
    }
}

/// Appends `opaque<0..2^16-1>`. The caller's invariant: `content` is that short.
pub(super) fn put_vector16(into: &mut Vec<u8>, content: &[u8]) {
    let length = u16::try_from(content.len()).expect("the caller keeps it below 2^16 octets");
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(content);
}

/// Appends `opaque<0..2^24-1>`. The caller's invariant: `content` is that short.
pub(super) fn put_vector24(into: &mut Vec<u8>, content: &[u8]) {
    put_length24(into, content.len());
    into.extend_from_slice(content);
}

/// Appends the length of a vector of up to 2^24-1 octets. The caller's invariant: it is no longer.
pub(super) fn put_length24(into: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).ok().filter(|length| *length < 1 << 24);
    let octets = length.expect("the caller keeps it below 2^24 octets").to_be_bytes();
    into.extend_from_slice(&octets[1..]);
}
