//! `countersign init DIR`: keys, certificates and a commented configuration, all or nothing.

mod rules;

use super::{CliError, Output, config as check};
use crate::config::{self, Config, ConfigErrors, DEFAULT_LISTEN, Finding, Warning};
use crate::environment::UnixMillis;
use crate::server::environment::Environment;
use crate::signer::ceremony::{IssuingCurve, NewCa, Options};
use clap::ValueEnum;
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The commented sample; what is chosen on the command line is put into it.
const TEMPLATE: &str = include_str!("../../config/countersign.yaml");
const DEFAULT_ADMIN: &str = "127.0.0.1:2112";
/// Everything that is made below the directory, and that must not be there before.
const MADE: [&str; 10] = [
    "countersign.yaml",
    "fulcio.yaml",
    "ca/chain.pem",
    "ca/key.pem",
    "ca/root-key.pem",
    "log/key.pem",
    "log/signatures.pem",
    "timestamps/chain.pem",
    "timestamps/key.pem",
    "data",
];

/// Make a CA: its keys, its certificates and a commented configuration
#[derive(Clone, Debug, clap::Args)]
#[command(
    long_about = "Make a CA: its keys, its certificates and a commented configuration.\n\n\
        DIR then has\n  \
        countersign.yaml   the configuration; every key is explained in it\n  \
        ca/chain.pem       the issuing certificate, then the root\n  \
        ca/key.pem         the issuing certificate's key\n  \
        ca/root-key.pem    the root's key: move it to a place that is offline\n  \
        log/key.pem        the log's key\n  \
        log/signatures.pem the signature log's key\n  \
        timestamps/        the timestamp authority's chain.pem and key.pem\n  \
        data/              the logs, empty\n  \
        fulcio.yaml        a copy of the file given with --fulcio-config\n\n\
        Keys are readable for their owner alone. Nothing that exists is ever overwritten; when something goes wrong, \
        nothing is left behind.",
    after_long_help = "Examples:\n  \
        countersign init ca\n  \
        countersign init ca --gitlab https://gitlab.com --group acme --group acme-labs/tools\n  \
        countersign init ca --gitlab https://gitlab.com --gitlab https://gitlab.example.com:8443/gitlab\n  \
        countersign init ca --fulcio-config fulcio-config.yaml --public-url https://fulcio.example.com\n\n\
        Exit codes: 0 it is made, 1 it could not be, 78 the configuration was refused."
)]
pub struct InitArgs {
    /// The directory to make it in
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The GitLab instances, as their tokens' `iss` has them.
    #[arg(
        long,
        value_name = "URL",
        help = "A GitLab whose pipelines get certificates, as its tokens' iss has it; can be given many times \
                [default: https://gitlab.com, unless --fulcio-config is given]"
    )]
    pub gitlab: Vec<String>,
    /// The groups whose projects get certificates, with their subgroups.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = rules::group,
        help = "A group, by its path, whose projects and subgroups get certificates, and nobody else at the given GitLabs; can be \
                given many times. Without it everybody there does"
    )]
    pub group: Vec<String>,
    /// A Fulcio identity configuration, which is copied into DIR
    #[arg(long, value_name = "FILE")]
    pub fulcio_config: Option<PathBuf>,
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    pub listen: String,
    /// Where operators connect
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADMIN)]
    pub admin: String,
    /// What clients call the CA, without a slash at its end [default: http://{listen}]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The issuing key's algorithm; the root has P-384 in either case
    #[arg(long, value_enum, default_value_t)]
    pub algorithm: Algorithm,
    /// The organization in the names of the certificates
    #[arg(long, value_name = "NAME", default_value = "countersign")]
    pub organization: String,
}

/// The issuing key's algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// ECDSA P-256: fast
    #[default]
    P256,
    /// ECDSA P-384: as strong as the root
    P384,
}

impl InitArgs {
    /// What `countersign init DIR` alone does.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            gitlab: Vec::new(),
            group: Vec::new(),
            fulcio_config: None,
            listen: DEFAULT_LISTEN.to_owned(),
            admin: DEFAULT_ADMIN.to_owned(),
            public_url: None,
            algorithm: Algorithm::default(),
            organization: Options::default().organization,
        }
    }
}

/// What was made.
pub struct Made {
    /// The configuration's file.
    pub file: PathBuf,
    /// What it says, checked.
    pub config: Config,
    /// What its author should look at.
    pub warnings: Vec<Warning>,
}

