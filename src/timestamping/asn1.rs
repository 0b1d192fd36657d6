//! The ASN.1 of timestamps: RFC 3161 §2.4, and the ESSCertIDv2 of RFC 5816 and RFC 5035.
//!
//! Types alone: what their values must be is for who makes them (`request`, `token`) or verifies them. They borrow nothing,
//! but for a token, which is kept octet for octet since signatures are over octets.

use crate::environment::UnixMillis;
use der::asn1::{Any, AnyRef, BitString, Int, ObjectIdentifier, OctetString};
use der::{
    DecodeValue, EncodeValue, Enumerated, Error, FixedTag, Header, Length, Reader, Sequence, Tag, Writer,
};
use std::time::Duration;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// id-signedData (RFC 5652 §5.1), the content type of a token.
pub const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-ct-TSTInfo (RFC 3161 §2.4.2), what a token signs.
pub const CT_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-contentType (RFC 5652 §11.1).
pub const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652 §11.2).
pub const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// id-signingTime (RFC 5652 §11.3).
pub const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// id-aa-signingCertificate (RFC 2634 §5.4), with SHA-1: read at most, never written.
pub const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// id-aa-signingCertificateV2 (RFC 5035 §3).
pub const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// TimeStampReq (RFC 3161 §2.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TimeStampReq {
    /// 1.
    pub version: Int,
    /// What is to be stamped.
    pub message_imprint: MessageImprint,
    /// TSAPolicyId under which the token shall be made.
    #[asn1(optional = "true")]
    pub req_policy: Option<ObjectIdentifier>,
    /// Comes back in the token.
    #[asn1(optional = "true")]
    pub nonce: Option<Int>,
    /// Whether the authority's certificate shall be in the token.
    #[asn1(default = "Default::default")]
    pub cert_req: bool,
    /// None is known here.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub extensions: Option<Extensions>,
}

/// MessageImprint: a hash and its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct MessageImprint {
    /// The hash function, with absent or NULL parameters (RFC 5754 §2).
    pub hash_algorithm: AlgorithmIdentifierOwned,
    /// The hash.
    pub hashed_message: OctetString,
}

/// TimeStampResp (RFC 3161 §2.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TimeStampResp<'t> {
    /// Whether there is a token.
    pub status: PkiStatusInfo,
    /// TimeStampToken: the ContentInfo of a CMS SignedData.
    #[asn1(optional = "true")]
    pub time_stamp_token: Option<AnyRef<'t>>,
}

/// PKIStatusInfo (RFC 4210 §5.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PkiStatusInfo {
    /// The outcome.
    pub status: PkiStatus,
    /// PKIFreeText: words for people.
    #[asn1(optional = "true")]
    pub status_string: Option<Vec<String>>,
    /// PKIFailureInfo: a bit for each reason; see [`PkiFailure`].
    #[asn1(optional = "true")]
    pub fail_info: Option<BitString>,
}

/// PKIStatus (RFC 3161 §2.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[asn1(type = "INTEGER")]
#[repr(u8)]
pub enum PkiStatus {
    /// A token is present, as requested.
    Granted = 0,
    /// A token is present, with changes.
    GrantedWithMods = 1,
    /// There is no token.
    Rejection = 2,
    /// Not yet.
    Waiting = 3,
    /// A revocation is imminent.
    RevocationWarning = 4,
    /// A revocation has occurred.
    RevocationNotification = 5,
}

/// PKIFailureInfo: the bits that RFC 3161 §2.4.2 permits, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PkiFailure {
    /// Unrecognized or unsupported algorithm identifier.
    BadAlg = 0,
    /// Transaction not permitted or supported.
    BadRequest = 2,
    /// The data submitted has the wrong format.
    BadDataFormat = 5,
    /// The authority's time source is not available.
    TimeNotAvailable = 14,
    /// The requested policy is not supported.
    UnacceptedPolicy = 15,
    /// The requested extension is not supported.
    UnacceptedExtension = 16,
    /// The additional information requested could not be understood or is not available.
    AddInfoNotAvailable = 17,
    /// The request cannot be handled due to system failure.
    SystemFailure = 25,
}

