//! What the machine does by itself: the bare cryptography of a certificate, and the disk's bare sync. Everything else is held against it.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Certificates' worth of cryptography in one measurement.
const BATCH: u32 = 50;
/// The same for what takes less.
const SMALL_BATCH: u32 = 200;
/// Measurements of which the median counts.
const BATCHES: usize = 31;

/// One certificate with its SCT: an RSA-2048 verification over a token of 2 KB, an ECDSA P-256 verification, three ECDSA P-256
/// signatures over what a TBSCertificate has in octets. Keys are parsed once; no encoding, no hashing beside the signatures'.
pub struct Cryptography {
    random: SystemRandom,
    token: Vec<u8>,
    token_key: ParsedPublicKey,
    token_signature: Vec<u8>,
    proof: Vec<u8>,
    proof_key: ParsedPublicKey,
    proof_signature: Vec<u8>,
    ca: EcdsaKeyPair,
    tbs: Vec<u8>,
}

impl Cryptography {
    pub fn prepare() -> Self {
        let random = SystemRandom::new();
        let (token, proof, tbs) = (vec![b'a'; 2000], vec![b'b'; 60], vec![b'c'; 1500]);
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let mut token_signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, &token, &mut token_signature).expect("a signature");
        let token_key = ParsedPublicKey::new(
            &RSA_PKCS1_2048_8192_SHA256,
            rsa.public_key().as_der().expect("DER").as_ref(),
        );
        let ca = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let proof_signature = ca.sign(&random, &proof).expect("a signature").as_ref().to_vec();
        let proof_key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, ca.public_key().as_ref());
        Self {
            random,
            token,
            token_key: token_key.expect("a key"),
            token_signature,
            proof,
            proof_key: proof_key.expect("a key"),
            proof_signature,
            ca,
            tbs,
        }
    }

    fn once(&self) {
        self.token_key.verify_sig(black_box(&self.token), &self.token_signature).expect("it verifies");
        self.proof_key.verify_sig(black_box(&self.proof), &self.proof_signature).expect("it verifies");
        for _ in 0..3 {
            black_box(self.ca.sign(&self.random, black_box(&self.tbs)).expect("a signature"));
        }
    }

    /// CPU time of one certificate on one core.
    pub fn cpu(&self) -> Duration {
        cpu_of(BATCH, || self.once())
    }

    /// The same while all cores do it: where two of them are one with two threads, each is slower than alone.
    pub fn cpu_of_all(&self, cores: usize) -> Duration {
        let all: Vec<Duration> = std::thread::scope(|scope| {
            let each: Vec<_> = (0..cores).map(|_| scope.spawn(|| self.cpu())).collect();
            each.into_iter().map(|one| one.join().expect("it does not panic")).collect()
        });
        all.iter().sum::<Duration>() / cores as u32
    }
}

/// What a log entry and a timestamp need at least.
pub struct Signing {
    random: SystemRandom,
    key: EcdsaKeyPair,
    public: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
    log: Ed25519KeyPair,
}

impl Signing {
    pub fn prepare() -> Self {
        let (random, message) = (SystemRandom::new(), vec![b'a'; 160]);
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let signature = key.sign(&random, &message).expect("a signature").as_ref().to_vec();
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref()).expect("a key");
        let log = Ed25519KeyPair::generate().expect("a key");
        Self { random, key, public, message, signature, log }
    }

    /// CPU time of an entry's: the P-256 verification of its signature, and the Ed25519 signature under a checkpoint.
    pub fn entry(&self) -> Duration {
        cpu_of(SMALL_BATCH, || {
            self.public.verify_sig(black_box(&self.message), &self.signature).expect("it verifies");
            black_box(self.log.sign(black_box(&self.message)));
        })
    }

    /// CPU time of a timestamp's: one P-256 signature over what signed attributes have in octets.
    pub fn timestamp(&self) -> Duration {
        cpu_of(SMALL_BATCH, || {
            black_box(self.key.sign(&self.random, black_box(&self.message)).expect("a signature"));
        })
    }
}

/// CPU time of doing it once: the median of a few batches.
fn cpu_of(batch: u32, once: impl Fn()) -> Duration {
    once();
    let mut batches: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let before = thread_cpu();
            (0..batch).for_each(|_| once());
            (thread_cpu() - before) / batch
        })
        .collect();
    batches.sort();
    batches[BATCHES / 2]
}

/// CPU time of this thread so far, to the nanosecond: what `/proc` says of a thread that runs is as of the kernel's last tick.
fn thread_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).expect("no negative time")
}

/// How long it takes to append so many octets to a file in this directory and sync them (fdatasync), at the median.
pub fn sync(directory: &Path, octets: usize) -> Duration {
    let mut file = tempfile::tempfile_in(directory).expect("a file");
    let block = vec![0x5a; octets];
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&block).and_then(|()| file.sync_data()).expect("room on the disk");
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