/// Makes a CA and says what comes next.
pub fn run(args: InitArgs, output: &mut Output) -> Result<(), CliError> {
    let made = create(&args, Environment::system().clock.now())?;
    for warning in &made.warnings {
        check::show_warning(warning, output);
    }
    let directory = args.directory.display();
    let file = made.file.display();
    output.json(&json!({
        "directory": directory.to_string(),
        "config": file.to_string(),
        "url": made.config.base_url(),
        "log": { "url": made.config.log_url(), "origin": made.config.log.embedded().map(|log| &log.origin) },
        "root_key": args.directory.join("ca/root-key.pem").display().to_string(),
        "warnings": made.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))?;
    output.say(format_args!(
        "A new CA: {directory}\n\n\
         Next:\n  \
         countersign serve --config {file}\n  \
         countersign trust root --config {file} > trusted_root.json\n  \
         countersign trust signing-config --config {file} > signing_config.json\n\n\
         The key {directory}/ca/root-key.pem is needed again only for the next issuing certificate: move it to a place that is\n\
         offline, and keep a copy. Keep copies of {file} and the other keys; `countersign backup` copies the logs."
    ))
}

/// Makes a CA: everything, or an error and nothing.
pub fn create(args: &InitArgs, now: UnixMillis) -> Result<Made, CliError> {
    let directory = args.directory.as_path();
    refuse_to_overwrite(directory)?;
    if !args.group.is_empty() && args.gitlab.is_empty() && args.fulcio_config.is_some() {
        return Err(CliError::usage("--group is for the GitLabs of --gitlab; name one".to_owned()));
    }
    let fulcio = args.fulcio_config.as_deref().map(read_fulcio).transpose()?;
    let issuing_curve = match args.algorithm {
        Algorithm::P256 => IssuingCurve::P256,
        Algorithm::P384 => IssuingCurve::P384,
    };
    let options = Options { organization: args.organization.clone(), issuing_curve };
    let ca = NewCa::make(&options, now).map_err(|error| CliError::usage(error.to_string()))?;

    let mut files = Files::default();
    let written = write(&mut files, args, &ca, fulcio.as_deref());
    written
        .map_err(|(path, error)| CliError::refused(format!("cannot write {}: {error}", path.display())))?;
    let file = directory.join("countersign.yaml");
    let (config, warnings) = Config::load(&file).map_err(|errors| refused(args, &errors))?;
    files.keep();
    Ok(Made { file, config, warnings })
}

/// By the options that were given: the file of the lines is gone.
fn refused(args: &InitArgs, errors: &ConfigErrors) -> CliError {
    let (mut said, mut listed) = (String::new(), Vec::new());
    for Finding { file, key, message, .. } in errors.findings() {
        let (option, message) = (option_of(args, key), without_line(message, file));
        said.push_str(&format!("\n{option}: {message}"));
        listed.push(json!({ "option": option, "message": message }));
    }
    CliError::configuration(format!("the configuration would be refused, so nothing was made{said}"))
        .with_json(json!({ "ok": false, "errors": listed, "warnings": [] }))
        .with_advice("Give `init` other options.")
}

/// Without the line of the file that a message may name: of another entry.
fn without_line(message: &str, file: &Path) -> String {
    match message.split_once(&format!(" at {}:", file.display())) {
        Some((before, after)) => [before, after.trim_start_matches(|c: char| c.is_ascii_digit())].concat(),
        None => message.to_owned(),
    }
}

/// What a key of the configuration was made of; the key itself where that is the template.
fn option_of<'k>(args: &InitArgs, key: &'k str) -> &'k str {
    let end = key.find(['.', '[']).unwrap_or(key.len());
    match key.get(..end).unwrap_or(key) {
        "public_url" => "--public-url",
        "listen" => "--listen",
        "log" | "signature_log" if args.public_url.is_some() => "--public-url",
        "log" | "signature_log" => "--listen",
        "admin" => "--admin",
        "issuers" => "--gitlab",
        "policy" => "--group",
        "identity_config" => "--fulcio-config",
        _ => key,
    }
}

type Written = Result<(), (PathBuf, io::Error)>;

fn write(files: &mut Files, args: &InitArgs, ca: &NewCa, fulcio: Option<&[u8]>) -> Written {
    let directory = args.directory.as_path();
    for made in
        [directory.to_owned(), directory.join("ca"), directory.join("log"), directory.join("timestamps")]
    {
        files.directory(made)?;
    }
    files.file(directory.join("ca/chain.pem"), 0o644, ca.chain().as_bytes())?;
    files.file(directory.join("ca/key.pem"), 0o600, ca.issuing_key.as_bytes())?;
    files.file(directory.join("ca/root-key.pem"), 0o600, ca.root_key.as_bytes())?;
    files.file(directory.join("log/key.pem"), 0o600, ca.log_key.as_bytes())?;
    files.file(directory.join("log/signatures.pem"), 0o600, ca.signature_log_key.as_bytes())?;
    files.file(directory.join("timestamps/chain.pem"), 0o644, ca.timestamps_chain().as_bytes())?;
    files.file(directory.join("timestamps/key.pem"), 0o600, ca.timestamps_key.as_bytes())?;
    if let Some(fulcio) = fulcio {
        files.file(directory.join("fulcio.yaml"), 0o644, fulcio)?;
    }
    files.file(directory.join("countersign.yaml"), 0o644, configuration(args).as_bytes())?;
    files.directory(directory.join("data"))
}

