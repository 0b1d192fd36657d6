//! Percent-encoding as Go's `net/url` does it, part by part of a URI.

/// A part of a URI: each leaves other characters as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Path,
    Host,
    /// Of an IPv6 address (RFC 6874).
    Zone,
    Userinfo,
    Fragment,
}

impl Part {
    /// Whether Go percent-encodes the octet when it writes this part.
    fn escapes(self, octet: u8) -> bool {
        if octet.is_ascii_alphanumeric() || b"-_.~".contains(&octet) {
            return false;
        }
        let kept: &[u8] = match self {
            Self::Path => b"$&+,/:;=@",
            Self::Host | Self::Zone => b"!$&'()*+,;=:[]<>\"",
            Self::Userinfo => b"$&+,;=",
            Self::Fragment => b"$&+,/:;=?@!()*",
        };
        !kept.contains(&octet)
    }

    /// Whether the octet may stand in a spelling that is kept as it came.
    fn keeps(self, octet: u8) -> bool {
        b"!$&'()*+,;=:@[]%".contains(&octet) || !self.escapes(octet)
    }
}

/// A path or fragment as it is written: as it came where that is a valid spelling, else decoded and encoded anew.
pub fn escaped(text: &str, part: Part) -> Result<String, &'static str> {
    let decoded = unescape(text, part)?;
    if text.bytes().all(|octet| part.keeps(octet)) || (part == Part::Path && text == "*") {
        return Ok(text.to_owned());
    }
    let mut written = String::with_capacity(text.len());
    escape(&decoded, part, &mut written);
    Ok(written)
}

/// Appends the octets, encoded where the part needs it.
pub fn escape(octets: &[u8], part: Part, written: &mut String) {
    for octet in octets {
        if part.escapes(*octet) {
            written.push_str(&format!("%{octet:02X}"));
        } else {
            written.push(char::from(*octet));
        }
    }
}

/// The octets that a part stands for; or what is wrong with it.
pub fn unescape(text: &str, part: Part) -> Result<Vec<u8>, &'static str> {
    let in_host = matches!(part, Part::Host | Part::Zone);
    let mut octets = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            if in_host && octet.is_ascii() && part.escapes(octet) {
                return Err("a character in its host name that cannot stand there");
            }
            decoded.push(octet);
            continue;
        }
        let mut digit = || octets.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err("an invalid percent-encoding") };
        let octet = u8::try_from(high * 16 + low).map_err(|_| "an invalid percent-encoding")?;
        // RFC 3986 §3.2.2, RFC 6874 §2: in a host only what is not ASCII, or a zone's percent sign.
        let allowed = match part {
            Part::Host => octet >= 0x80 || octet == b'%',
            Part::Zone => octet == b'%' || octet == b' ' || !Part::Host.escapes(octet),
            _ => true,
        };
        if !allowed {
            return Err("an invalid percent-encoding");
        }
        decoded.push(octet);
    }
    Ok(decoded)
}
