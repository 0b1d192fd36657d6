//! A configuration file.

use countersign::config::{self, Config, ConfigErrors, Finding};
use std::path::Path;
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory");
}

/// Puts the bytes into a file of this name in a directory of its own.
pub fn with_file(name: &str, data: &[u8], then: impl FnOnce(&Path)) {
    DIRECTORY.with(|directory| {
        let path = directory.path().join(name);
        std::fs::write(&path, data).expect("a file");
        then(&path);
    });
}

/// Every finding names a line of its file and has words; nothing is refused without a reason; what the check lets pass is loaded.
pub fn target(data: &[u8]) {
    with_file("countersign.yaml", data, |path| {
        let checked = config::check(path, false);
        check_findings(path, data, &checked);
        check_findings(path, data, &config::check(path, true));
        let loaded = Config::load(path);
        match &loaded {
            Ok((config, warnings)) => {
                // A file that the check took for Fulcio's has none of our keys.
                assert_eq!(checked.as_ref().ok(), Some(warnings));
                assert!(!config.base_url().ends_with('/'), "{}", config.base_url());
            }
            Err(errors) => check_errors(path, data, errors),
        }
    });
}

/// What findings promise.
pub fn check_findings(path: &Path, data: &[u8], result: &Result<Vec<Finding>, ConfigErrors>) {
    match result {
        Ok(warnings) => warnings.iter().for_each(|finding| check_finding(path, data, finding)),
        Err(errors) => check_errors(path, data, errors),
    }
}

fn check_errors(path: &Path, data: &[u8], errors: &ConfigErrors) {
    assert!(!errors.findings().is_empty(), "refused without a word");
    errors.findings().iter().chain(errors.warnings()).for_each(|finding| check_finding(path, data, finding));
}

fn check_finding(path: &Path, data: &[u8], finding: &Finding) {
    if finding.file == path {
        // YAML counts lines by CR too, and an end after the last line has a number as well.
        let lines = data.iter().filter(|octet| matches!(octet, b'\n' | b'\r')).count() + 2;
        assert!((1..=lines).contains(&finding.line), "line {} of {lines}: {finding}", finding.line);
    }
    // The file may say so itself, and be quoted.
    let quoted =
        data.windows(8).any(|octets| octets == b"foresaw ".as_slice() || octets == b" foresaw".as_slice());
    let unforeseen = finding.message.contains("nobody foresaw") && !quoted;
    assert!(!finding.message.is_empty() && !unforeseen, "{finding}");
    let line = finding.to_string();
    assert!(!line.chars().any(|c| c.is_control()), "a control character: {line:?}");
}