/// The template with what was chosen.
fn configuration(args: &InitArgs) -> String {
    let base = args.public_url.clone().unwrap_or_else(|| args.listen.clone());
    let origin = format!("{}/ct", config::without_scheme(&base));
    let url = args.public_url.clone().unwrap_or_else(|| format!("http://{}", args.listen));
    let host = config::bare_host(&url).unwrap_or_else(|| args.listen.clone());
    let mut text = TEMPLATE
        .replace("\nlisten: 127.0.0.1:5555\n", &format!("\nlisten: {}\n", yaml(&args.listen)))
        .replace("\n  listen: 127.0.0.1:2112\n", &format!("\n  listen: {}\n", yaml(&args.admin)))
        .replace("\n  origin: 127.0.0.1:5555/ct\n", &format!("\n  origin: {}\n", yaml(&origin)))
        .replace("\n  origin: 127.0.0.1\n", &format!("\n  origin: {}\n", yaml(&host)));
    if let Some(url) = &args.public_url {
        let line = format!("\npublic_url: {}\n", yaml(url));
        text = text.replace("\n# public_url: https://ca.example.com\n", &line);
    }
    if args.fulcio_config.is_some() {
        text = text.replace("\n# identity_config: fulcio.yaml\n", "\nidentity_config: fulcio.yaml\n");
    }
    rules::put(args, issuers(args, text))
}

/// The template's one issuer, for each GitLab; commented out where there is none.
fn issuers(args: &InitArgs, text: String) -> String {
    const LINES: [&str; 3] = ["issuers:\n", "  - url: https://gitlab.com\n", "    type: gitlab-pipeline\n"];
    const AUDIENCE: &str = "    audience: sigstore\n";
    let template = LINES.concat();
    match args.gitlab.split_last() {
        None if args.fulcio_config.is_some() => {
            let commented: String = LINES.iter().map(|line| format!("# {line}")).collect();
            text.replace(&template, &commented).replace(AUDIENCE, &format!("# {AUDIENCE}"))
        }
        None => text,
        // The last one comes with the template's comments.
        Some((last, others)) => {
            let entry = |url: &String| format!("  - url: {}\n    type: gitlab-pipeline\n", yaml(url));
            let others: String = others.iter().map(|url| entry(url) + AUDIENCE).collect();
            text.replace(&template, &format!("issuers:\n{others}{}", entry(last)))
        }
    }
}