impl PkiFailure {
    /// The BIT STRING with this bit alone; without trailing zero bits, as DER has named bits (X.690 §11.2.2).
    ///
    /// # Errors
    /// Never for the bits there are; the type cannot say so.
    pub fn bits(self) -> der::Result<BitString> {
        let bit = usize::from(self as u8);
        let mut octets = vec![0; bit / 8 + 1];
        if let Some(last) = octets.last_mut() {
            *last = 0x80 >> (bit % 8);
        }
        BitString::new(7 - (bit % 8) as u8, octets)
    }
}

/// TSTInfo (RFC 3161 §2.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TstInfo {
    /// 1.
    pub version: Int,
    /// TSAPolicyId under which the token was made.
    pub policy: ObjectIdentifier,
    /// What the request had.
    pub message_imprint: MessageImprint,
    /// Unique among the authority's tokens; up to 160 bits.
    pub serial_number: Int,
    /// When the token was made.
    pub gen_time: GenTime,
    /// How far `gen_time` may be off.
    #[asn1(optional = "true")]
    pub accuracy: Option<Accuracy>,
    /// Whether tokens of this authority can be ordered by `gen_time` alone.
    #[asn1(default = "Default::default")]
    pub ordering: bool,
    /// What the request had.
    #[asn1(optional = "true")]
    pub nonce: Option<Int>,
    /// A name of the authority.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    pub tsa: Option<GeneralName>,
    /// None is known here.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub extensions: Option<Extensions>,
}

/// Accuracy: what is absent counts as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct Accuracy {
    /// Seconds.
    #[asn1(optional = "true")]
    pub seconds: Option<u32>,
    /// Milliseconds, 1 to 999.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub millis: Option<u16>,
    /// Microseconds, 1 to 999.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub micros: Option<u16>,
}

/// SigningCertificateV2 (RFC 5035 §3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SigningCertificateV2 {
    /// The signer's certificate first.
    pub certs: Vec<EssCertIdV2>,
    /// Not looked into.
    #[asn1(optional = "true")]
    pub policies: Option<Any>,
}

/// ESSCertIDv2 (RFC 5035 §4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct EssCertIdV2 {
    /// DEFAULT SHA-256, which DER leaves out; some write it all the same.
    #[asn1(optional = "true")]
    pub hash_algorithm: Option<AlgorithmIdentifierOwned>,
    /// Over the certificate's DER.
    pub cert_hash: OctetString,
    /// Whose certificate it is.
    #[asn1(optional = "true")]
    pub issuer_serial: Option<IssuerSerial>,
}

/// IssuerSerial (RFC 5035 §4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct IssuerSerial {
    /// The issuer, as a directoryName.
    pub issuer: GeneralNames,
    /// The certificate's serial number.
    pub serial_number: SerialNumber,
}

/// The time in a token: a GeneralizedTime that may have a fraction of a second (RFC 3161 §2.4.2).
///
/// `YYYYMMDDhhmmss[.s...]Z`; a fraction does not end in 0 and has nine digits at most here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenTime(Duration);

impl GenTime {
    /// The most digits of a fraction that are read.
    const DIGITS: usize = 9;

    /// A time in whole seconds: what is left of `time` is dropped.
    ///
    /// # Errors
    /// When the time is after the year 9999.
    pub fn whole_seconds(time: UnixMillis) -> der::Result<Self> {
        let since = Duration::from_secs(time.as_secs());
        der::DateTime::from_unix_duration(since)?;
        Ok(Self(since))
    }

    /// Since 1970, as exact as it was read.
    pub const fn since_1970(self) -> Duration {
        self.0
    }

    /// To the millisecond, rounded down.
    pub fn to_unix_millis(self) -> UnixMillis {
        UnixMillis(0).plus(self.0)
    }

