//! Rules 4, 5 and 7: the full ref, and the one URI that names the pipeline.
//!
//! A subject is `{instance URL}{path}`. The instance comes from the operator's configuration alone and is copied; the
//! path comes from claims and is percent-encoded (RFC 3986 §2.1, §3.3), so that no claim can reach into the host.

use super::SubjectMode;
use super::schema::JobClaims;
use crate::identity::extensions::GitlabClaim;
use crate::identity::go_url::is_host_and_port;
use crate::refusal::{Reason, Refusal};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::borrow::Cow;
use std::iter;

const RULE: &str = "gitlab-5";

/// The URL of a GitLab instance: what precedes `/{project path}` in all of its URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance<'u> {
    url: &'u str,
    location: &'u str,
}

impl<'u> Instance<'u> {
    /// From an issuer or an `instance_url`; one trailing slash is taken off. `http` or `https`, a host with or without a port, and a
    /// relative root of plain segments. No userinfo, query, fragment or percent sign: nothing that reads as something else
    /// in a subject. Nothing is normalised: letter case and a default port stay, since GitLab writes both the same way every time.
    ///
    /// The error is for the operator.
    pub fn parse(url: &'u str) -> Result<Self, String> {
        let url = url.strip_suffix('/').unwrap_or(url);
        let location = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))
            .ok_or("a GitLab instance's URL starts with https:// (or http://)")?;
        let (authority, root) =
            location.split_once('/').map_or((location, None), |(host, root)| (host, Some(root)));
        // Not every name that is spelled so is one: `xn--…` stands for other scripts (RFC 5891), and what ends with a number is an address.
        if !is_host_and_port(authority) || url::Url::parse(url).is_err() {
            return Err(
                "a GitLab instance's URL has a host, and a port where it is not the usual one".to_owned()
            );
        }
        if !root.is_none_or(|root| root.split('/').all(is_root_segment)) {
            return Err(
                "a GitLab instance's relative root is made of letters, digits, `-`, `_`, `.`, `~`".to_owned()
            );
        }
        Ok(Self { url, location })
    }

    /// The URL without a trailing slash.
    pub const fn url(&self) -> &'u str {
        self.url
    }

    /// The same without the scheme, as `ci_config_ref_uri` begins: host, port, relative root.
    pub const fn location(&self) -> &'u str {
        self.location
    }
}

/// A pipeline's subject.
pub(super) struct Subject {
    /// Before percent-encoding: Fulcio's .9 and .18.
    pub text: String,
    /// The SAN. ASCII.
    pub uri: String,
}

impl Subject {
    /// Rule 5, then rule 7.
    pub fn of(
        job: &JobClaims<'_>,
        ref_path: &str,
        instance: &Instance<'_>,
        mode: SubjectMode,
    ) -> Result<Self, Refusal> {
        let path: Cow<'_, str> = match mode {
            SubjectMode::PipelineDefinition => pipeline_definition(job, ref_path, instance)?.into(),
            SubjectMode::Project => ["/", job.project_path, "@", ref_path].concat().into(),
        };
        if job.ref_name.contains("@refs/") {
            return Err(ambiguous(GitlabClaim::Ref, "The ref contains `@refs/`."));
        }
        let uri = iter::once(instance.url).chain(percent_encoded(&path)).collect();
        Ok(Self { text: [instance.url, &path].concat(), uri })
    }
}

/// Rule 4: the full ref, as `ref_type` and `ref` make it.
pub(super) fn ref_path(job: &JobClaims<'_>) -> Result<String, Refusal> {
    const RULE: &str = "gitlab-4";
    let prefix = match job.ref_type {
        "branch" => "refs/heads/",
        "tag" => "refs/tags/",
        _ => {
            return Err(Refusal::new(Reason::RefTypeUnknown)
                .of_claim(GitlabClaim::RefType.name())
                .by_rule(RULE));
        }
    };
    let made = [prefix, job.ref_name].concat();
    match job.ref_path {
        Some(said) if said != made => Err(Refusal::new(Reason::RefPathContradiction)
            .of_claim(GitlabClaim::RefPath.name())
            .by_rule(RULE)),
        _ => Ok(made),
    }
}

/// `/{P}//{config path}@{ref_path}`: what of `ci_config_ref_uri` follows the instance, once all of it is found to be exactly that.
///
/// Prefix and suffix are known before the claim is looked at; no separator is searched for, since every one of them may
/// stand in a config path or in a ref.
fn pipeline_definition<'t>(
    job: &JobClaims<'t>,
    ref_path: &str,
    instance: &Instance<'_>,
) -> Result<&'t str, Refusal> {
    const CLAIM: GitlabClaim = GitlabClaim::CiConfigRefUri;
    let refusal = |reason| Refusal::new(reason).of_claim(CLAIM.name()).by_rule(RULE);
    let uri = match job.ci_config_ref_uri {
        Some("") => return Err(refusal(Reason::ClaimEmpty)),
        Some(uri) => uri,
        None => return Err(refusal(Reason::ClaimMissing)),
    };
    let contradiction = |detail| refusal(Reason::ConfigUriContradiction).because(detail);

    let path = uri
        .strip_prefix(instance.location)
        .filter(|path| path.starts_with('/'))
        .ok_or_else(|| contradiction("It names another host, port or relative root than the instance's."))?;
    let config = path
        .strip_prefix('/')
        .and_then(|rest| rest.strip_prefix(job.running_project()))
        .and_then(|rest| rest.strip_prefix("//"))
        .ok_or_else(|| contradiction("It names another project than the one in which the job runs."))?;
    let config = config
        .strip_suffix(ref_path)
        .and_then(|rest| rest.strip_suffix('@'))
        .ok_or_else(|| contradiction("It does not end in `@` and the token's full ref."))?;
    if config.is_empty() {
        return Err(contradiction("It names no configuration file."));
    }
    unambiguous(config)?;
    Ok(path)
}

