//! What the documents promise is proven by tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The documents that name tests.
const DOCUMENTS: [&str; 2] = ["docs/SECURITY.md", "docs/DURABILITY.md"];

#[test]
fn every_test_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<_> = ["src", "tests"]
        .iter()
        .flat_map(|top| rust_files(&root.join(top)))
        .map(|path| (path.clone(), fs::read_to_string(path).expect("UTF-8")))
        .collect();
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).expect(document);
        let names = named_tests(&text);
        assert!(!names.is_empty(), "{document} names no test");
        missing.extend(names.into_iter().filter(|name| !exists(&sources, name)).map(str::to_owned));
    }
    assert!(missing.is_empty(), "no such test: {missing:#?}");
    assert!(!exists(&sources, "docs::every_test_that_nobody_wrote"));
    assert!(!exists(&sources, "nowhere::every_test_that_the_documents_name_exists"));
    assert!(exists(&sources, "docs::every_test_that_the_documents_name_exists"));
    // A function that stands here and is no test.
    assert!(!exists(&sources, "docs::named_tests"));
}

/// What stands in backquotes and looks like `module::a_test`.
fn named_tests(text: &str) -> Vec<&str> {
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|it| it.contains("::") && it.split("::").all(is_name)).collect()
}

/// Whether a test of that name stands in the module before it: a file, or a directory, of that name.
fn exists(sources: &[(PathBuf, String)], name: &str) -> bool {
    let parts: Vec<_> = name.rsplit("::").collect();
    let [function, module, ..] = parts.as_slice() else { return false };
    sources.iter().any(|(path, source)| {
        let in_module = path.with_extension("").components().any(|part| part.as_os_str() == *module);
        in_module && has_test(source, function)
    })
}

/// Whether a function of that name has `#[test]` or `#[tokio::test…]` among the attributes and comments above it.
fn has_test(source: &str, function: &str) -> bool {
    let definitions = [format!("fn {function}("), format!("async fn {function}(")];
    let lines: Vec<_> = source.lines().map(str::trim_start).collect();
    let is_definition = |line: &str| definitions.iter().any(|it| line.starts_with(it));
    let is_test = |at: usize| {
        // Up to the end of what stands before, whose attributes are not this one's.
        let mut above = lines.iter().take(at).rev().take_while(|line| !line.is_empty() && **line != "}");
        above.any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
    };
    lines.iter().enumerate().any(|(at, line)| is_definition(line) && is_test(at))
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("target"));
    paths
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false if path.extension().is_some_and(|it| it == "rs") => vec![path],
            false => vec![],
        })
        .collect()
}
