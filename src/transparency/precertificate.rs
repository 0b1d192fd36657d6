//! Entries of a certificate log (RFC 6962 §3.2 and §4.6, static-ct-api "Log Entries"): precertificates on their way in,
//! and everything that stands in data tiles on its way out.
//!
//! TBSCertificates and certificates are opaque here; whether a TBS belongs to its precertificate is for `certificate`.

use super::wire::{Reader, put_length24, put_vector16, put_vector24};
use super::{Entry, Hash, Malformed, Place, merkle};
use crate::environment::UnixMillis;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::fmt;

/// RFC 6962 §3.1, LogEntryType: x509_entry.
const X509_ENTRY: u64 = 0;
/// RFC 6962 §3.1, LogEntryType: precert_entry.
const PRECERT_ENTRY: u64 = 1;
/// RFC 6962 §3.4, MerkleTreeLeaf and §3.2, digitally-signed: version v1; then leaf_type timestamped_entry or
/// signature_type certificate_timestamp, which are the same two octets.
const VERSION_AND_TYPE: [u8; 2] = [0, 0];
/// static-ct-api, ExtensionType: leaf_index.
const LEAF_INDEX: u64 = 0;

/// An entry on its way into a certificate log: all of its octets, but for the time and the index of the place that it gets.
///
/// It is written once. What the SCT signs and what stands in the data tile are parts of it.
#[derive(Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Version and type, TimestampedEntry (RFC 6962 §3.4), then what of TileLeaf the tree does not cover (static-ct-api, "Log Entries").
    octets: Vec<u8>,
    /// Where the TimestampedEntry ends: with the index.
    leaf_end: usize,
}

/// What an SCT has to be signed over, once its entry has a place.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsignedSct {
    /// Index and timestamp.
    pub place: Place,
    /// RFC 6962 §3.2, digitally-signed struct; the same octets are the MerkleTreeLeaf.
    pub input: Bytes,
}

impl LogEntry {
    /// Certificate, TBSCertificate and precertificate have below 2^24 octets; of fingerprints, SHA-256 of each CA certificate's DER with the
    /// issuing certificate first, there are at most 2047.
    pub fn new(certificate: LoggedCertificate<'_>, fingerprints: &[Hash]) -> Self {
        let extensions = leaf_index_extension(0);
        let chain = fingerprints.as_flattened();
        let (mut octets, precertificate) = match certificate {
            LoggedCertificate::X509(certificate) => {
                (certificate_input(UnixMillis(0), certificate, &extensions, 2 + chain.len()), None)
            }
            LoggedCertificate::Precertificate { issuer_key_hash, tbs, precertificate } => {
                let tail = 3 + precertificate.len() + 2 + chain.len();
                let input = precertificate_input(UnixMillis(0), issuer_key_hash, tbs, &extensions, tail);
                (input, Some(precertificate))
            }
        };
        let leaf_end = octets.len();
        if let Some(precertificate) = precertificate {
            put_vector24(&mut octets, precertificate);
        }
        put_vector16(&mut octets, chain);
        Self { octets, leaf_end }
    }

    /// The entry at `place`: its leaf hash, its bytes in the data tile, and what the log key signs for its SCT.
    pub fn at(mut self, place: Place) -> (Entry, UnsignedSct) {
        const ROOM: &str = "every entry has a place for its time and for its index";
        let begin = VERSION_AND_TYPE.len();
        let time = self.octets.get_mut(begin..).and_then(<[u8]>::first_chunk_mut).expect(ROOM);
        *time = place.timestamp.0.to_be_bytes();
        let extensions = self.octets.get_mut(..self.leaf_end).and_then(<[u8]>::last_chunk_mut).expect(ROOM);
        *extensions = leaf_index_extension(place.index);
        let octets = Bytes::from(self.octets);
        let input = octets.slice(..self.leaf_end);
        let leaf_hash = merkle::leaf_hash(&input);
        (Entry { leaf_hash, bytes: octets.slice(begin..) }, UnsignedSct { place, input })
    }
}