/// A config path that is one: no other configuration within (`@`, `://`), and no path that leaves the project once a reader
/// of the URI resolves it (GitLab's own settings forbid a leading slash and `..`).
fn unambiguous(config: &str) -> Result<(), Refusal> {
    let refused = |detail| Err(ambiguous(GitlabClaim::CiConfigRefUri, detail));
    if config.contains('@') {
        return refused("The configuration's path contains `@`.");
    }
    if config.contains("://") {
        return refused("The configuration's path contains `://`.");
    }
    if config.starts_with('/') || config.split('/').any(|segment| matches!(segment, "." | "..")) {
        return refused("The configuration's path begins with `/`, or has a segment `.` or `..`.");
    }
    Ok(())
}

fn ambiguous(claim: GitlabClaim, detail: &'static str) -> Refusal {
    Refusal::new(Reason::ConfigUriAmbiguous).of_claim(claim.name()).by_rule(RULE).because(detail)
}

/// Rule 7. Untouched: `/` and RFC 3986's pchar (unreserved, sub-delims, `:`, `@`) without `%`. All else byte by byte, in upper-case
/// hexadecimal. Injective, since `%` itself is encoded; decoding gives the text back.
fn percent_encoded(path: &str) -> PercentEncode<'_> {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'!')
        .remove(b'$')
        .remove(b'&')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')')
        .remove(b'*')
        .remove(b'+')
        .remove(b',')
        .remove(b';')
        .remove(b'=')
        .remove(b':')
        .remove(b'@')
        .remove(b'/');
    utf8_percent_encode(path, ENCODED)
}

fn is_root_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    fn encoded(path: &str) -> String {
        percent_encoded(path).to_string()
    }

    #[test]
    fn instances_are_plain_urls() {
        let table = [
            ("https://gitlab.com", "gitlab.com"),
            ("https://gitlab.com/", "gitlab.com"),
            ("https://GitLab.Example.com", "GitLab.Example.com"),
            ("https://gitlab.example.com:8443/gitlab", "gitlab.example.com:8443/gitlab"),
            ("https://gitlab.example.com:8443/a/b~c/", "gitlab.example.com:8443/a/b~c"),
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://localhost", "localhost"),
            ("http://[::1]", "[::1]"),
            ("https://[2001:db8::1]:8443/gitlab", "[2001:db8::1]:8443/gitlab"),
        ];
        for (url, location) in table {
            let instance = Instance::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(instance.location(), location);
            assert_eq!(instance.url(), url.strip_suffix('/').unwrap_or(url));
        }
        for url in [
            "",
            "gitlab.com",
            "https://",
            "https:///",
            "HTTPS://gitlab.com",
            "ftp://gitlab.com",
            "https://ada@gitlab.com",
            "https://gitlab.com//",
            "https://gitlab.com/a//b",
            "https://gitlab.com/..",
            "https://gitlab.com/a?b",
            "https://gitlab.com/a#b",
            "https://gitlab.com/a%20b",
            "https://gitlab.com/a b",
            "https://gitlab.com:",
            "https://gitlab.com:+80",
            "https://gitlab.com:99999",
            "https://:443",
            "https://git\\lab.com",
            "https://[::1",
            "https://[::zz]",
            "https://gîtlab.com",
            "https://a:b:c",
            "https://.127.1",
            "https://1.2.3.256",
            "https://gitlab.com\n",
            "https://gitlab.com/*",
        ] {
            assert!(Instance::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn encoding_leaves_what_rfc_3986_allows_in_a_path() {
        let pchar = "/azAZ09-._~!$&'()*+,;=:@";
        assert_eq!(encoded(pchar), pchar);
        assert_eq!(encoded("% \"#<>?[\\]^`{|}"), "%25%20%22%23%3C%3E%3F%5B%5C%5D%5E%60%7B%7C%7D");
        assert_eq!(encoded("é\u{2028}"), "%C3%A9%E2%80%A8");
        assert_eq!(encoded("%2e%2E/%00"), "%252e%252E/%2500");
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_decoding_and_is_ascii(text in ".{0,80}") {
            let uri = encoded(&text);
            prop_assert!(uri.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(percent_decode_str(&uri).decode_utf8().unwrap(), text);
        }

        #[test]
        fn different_paths_have_different_encodings(one in "[%2F0aé /?]{0,6}", other in "[%2F0aé /?]{0,6}") {
            prop_assert_eq!(one == other, encoded(&one) == encoded(&other));
        }
    }
}
