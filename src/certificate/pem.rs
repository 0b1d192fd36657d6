//! PEM files of one or several blocks (RFC 7468, read leniently: text around blocks, any line width).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

/// Lines of a certificate that are encoded at a time, in a buffer of 4 KiB: nearly always it is all of them.
const LINES: usize = 64;

/// One block.
pub struct Block {
    /// `CERTIFICATE`, `PRIVATE KEY`, …
    pub label: String,
    /// Its DER, wiped when dropped.
    pub der: Zeroizing<Vec<u8>>,
    /// Whether it has header lines (RFC 1421), as the old encrypted keys of OpenSSL do; `der` is of no use then.
    pub has_headers: bool,
}

/// The blocks in `text`, in order. Errors are for people and carry nothing of the text but labels.
pub fn blocks(text: &[u8]) -> Result<Vec<Block>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(label) = boundary(line, "-----BEGIN ") {
            blocks.push(block(label, &mut lines)?);
        }
    }
    Ok(blocks)
}

/// The block with that label, `CERTIFICATE` for instance, ending in a newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    // Wiped, and never moved while it grows: it may be a private key.
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    push_lines(&mut pem, &base64, "\n");
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

/// Appends a certificate's block to `out`, its lines parted by `newline`, without one at the end.
pub fn push_certificate(out: &mut String, der: &[u8], newline: &str) {
    out.push_str("-----BEGIN CERTIFICATE-----");
    out.push_str(newline);
    let mut base64 = [0; 64 * LINES];
    for octets in der.chunks(48 * LINES) {
        let text = STANDARD.encode_slice(octets, &mut base64).ok().and_then(|length| base64.get(..length));
        push_lines(out, text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default(), newline);
    }
    out.push_str("-----END CERTIFICATE-----");
}

/// Appends base64 in lines of 64 characters, with `newline` behind each.
fn push_lines(out: &mut String, base64: &str, newline: &str) {
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64)); // base64 is ASCII
        out.push_str(line);
        out.push_str(newline);
        rest = after;
    }
}

fn block<'t>(label: &str, lines: &mut (impl Iterator<Item = &'t str> + Clone)) -> Result<Block, String> {
    // Its size from the start: a string that grows leaves copies of a key behind.
    let body = lines.clone().take_while(|line| !line.starts_with("-----"));
    let mut base64 = Zeroizing::new(String::with_capacity(body.map(str::len).sum()));
    let mut has_headers = false;
    for line in lines {
        if let Some(end) = boundary(line, "-----END ") {
            if end != label {
                return Err(format!("a block begins with {label:?} and ends with {end:?}"));
            }
            let mut der = Vec::with_capacity(base64.len());
            if !has_headers && STANDARD.decode_vec(base64.as_bytes(), &mut der).is_err() {
                der.zeroize();
                return Err(format!("the block {label:?} is not valid base64"));
            }
            return Ok(Block { label: label.to_owned(), der: Zeroizing::new(der), has_headers });
        }
        if line.starts_with("-----BEGIN ") {
            break;
        }
        has_headers |= line.contains(':');
        base64.push_str(line);
    }
    Err(format!("the block {label:?} has no end"))
}

/// The label of a boundary line, at most as long as labels are.
fn boundary<'l>(line: &'l str, prefix: &str) -> Option<&'l str> {
    line.strip_prefix(prefix)?.strip_suffix("-----").filter(|label| label.len() <= 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_with_text_around_them_and_any_line_width() {
        let text = "\u{feff}subject=x\r\n-----BEGIN A-----\r\nAQ\r\nID\r\n-----END A-----\r\n\n-----BEGIN B C-----\nBAUG\n-----END B C-----";
        let blocks = blocks(text.as_bytes()).unwrap();
        let found: Vec<_> = blocks.iter().map(|block| (block.label.as_str(), block.der.as_slice())).collect();
        assert_eq!(found, [("A", &[1, 2, 3][..]), ("B C", &[4, 5, 6][..])]);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        for (text, why) in [
            ("-----BEGIN A-----\nAQID\n", "has no end"),
            ("-----BEGIN A-----\nAQID\n-----BEGIN A-----\nAQID\n-----END A-----", "has no end"),
            ("-----BEGIN A-----\nAQID\n-----END B-----", "ends with"),
            ("-----BEGIN A-----\nAQ*D\n-----END A-----", "base64"),
            ("\u{0}", ""),
        ] {
            match blocks(text.as_bytes()) {
                Ok(blocks) => assert!(why.is_empty() && blocks.is_empty(), "{text}"),
                Err(error) => assert!(!why.is_empty() && error.contains(why), "{text}: {error}"),
            }
        }
        assert!(blocks(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn what_is_encoded_reads_back() {
        for length in [0, 1, 47, 48, 49, 96, 1000, 48 * LINES - 1, 48 * LINES, 48 * LINES + 1, 10_000] {
            let der = vec![5; length];
            let pem = encode("CERTIFICATE", &der);
            assert!(pem.ends_with("-----END CERTIFICATE-----\n") && pem.lines().all(|line| line.len() <= 64));
            assert_eq!(*blocks(pem.as_bytes()).unwrap()[0].der, der);
            let mut pushed = String::new();
            push_certificate(&mut pushed, &der, "\n");
            assert_eq!(pushed, pem.trim_end());
        }
    }
}
