//! Where a command finds its ID token, and what it may read of it before anybody verified it.
//!
//! A token never comes from the command line itself, where every user of the machine could see it.

use super::{CliError, files};
use crate::token::MAX_TOKEN_BYTES;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The variable in which a GitLab job finds its token, under the name that Sigstore's clients look for.
pub const TOKEN_VARIABLE: &str = "SIGSTORE_ID_TOKEN";

/// Where the token comes from.
#[derive(Debug, clap::Args)]
pub struct TokenSource {
    /// File with the ID token; `-` is standard input [default: the variable SIGSTORE_ID_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl TokenSource {
    /// The token's text without the white space around it.
    pub fn read(&self) -> Result<Zeroizing<String>, CliError> {
        read_from(self.token_file.as_deref(), TOKEN_VARIABLE, "sigstore")
    }
}

/// The token's text, from the file, or from this variable, for which a job asks with this audience.
pub fn read_from(file: Option<&Path>, variable: &str, audience: &str) -> Result<Zeroizing<String>, CliError> {
    let text = match file {
        Some(path) => from_file(path)?,
        None => Zeroizing::new(std::env::var(variable).unwrap_or_default()),
    };
    let token = Zeroizing::new(text.trim().to_owned());
    if token.is_empty() {
        return Err(CliError::usage(match file {
            Some(path) => format!("{} holds no token", path.display()),
            None => format!(
                "no ID token: {variable} is not set. In .gitlab-ci.yml the job asks for one with\n  \
                 id_tokens:\n    {variable}:\n      aud: {audience}\n\
                 Elsewhere give a file with --token-file, or `--token-file -` for standard input."
            ),
        }));
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(CliError::refused(format!(
            "the token has {} bytes; no ID token is larger than {} KiB",
            token.len(),
            MAX_TOKEN_BYTES / 1024
        )));
    }
    Ok(token)
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let bytes = Zeroizing::new(files::read(path, "the ID token")?);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(CliError::refused("the ID token is not text")),
    }
}

/// The claims of a token that nobody verified: good to be shown as such, and to find out what it asks for.
pub fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let mut segments = token.split('.');
    let (_, payload, _) = (segments.next()?, segments.next()?, segments.next()?);
    match serde_json::from_slice(&super::encoding::from_base64url(payload)?).ok()? {
        Value::Object(claims) => Some(claims),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_from_the_second_of_three_segments() {
        // {"sub":"project_path:a/b:ref_type:branch:ref:main"}
        let token = "e30.eyJzdWIiOiJwcm9qZWN0X3BhdGg6YS9iOnJlZl90eXBlOmJyYW5jaDpyZWY6bWFpbiJ9.AA";
        let claims = unverified_claims(token).expect("claims");
        assert_eq!(claims["sub"], "project_path:a/b:ref_type:branch:ref:main");
        for bad in ["", "a.b", "e30.!!.AA", "e30.MQ.AA", "e30.e30"] {
            assert!(unverified_claims(bad).is_none(), "{bad}");
        }
    }
}