impl fmt::Debug for LogEntry {
    /// Without the octets, which hold the names of people's projects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogEntry({} octets)", self.octets.len())
    }
}

impl fmt::Debug for UnsignedSct {
    /// Without the octets, as [`LogEntry`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedSct").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The CtExtensions with the index alone (static-ct-api, "SCT Extension"): `00 | 0005 | uint40`.
pub(super) fn leaf_index_extension(index: u64) -> [u8; 8] {
    let [_, _, _, a, b, c, d, e] = index.to_be_bytes();
    [0, 0, 5, a, b, c, d, e]
}

/// The index in CtExtensions: it must be there, others are passed over, and no type may be given twice.
pub(super) fn leaf_index(extensions: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(extensions);
    let mut seen = BTreeSet::new();
    let mut found = None;
    while !reader.is_empty() {
        let kind = reader.number::<1>("extensions")?;
        let data = reader.vector::<2>("extensions")?;
        if !seen.insert(kind) {
            return Err(Malformed("an extension is given twice"));
        }
        if kind == LEAF_INDEX {
            let mut data = Reader::new(data);
            found = Some(data.number::<5>("leaf_index extension")?);
            data.end("leaf_index extension")?;
        }
    }
    found.ok_or(Malformed("no leaf_index extension"))
}

/// What an SCT of a precertificate signs, which is also its MerkleTreeLeaf. `spare` octets more are reserved.
pub(super) fn precertificate_input(
    timestamp: UnixMillis,
    issuer_key_hash: &Hash,
    tbs: &[u8],
    extensions: &[u8],
    spare: usize,
) -> Vec<u8> {
    let mut input = Vec::with_capacity(2 + 8 + 2 + 32 + 3 + tbs.len() + 2 + extensions.len() + spare);
    input.extend_from_slice(&VERSION_AND_TYPE);
    input.extend_from_slice(&timestamp.0.to_be_bytes());
    input.extend_from_slice(&(PRECERT_ENTRY as u16).to_be_bytes());
    input.extend_from_slice(issuer_key_hash);
    put_vector24(&mut input, tbs);
    put_vector16(&mut input, extensions);
    input
}

/// What an SCT of a final certificate signs, which is also its MerkleTreeLeaf. `spare` octets more are reserved.
pub(super) fn certificate_input(
    timestamp: UnixMillis,
    certificate: &[u8],
    extensions: &[u8],
    spare: usize,
) -> Vec<u8> {
    let mut input = Vec::with_capacity(2 + 8 + 2 + 3 + certificate.len() + 2 + extensions.len() + spare);
    input.extend_from_slice(&VERSION_AND_TYPE);
    input.extend_from_slice(&timestamp.0.to_be_bytes());
    input.extend_from_slice(&(X509_ENTRY as u16).to_be_bytes());
    put_vector24(&mut input, certificate);
    put_vector16(&mut input, extensions);
    input
}

/// One entry of a data tile (static-ct-api, TileLeaf), x509 or precertificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataTileEntry<'t> {
    timestamped_entry: &'t [u8],
    place: Place,
    certificate: LoggedCertificate<'t>,
    fingerprints: &'t [Hash],
}

/// What was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedCertificate<'t> {
    /// x509_entry: a final certificate, DER.
    X509(&'t [u8]),
    /// precert_entry.
    Precertificate {
        /// SHA-256 of the issuing CA's DER SubjectPublicKeyInfo.
        issuer_key_hash: &'t Hash,
        /// DER TBSCertificate without poison and SCT list.
        tbs: &'t [u8],
        /// DER of the precertificate as signed.
        precertificate: &'t [u8],
    },
}