/// A string as YAML: plain where that is safe, in double quotes (JSON's are YAML's) elsewhere.
fn yaml(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.contains('.')
        && !text.ends_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:/-".contains(c))
        && text.parse::<f64>().is_err();
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn refuse_to_overwrite(directory: &Path) -> Result<(), CliError> {
    let there: Vec<_> = MADE
        .iter()
        .map(|name| directory.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("\n  {}", path.display()))
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    Err(CliError::refused(format!(
        "there is a CA here already, and nothing of it is overwritten; take another directory, or remove:{}",
        there.concat()
    )))
}

/// The file's content, checked under its own name, so that errors name what the operator gave.
fn read_fulcio(file: &Path) -> Result<Vec<u8>, CliError> {
    config::check_identity_config(file).map_err(|errors| check::refused(&errors))?;
    fs::read(file)
        .map_err(|error| CliError::configuration(format!("{} cannot be read: {error}", file.display())))
}

/// What was made so far; removed again unless it is kept.
#[derive(Default)]
struct Files {
    made: Vec<PathBuf>,
}

impl Files {
    /// A directory for its owner alone, with the parents that are missing; one that is there is taken as it is.
    fn directory(&mut self, path: PathBuf) -> Written {
        let missing: Vec<_> = path
            .ancestors()
            .skip(1)
            .take_while(|parent| !parent.as_os_str().is_empty() && !parent.exists())
            .collect();
        for parent in missing.into_iter().rev() {
            fs::create_dir(parent).map_err(|error| (parent.to_owned(), error))?;
            self.made.push(parent.to_owned());
        }
        match make_directory(&path) {
            Ok(()) => {
                self.made.push(path);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err((path, error)),
        }
    }

    fn file(&mut self, path: PathBuf, mode: u32, content: &[u8]) -> Written {
        match open_new(&path, mode) {
            Ok(mut file) => {
                self.made.push(path.clone());
                file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| (path, error))
            }
            Err(error) => Err((path, error)),
        }
    }

    fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            // What cannot be removed stays; the error that led here is the one to tell.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn open_new(path: &Path, mode: u32) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()).collect()
    }

    #[test]
    fn without_choices_the_configuration_is_the_sample() {
        assert_eq!(configuration(&InitArgs::new("ca".into())), TEMPLATE);
    }

    #[test]
    fn every_choice_finds_its_place_in_the_template() {
        let args = InitArgs {
            gitlab: vec!["https://gitlab.com".into(), "https://gitlab.example.com:8443/gitlab".into()],
            group: vec!["acme".into(), "Labs/tools.v2".into()],
            fulcio_config: Some("f.json".into()),
            listen: "[::1]:80".into(),
            admin: "127.0.0.1:81".into(),
            public_url: Some("https://ca.example.org".into()),
            ..InitArgs::new("ca".into())
        };
        assert_eq!(
            lines(&configuration(&args)),
            [
                "listen: \"[::1]:80\"",
                "public_url: https://ca.example.org",
                "admin:",
                "  listen: 127.0.0.1:81",
                "data: data",
                "ca:",
                "  certificates: ca/chain.pem",
                "  signer:",
                "    file:",
                "      key: ca/key.pem",
                "  validity: 10m",
                "log:",
                "  mode: embedded",
                "  key: log/key.pem",
                "  origin: ca.example.org/ct",
                "signature_log:",
                "  key: log/signatures.pem",
                "  origin: ca.example.org",
                "  admit: own",
                "timestamps:",
                "  certificates: timestamps/chain.pem",
                "  key: timestamps/key.pem",
                "issuers:",
                "  - url: https://gitlab.com",
                "    type: gitlab-pipeline",
                "    audience: sigstore",
                "  - url: https://gitlab.example.com:8443/gitlab",
                "    type: gitlab-pipeline",
                "    audience: sigstore",
                "identity_config: fulcio.yaml",
                "policy:",
                "  rules:",
                "    - name: group acme",
                "      issuers: [https://gitlab.com, https://gitlab.example.com:8443/gitlab]",
                "      when: claims.namespace_path == \"acme\" || claims.namespace_path.startsWith(\"acme/\")",
                "      effect: allow",
                "      message: Only projects of acme, Labs/tools.v2 get certificates here.",
                "    - name: group Labs/tools.v2",
                "      issuers: [https://gitlab.com, https://gitlab.example.com:8443/gitlab]",
                "      when: claims.namespace_path == \"Labs/tools.v2\" || claims.namespace_path.startsWith(\"Labs/tools.v2/\")",
                "      effect: allow",
                "      message: Only projects of acme, Labs/tools.v2 get certificates here.",
                "extensions:",
                "  gitlab_claims: true",
            ]
        );
    }

    #[test]
    fn rules_for_groups_with_long_paths_have_names_of_their_own() {
        let mut args = InitArgs::new("ca".into());
        args.gitlab = vec!["https://gitlab.com".into()];
        args.group = vec!["2".into(), "x".repeat(51), "y".repeat(51)];
        let text = configuration(&args);
        let names: Vec<_> =
            lines(&text).into_iter().filter_map(|line| line.strip_prefix("    - name: ")).collect();
        assert_eq!(names, ["group 2", "\"group #2\"", "\"group #3\""]);
    }

    #[test]
    fn a_fulcio_file_alone_leaves_no_issuers() {
        let args = InitArgs { fulcio_config: Some("f.yaml".into()), ..InitArgs::new("ca".into()) };
        let text = configuration(&args);
        assert!(lines(&text).contains(&"identity_config: fulcio.yaml"));
        assert!(!lines(&text).iter().any(|line| line.contains("issuers") || line.contains("gitlab.com")));
    }

    #[test]
    fn strings_that_yaml_would_read_otherwise_are_quoted() {
        for (text, written) in [
            ("https://gitlab.com", "https://gitlab.com"),
            ("127.0.0.1:5555", "127.0.0.1:5555"),
            ("5555", "\"5555\""),
            ("1.5", "\"1.5\""),
            ("a.b:", "\"a.b:\""),
            ("x\ny: z", "\"x\\ny: z\""),
            ("https://a.b #c", "\"https://a.b #c\""),
            ("true", "\"true\""),
        ] {
            assert_eq!(yaml(text), written);
        }
    }
}
