//! An identity configuration of Fulcio, YAML or JSON.

use super::config::{check_findings, with_file};
use countersign::config;

/// As for our own configuration: lines and words.
pub fn target(data: &[u8]) {
    with_file("fulcio.yaml", data, |path| {
        check_findings(path, data, &config::check_identity_config(path));
    });
}
