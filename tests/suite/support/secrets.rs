//! Everything secret that the suite uses, and everything that countersign says while it runs: the one must not be in the other.
//!
//! What goes in as a secret is noted before it goes in: the keys of every CA that the harness makes, and of every request that
//! it sends the token (claims and signature) and the proof. What comes out is looked through when it comes out: every log
//! line of the process, at the most that an operator can ask for; every answer, headers and body, metrics among them; the
//! message of every panic in countersign's own code; what the binary writes to its terminal. A secret that is found ends the
//! run at once, whichever test it was.
//!
//! Noted are blocks of 16 characters, one after the other, so any piece of a key, a signature or a proof that is 31 characters
//! long is found. Of claims only blocks that reach from one to the next count: certificates publish their values.

use reqwest::RequestBuilder;
use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{Once, OnceLock, PoisonError, RwLock};

/// The characters of a block.
const BLOCK: usize = 16;
/// Bits of the sieve that nearly every block falls through: most of what is said is looked up nowhere else.
const SIEVE_BITS: u32 = 18;

#[derive(Default)]
struct Noted {
    blocks: HashSet<u128>,
    sieve: Vec<u64>,
}

impl Noted {
    fn place(block: u128) -> (usize, u64) {
        let mixed =
            ((block as u64) ^ (block >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIEVE_BITS);
        ((mixed / 64) as usize, 1 << (mixed % 64))
    }

    fn add(&mut self, secret: &[u8]) {
        self.sieve.resize(1 << (SIEVE_BITS - 6), 0);
        for block in secret.chunks_exact(BLOCK) {
            let block = u128::from_le_bytes(block.try_into().expect("its size"));
            // Padding and zeros are nobody's secret.
            if block != u128::from_le_bytes([block as u8; BLOCK]) && self.blocks.insert(block) {
                let (word, bit) = Self::place(block);
                self.sieve[word] |= bit;
            }
        }
    }

    /// Where in `said` a block of a secret stands.
    fn find(&self, said: &[u8]) -> Option<usize> {
        if self.sieve.is_empty() || said.len() < BLOCK {
            return None;
        }
        let mut window = 0u128;
        for (at, byte) in said.iter().enumerate() {
            window = (window >> 8) | (u128::from(*byte) << 120);
            let (word, bit) = Self::place(window);
            if self.sieve[word] & bit != 0 && at + 1 >= BLOCK && self.blocks.contains(&window) {
                return Some(at + 1 - BLOCK);
            }
        }
        None
    }
}

fn noted() -> &'static RwLock<Noted> {
    static NOTED: OnceLock<RwLock<Noted>> = OnceLock::new();
    NOTED.get_or_init(RwLock::default)
}

/// From now on this text must be said by nobody.
pub fn note(secret: &[u8]) {
    noted().write().unwrap_or_else(PoisonError::into_inner).add(secret);
}

/// The secret octets in every form in which a message might show them.
pub fn note_octets(secret: &[u8]) {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
    note(secret);
    note(hex::encode(secret).as_bytes());
    note(hex::encode_upper(secret).as_bytes());
    // As `{:?}` shows octets.
    let listed: Vec<String> = secret.iter().map(u8::to_string).collect();
    note(listed.join(", ").as_bytes());
    // base64 of it within something longer: the first whole group begins at one of three octets.
    for start in 0..3 {
        let whole = &secret[start..];
        let whole = &whole[..whole.len() / 3 * 3];
        note(BASE64_STANDARD_NO_PAD.encode(whole).as_bytes());
        note(BASE64_URL_SAFE_NO_PAD.encode(whole).as_bytes());
    }
}

/// A private key of a curve, PKCS#8 in PEM: its scalar, or its seed (RFC 8410 §7). The rest of the file has the public key in it, which is no secret.
pub fn note_key(pem: &str) {
    let der = pem::parse(pem).expect("PEM");
    if let [.., 4, 34, 4, 32] = der.contents()[..der.contents().len() - 32] {
        return note_octets(&der.contents()[16..]);
    }
    // ECPrivateKey (RFC 5915 §3): version 1, then an octet string.
    let version = [0x02, 0x01, 0x01, 0x04];
    let at =
        der.contents().windows(4).position(|window| window == version).expect("an EC key") + version.len();
    let length = usize::from(der.contents()[at]);
    note_octets(&der.contents()[at + 1..at + 1 + length]);
}

/// The tokens and proofs in what a caller sends.
pub fn note_sent(sent: &[u8]) {
    let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    for word in sent.split(|byte| !of_token(byte)) {
        let parts: Vec<&[u8]> = word.split(|byte| *byte == b'.').collect();
        // The header is the same for all, and says nothing.
        if parts.len() >= 3 && parts[0].starts_with(b"eyJ") {
            note_claims(parts[1]);
            note_signature(parts[2]);
        }
    }
    if let Ok(body) = serde_json::from_slice::<serde_json::Value>(sent) {
        let proofs = [&body["publicKeyRequest"]["proofOfPossession"], &body["signedEmailAddress"]];
        proofs.iter().filter_map(|proof| proof.as_str()).for_each(|proof| note_signature(proof.as_bytes()));
    }
}

/// A signature, unless a test has put something else into its place, which may be public elsewhere.
fn note_signature(base64: &[u8]) {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    let octets = BASE64_URL_SAFE_NO_PAD.decode(base64).or_else(|_| BASE64_STANDARD.decode(base64));
    if octets.is_ok_and(|octets| std::str::from_utf8(&octets).is_err()) {
        note(base64);
    }
}

/// Whether a piece of JSON has the end of a name or of a value in it.
fn is_between(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair == [b'"', b':'] || pair == [b',', b'"'])
}

/// A token's claims, but for what certificates are there to publish: the values. What is between them is in no certificate.
fn note_claims(payload: &[u8]) {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    // A block is twelve octets of the claims.
    for block in payload.chunks_exact(BLOCK) {
        if BASE64_URL_SAFE_NO_PAD.decode(block).is_ok_and(|text| is_between(&text)) {
            note(block);
        }
    }
}

/// The same of a request that is about to be sent.
pub fn note_request(request: &RequestBuilder) {
    let Some(Ok(request)) = request.try_clone().map(RequestBuilder::build) else { return };
    request.headers().get_all("authorization").iter().for_each(|value| note_sent(value.as_bytes()));
    if let Some(body) = request.body().and_then(|body| body.as_bytes()) {
        note_sent(body);
    }
}

/// Whether a secret is in what was said. For the test that says so; everything else is for [`check`].
pub fn is_said(said: &[u8]) -> bool {
    noted().read().unwrap_or_else(PoisonError::into_inner).find(said).is_some()
}

/// Ends the run if what `who` said has a secret in it.
pub fn check(who: &str, said: &[u8]) {
    let found = noted().read().unwrap_or_else(PoisonError::into_inner).find(said);
    if let Some(at) = found {
        let from = at.saturating_sub(400);
        let before = String::from_utf8_lossy(&said[from..at]).into_owned();
        // Past libtest, which would keep it from who has to read it.
        let mut stderr = std::io::stderr();
        let _ = writeln!(stderr, "\nA SECRET WAS SAID by {who}, after these words:\n{before}");
        std::process::abort();
    }
}

/// Looks at the messages of panics too: those of countersign's code, not of tests that fail.
pub fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| place.file().starts_with("src/")) {
                let text = panic.payload().downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied());
                check("a panic", text.unwrap_or_default().as_bytes());
            }
            if !countersign::panics::is_contained(panic.location()) {
                usual(panic);
            }
        }));
    });
}