    /// As it stands in DER.
    fn text(self) -> der::Result<String> {
        let date = der::DateTime::from_unix_duration(Duration::from_secs(self.0.as_secs()))?;
        let mut text = format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            date.year(),
            date.month(),
            date.day(),
            date.hour(),
            date.minutes(),
            date.seconds()
        );
        if self.0.subsec_nanos() > 0 {
            text.push_str(format!(".{:09}", self.0.subsec_nanos()).trim_end_matches('0'));
        }
        text.push('Z');
        Ok(text)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        const LAYOUT: [usize; 5] = [2; 5];
        let (text, rest) = text.split_at_checked(14)?;
        let nanos = match rest {
            b"Z" => 0,
            [b'.', digits @ .., b'Z'] => fraction(digits)?,
            _ => return None,
        };
        let (year, mut text) = text.split_at_checked(4)?;
        let mut fields = [0; 5];
        for (field, length) in fields.iter_mut().zip(LAYOUT) {
            let (digits, rest) = text.split_at_checked(length)?;
            *field = u8::try_from(decimal(digits)?).ok()?;
            text = rest;
        }
        let [month, day, hour, minute, second] = fields;
        let year = u16::try_from(decimal(year)?).ok()?;
        let date = der::DateTime::new(year, month, day, hour, minute, second).ok()?;
        Some(Self(date.unix_duration() + Duration::from_nanos(nanos.into())))
    }
}

/// Nanoseconds of the digits behind the point; DER has no empty fraction, and none that ends in 0 (X.690 §11.7).
fn fraction(digits: &[u8]) -> Option<u32> {
    let length = digits.len();
    if digits.last()? == &b'0' || length > GenTime::DIGITS {
        return None;
    }
    (length..GenTime::DIGITS).try_fold(decimal(digits)?, |value, _| value.checked_mul(10))
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| {
        digit.is_ascii_digit().then(|| value.checked_mul(10)?.checked_add(u32::from(digit - b'0')))?
    })
}

impl FixedTag for GenTime {
    const TAG: Tag = Tag::GeneralizedTime;
}

impl<'a> DecodeValue<'a> for GenTime {
    type Error = Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        // Date, point, digits, `Z`.
        const LONGEST: usize = 14 + 1 + GenTime::DIGITS + 1;
        let mut octets = [0; LONGEST];
        let length = usize::try_from(header.length())?;
        let text = octets.get_mut(..length).ok_or_else(|| reader.error(Self::TAG.value_error()))?;
        let text = reader.read_into(text)?;
        Self::parse(text).ok_or_else(|| reader.error(Self::TAG.value_error()))
    }
}

impl EncodeValue for GenTime {
    fn value_len(&self) -> der::Result<Length> {
        self.text()?.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.text()?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::{Decode, Encode};

    fn gen_time(text: &str) -> Option<GenTime> {
        let der = [&[0x18, text.len() as u8], text.as_bytes()].concat();
        let time = GenTime::from_der(&der).ok()?;
        assert_eq!(time.to_der().unwrap(), der);
        Some(time)
    }

    #[test]
    fn a_gen_time_has_seconds_and_perhaps_a_fraction() {
        let seconds = Duration::from_secs(1_763_715_723);
        for (fraction, nanos) in
            [("", 0), (".5", 500_000_000), (".123456789", 123_456_789), (".001", 1_000_000)]
        {
            let time = gen_time(&format!("20251121090203{fraction}Z")).unwrap();
            assert_eq!(time.since_1970(), seconds + Duration::from_nanos(nanos));
        }
        for wrong in [
            "20251121090203",
            "20251121090203.Z",
            "20251121090203.50Z",
            "20251121090203.1234567891Z",
            "20251121090203+0100",
            "202511210902Z",
            "2025112109020aZ",
            "20251321090203Z",
            "20250229090203Z",
            "20251121090260Z",
            "19691231235959Z",
            "",
        ] {
            assert_eq!(gen_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn failure_bits_are_named_bits() {
        let encoded = |failure: PkiFailure| hex::encode(failure.bits().unwrap().to_der().unwrap());
        assert_eq!(encoded(PkiFailure::BadAlg), "03020780");
        assert_eq!(encoded(PkiFailure::BadDataFormat), "03020204");
        assert_eq!(encoded(PkiFailure::TimeNotAvailable), "0303010002");
        assert_eq!(encoded(PkiFailure::SystemFailure), "03050600000040");
    }
}