impl<'t> DataTileEntry<'t> {
    /// Reads the first entry of `bytes`, and says what follows it.
    pub fn parse(bytes: &'t [u8]) -> Result<(Self, &'t [u8]), Malformed> {
        let mut reader = Reader::new(bytes);
        let timestamp = UnixMillis(reader.number::<8>("timestamp")?);
        let mut certificate = match reader.number::<2>("entry type")? {
            X509_ENTRY => LoggedCertificate::X509(reader.vector::<3>("certificate")?),
            PRECERT_ENTRY => LoggedCertificate::Precertificate {
                issuer_key_hash: reader.hash("issuer_key_hash")?,
                tbs: reader.vector::<3>("TBSCertificate")?,
                precertificate: &[],
            },
            _ => return Err(Malformed("entry type is neither x509_entry nor precert_entry")),
        };
        let index = leaf_index(reader.vector::<2>("extensions")?)?;
        let timestamped_entry = bytes.get(..bytes.len() - reader.rest().len()).unwrap_or_default();
        if let LoggedCertificate::Precertificate { precertificate, .. } = &mut certificate {
            *precertificate = reader.vector::<3>("precertificate")?;
        }
        let (fingerprints, []) = reader.vector::<2>("chain fingerprints")?.as_chunks() else {
            return Err(Malformed("chain fingerprints"));
        };
        let place = Place { index, timestamp };
        Ok((Self { timestamped_entry, place, certificate, fingerprints }, reader.rest()))
    }

    /// Reads `bytes` as exactly one entry.
    pub fn parse_one(bytes: &'t [u8]) -> Result<Self, Malformed> {
        match Self::parse(bytes)? {
            (entry, []) => Ok(entry),
            _ => Err(Malformed("octets after the entry")),
        }
    }

    /// How many octets of `bytes` its first entry has, or `None` when there is none.
    pub fn length(bytes: &[u8]) -> Option<usize> {
        DataTileEntry::parse(bytes).ok().map(|(_, rest)| bytes.len() - rest.len())
    }

