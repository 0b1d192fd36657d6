//! Paths and queries as callers write them, and what they are taken for.

use crate::refusal::{Reason, Refusal};
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

/// Collapses the doubled slashes that clients make from a base URL ending in `/`: those in front, and those behind `/ct`.
/// Others are left alone, so that every object keeps one name. `None`: there is nothing to collapse.
pub fn collapse_slashes(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let after_root = path.trim_start_matches('/');
    let after_log = after_root.strip_prefix("ct//").map(|rest| rest.trim_start_matches('/'));
    if path.len() == after_root.len() + 1 && after_log.is_none() {
        return None;
    }
    let collapsed = match after_log {
        Some(rest) => format!("/ct/{rest}"),
        None => format!("/{after_root}"),
    };
    let with_query = match uri.query() {
        Some(query) => format!("{collapsed}?{query}"),
        None => collapsed,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(with_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// The query's parameters, percent-decoded. A plus stays a plus: these are RFC 6962's parameters, and base64 has pluses.
pub struct Query<'q>(Vec<(&'q str, std::borrow::Cow<'q, str>)>);

impl<'q> Query<'q> {
    /// Splits at `&` and `=`.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] for a parameter given twice and for octets that are not UTF-8.
    pub fn parse(query: Option<&'q str>) -> Result<Self, Refusal> {
        let mut parameters: Vec<(&str, std::borrow::Cow<'_, str>)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(32) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                percent_decode_str(value).decode_utf8().map_err(|_| malformed("The query is not UTF-8."))?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(malformed("A query parameter is given twice."));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The parameter as a whole number: decimal digits and nothing else.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] when it is absent, negative, or not a number below 2^63.
    pub fn number(&self, name: &'static str) -> Result<u64, Refusal> {
        let text = self.text(name)?;
        let digits = !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number =
            digits.then(|| text.parse::<i64>().ok()).flatten().and_then(|number| u64::try_from(number).ok());
        number
            .ok_or_else(|| malformed(format!("The parameter `{name}` must be a whole number, zero or more.")))
    }

    /// The parameter's text.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] when it is absent.
    pub fn text(&self, name: &'static str) -> Result<&str, Refusal> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_ref())
            .ok_or_else(|| malformed(format!("The parameter `{name}` is missing.")))
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::RequestMalformed).because(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collapsed(uri: &str) -> String {
        let uri: Uri = uri.parse().expect("a URI");
        collapse_slashes(&uri).map_or_else(|| uri.to_string(), |uri| uri.to_string())
    }

    #[test]
    fn slashes_collapse_in_front_and_behind_the_logs_base_only() {
        for (given, taken) in [
            ("/api/v2/signingCert", "/api/v2/signingCert"),
            ("//api/v2/signingCert", "/api/v2/signingCert"),
            ("////api/v2/signingCert?x=1", "/api/v2/signingCert?x=1"),
            ("/ct//checkpoint", "/ct/checkpoint"),
            ("//ct//ct/v1/get-sth", "/ct/ct/v1/get-sth"),
            ("/ct///tile/0/000", "/ct/tile/0/000"),
            ("/ct/tile//0/000", "/ct/tile//0/000"),
            ("/api//v2/signingCert", "/api//v2/signingCert"),
            ("/ctx//a", "/ctx//a"),
            ("http://host//healthz", "http://host/healthz"),
            ("/", "/"),
            ("//", "/"),
        ] {
            assert_eq!(collapsed(given), taken, "{given}");
        }
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        let number = |query: &str| Query::parse(Some(query)).and_then(|query| query.number("n"));
        for (query, expected) in
            [("n=0", 0), ("n=007", 7), ("a=b&n=12&c", 12), ("n=9223372036854775807", i64::MAX as u64)]
        {
            assert_eq!(number(query), Ok(expected), "{query}");
        }
        for query in [
            "",
            "m=1",
            "n",
            "n=",
            "n=-1",
            "n=+1",
            "n= 1",
            "n=1e3",
            "n=0x1",
            "n=1.0",
            "n=9223372036854775808",
            "n=1&n=1",
        ] {
            assert!(number(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_plus_stays_a_plus() {
        let query = Query::parse(Some("hash=a+b%2Bc%20d%3D")).expect("it parses");
        assert_eq!(query.text("hash"), Ok("a+b+c d="));
        assert!(Query::parse(Some("hash=%ff")).is_err());
    }
}
