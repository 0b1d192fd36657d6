//! What an email address looks like, for the type that takes nothing else and for those that must not be given one.

/// Whether a text is an address: a local part, `@`, and a domain of at least two labels whose last one is letters at both ends.
///
/// The same texts as the reference's library: a dot-atom or a quoted local part (RFC 5322 §3.4.1), and neither comments nor
/// addresses of IP hosts. Letters may be of any script; a certificate's rfc822Name takes only those in ASCII.
pub(super) fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    (is_dot_atom(local) || is_quoted(local)) && is_domain(domain.strip_suffix('.').unwrap_or(domain))
}

/// Whether an address may stand in a certificate as it is: ASCII, its local part not quoted, its domain without a final dot.
pub(super) fn is_plain(address: &str) -> bool {
    address.is_ascii() && !address.starts_with('"') && !address.ends_with('.')
}

fn is_dot_atom(local: &str) -> bool {
    let atext = |c: char| is_letter(c) || c.is_ascii_digit() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext))
}

fn is_quoted(local: &str) -> bool {
    local.len() >= 2 && local.starts_with('"') && local.ends_with('"')
}

fn is_domain(domain: &str) -> bool {
    let Some((labels, last)) = domain.rsplit_once('.') else { return false };
    let edge = |c: char| is_letter(c) || c.is_ascii_digit();
    let inner = |c: char| edge(c) || matches!(c, '-' | '_' | '~');
    let label = |label: &str| label.starts_with(edge) && label.ends_with(edge) && label.chars().all(inner);
    labels.split('.').all(label) && label(last) && last.starts_with(is_letter) && last.ends_with(is_letter)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(c, '\u{a0}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_texts() {
        for text in [
            "ada@example.com",
            "a.d.a@a.b.example",
            "a/d'a+x@example.com",
            "ada@ex_ample.com",
            "ada@1.example",
            "adä@exämple.com",
            "\"ada b\"@example.com",
            "ada@example.com.",
        ] {
            assert!(is_address(text), "{text}");
        }
        for text in [
            "",
            "ada",
            "@",
            "ada@",
            "@example.com",
            "ada.example.com",
            "ada@localhost",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "ada@-example.com",
            "ada@example-.com",
            "ada@example..com",
            "ada@.example.com",
            "ada@example.c0",
            "ada@example.com ",
            " ada@example.com",
            "Ada <ada@example.com>",
            "ada@example.com\nb@example.com",
            "a@b@example.com",
            ".ada@example.com",
            "a..da@example.com",
            "ada b@example.com",
        ] {
            assert!(!is_address(text), "{text}");
        }
    }

    #[test]
    fn only_plain_addresses_go_into_certificates() {
        assert!(is_plain("ada@example.com"));
        for address in ["adä@example.com", "\"ada b\"@example.com", "ada@example.com."] {
            assert!(!is_plain(address), "{address}");
        }
    }
}