    /// Index and time, as the entry itself tells them.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// What was logged.
    pub const fn certificate(&self) -> LoggedCertificate<'t> {
        self.certificate
    }

    /// SHA-256 of each CA certificate's DER, the issuing certificate first.
    pub const fn fingerprints(&self) -> &'t [Hash] {
        self.fingerprints
    }

    /// RFC 6962 §3.4, MerkleTreeLeaf: `leaf_input` of get-entries (§4.6).
    pub fn merkle_tree_leaf(&self) -> Vec<u8> {
        [&VERSION_AND_TYPE, self.timestamped_entry].concat()
    }

    /// RFC 6962 §2.1: the hash of [`Self::merkle_tree_leaf`].
    pub fn leaf_hash(&self) -> Hash {
        merkle::leaf_hash_of_parts(&VERSION_AND_TYPE, self.timestamped_entry)
    }

    /// RFC 6962 §4.6, `extra_data` of get-entries: PrecertChainEntry or the chain. `chain` is the DER of the certificate
    /// with each of the [`Self::fingerprints`], in their order. `None` when it outgrows what the encoding can hold.
    pub fn extra_data(&self, chain: &[impl AsRef<[u8]>]) -> Option<Vec<u8>> {
        const LIMIT: usize = 1 << 24;
        let length: usize = chain.iter().map(|certificate| 3 + certificate.as_ref().len()).sum();
        if length >= LIMIT {
            return None;
        }
        let mut data = Vec::new();
        if let LoggedCertificate::Precertificate { precertificate, .. } = self.certificate {
            put_vector24(&mut data, precertificate);
        }
        put_length24(&mut data, length);
        for certificate in chain {
            put_vector24(&mut data, certificate.as_ref());
        }
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACE: Place = Place { index: 0x01_0203_0405, timestamp: UnixMillis(0x0102_0304_0506_0708) };

    fn precertificate() -> LogEntry {
        let logged = LoggedCertificate::Precertificate {
            issuer_key_hash: &[0xaa; 32],
            tbs: b"tbs",
            precertificate: b"precertificate",
        };
        LogEntry::new(logged, &[[0xbb; 32], [0xcc; 32]])
    }

    /// TimestampedEntry of [`precertificate`] at [`PLACE`], octet by octet (RFC 6962 §3.4).
    fn timestamped_entry() -> Vec<u8> {
        let hash = "aa".repeat(32);
        hex::decode(format!("01020304050607080001{hash}00000374627300080000050102030405")).unwrap()
    }

    #[test]
    fn an_entry_has_the_octets_of_the_specifications() {
        let leaf = [&[0, 0], &timestamped_entry()[..]].concat();
        let (entry, unsigned) = precertificate().at(PLACE);
        assert_eq!(unsigned, UnsignedSct { place: PLACE, input: leaf.clone().into() });
        assert_eq!(entry.leaf_hash, merkle::leaf_hash(&leaf));
        let tail = [b"\x00\x00\x0eprecertificate\x00\x40", &[0xbb; 32][..], &[0xcc; 32]].concat();
        assert_eq!(entry.bytes, [timestamped_entry(), tail].concat());
    }

    #[test]
    fn what_was_logged_is_not_in_debug_output() {
        let entry = precertificate();
        assert_eq!(format!("{entry:?}"), "LogEntry(143 octets)");
        let (entry, unsigned) = entry.at(PLACE);
        assert!(format!("{entry:?}").ends_with(", 141 octets)"));
        let shown = format!("{unsigned:?}");
        assert!(shown.starts_with("UnsignedSct { place: Place {") && shown.len() < 120, "{shown}");
    }

    #[test]
    fn an_entry_reads_back() {
        let (made, unsigned) = precertificate().at(PLACE);
        let entry = DataTileEntry::parse_one(&made.bytes).unwrap();
        assert_eq!(entry.place(), PLACE);
        assert_eq!(
            entry.certificate(),
            LoggedCertificate::Precertificate {
                issuer_key_hash: &[0xaa; 32],
                tbs: b"tbs",
                precertificate: b"precertificate"
            }
        );
        assert_eq!(entry.fingerprints(), [[0xbb; 32], [0xcc; 32]]);
        assert_eq!(entry.merkle_tree_leaf(), unsigned.input);
        assert_eq!(entry.leaf_hash(), made.leaf_hash);
        let chain = entry.extra_data(&["issuer", "root"]).unwrap();
        assert_eq!(chain, b"\x00\x00\x0eprecertificate\x00\x00\x10\x00\x00\x06issuer\x00\x00\x04root");
    }

    #[test]
    fn a_final_certificate_reads_back_too() {
        let leaf = b"\0\0\0\0\0\0\0\x05\0\0\0\0\x04cert\0\x08\0\0\x05\0\0\0\0\x07";
        let bytes = [&leaf[..], b"\0\x20", &[0xbb; 32]].concat();
        let entry = DataTileEntry::parse_one(&bytes).unwrap();
        assert_eq!(entry.place(), Place { index: 7, timestamp: UnixMillis(5) });
        assert_eq!(entry.certificate(), LoggedCertificate::X509(b"cert"));
        assert_eq!(entry.merkle_tree_leaf(), [&[0, 0], &leaf[..]].concat());
        assert_eq!(entry.extra_data(&["root"]).unwrap(), b"\x00\x00\x07\x00\x00\x04root");
        let (made, unsigned) =
            LogEntry::new(LoggedCertificate::X509(b"cert"), &[[0xbb; 32]]).at(entry.place());
        assert_eq!(made, Entry { leaf_hash: entry.leaf_hash(), bytes: bytes.clone().into() });
        assert_eq!(unsigned.input, entry.merkle_tree_leaf());
    }

    #[test]
    fn entries_follow_each_other_in_a_tile() {
        let all: Vec<u8> =
            (0..5).flat_map(|index| precertificate().at(Place { index, ..PLACE }).0.bytes).collect();
        let mut rest = &all[..];
        for index in 0..5 {
            assert_eq!(DataTileEntry::length(rest), Some(all.len() / 5));
            let (entry, more) = DataTileEntry::parse(rest).unwrap();
            assert_eq!(entry.place().index, index);
            rest = more;
        }
        assert!(rest.is_empty());
        assert_eq!(DataTileEntry::length(rest), None);
        assert_eq!(DataTileEntry::parse_one(&all), Err(Malformed("octets after the entry")));
    }

    #[test]
    fn an_entry_that_is_cut_anywhere_is_refused() {
        let bytes = precertificate().at(PLACE).0.bytes;
        for length in 0..bytes.len() {
            assert!(DataTileEntry::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn extensions_need_one_index_and_no_type_twice() {
        let index = leaf_index_extension(9);
        assert_eq!(leaf_index(&index), Ok(9));
        let other = [1, 0, 1, 0xff];
        assert_eq!(leaf_index(&[&other[..], &index].concat()), Ok(9));
        assert_eq!(leaf_index(&[&index[..], &other].concat()), Ok(9));
        for bad in [
            &[][..],
            &other,
            &[&index[..], &index].concat(),
            &[&other[..], &index, &other].concat(),
            &index[..7],
            &[&index[..], &[0]].concat(),
            &[0, 0, 4, 1, 2, 3, 4],
            &[0, 0, 6, 1, 2, 3, 4, 5, 6],
        ] {
            assert!(leaf_index(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn other_types_and_odd_fingerprints_are_refused() {
        let mut bytes = precertificate().at(PLACE).0.bytes.to_vec();
        let length = bytes.len();
        bytes[length - 65] = 63;
        assert_eq!(DataTileEntry::parse(&bytes), Err(Malformed("chain fingerprints")));
        bytes[9] = 2;
        assert!(DataTileEntry::parse(&bytes).unwrap_err().to_string().contains("entry type"));
    }

    #[test]
    fn a_chain_too_long_for_its_encoding_is_no_extra_data() {
        let bytes = precertificate().at(PLACE).0.bytes;
        let entry = DataTileEntry::parse_one(&bytes).unwrap();
        let huge = vec![0; (1 << 24) - 4];
        assert!(entry.extra_data(&[&huge]).is_some());
        assert!(entry.extra_data(&[&huge[..], &[]]).is_none());
    }

    proptest! {
        #[test]
        fn any_entry_reads_back(
            issuer_key_hash in any::<Hash>(), tbs in proptest::collection::vec(any::<u8>(), 0..70_000),
            precertificate in proptest::collection::vec(any::<u8>(), 0..70_000),
            fingerprints in proptest::collection::vec(any::<Hash>(), 0..5),
            index in 0_u64..1 << 40, timestamp in any::<u64>(),
        ) {
            let place = Place { index, timestamp: UnixMillis(timestamp) };
            let certificate = LoggedCertificate::Precertificate {
                issuer_key_hash: &issuer_key_hash, tbs: &tbs, precertificate: &precertificate,
            };
            let (entry, unsigned) = LogEntry::new(certificate, &fingerprints).at(place);
            let read = DataTileEntry::parse_one(&entry.bytes).unwrap();
            prop_assert_eq!(read.place(), place);
            prop_assert_eq!(read.certificate(), certificate);
            prop_assert_eq!(read.fingerprints(), &fingerprints[..]);
            prop_assert_eq!(read.leaf_hash(), entry.leaf_hash);
            prop_assert_eq!(&unsigned, &UnsignedSct { place, input: read.merkle_tree_leaf().into() });
        }

        #[test]
        fn any_octets_are_survived(
            octets in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..150, octet in any::<u8>(),
        ) {
            let _ = DataTileEntry::parse(&octets);
            let _ = leaf_index(&octets);
            let mut changed = precertificate().at(PLACE).0.bytes.to_vec();
            if let Some(place) = changed.get_mut(at) {
                *place = octet;
            }
            if let Ok((entry, rest)) = DataTileEntry::parse(&changed) {
                prop_assert!(rest.len() < changed.len());
                let _ = (entry.extra_data(&[&octets]), entry.leaf_hash());
            }
        }
    }
}
