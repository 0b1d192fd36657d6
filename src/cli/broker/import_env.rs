//! `countersign broker import-env`: the environment of a gitlab-jwt-2-pat as a configuration of ours.
//!
//! Its names are those of ASP.NET's configuration: case makes no difference, `__` stands between a section and a key. What it does not have and
//! ours demands (an audience, and whose jobs) is asked for by options, or left to be filled in, with a value that admits nobody.

use crate::broker::{Kind, LONGEST_TTL, SHORTEST_TTL, check_path, check_scopes};
use crate::cli::{CliError, Output, files};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The name of the role, and of the target.
const ROLE: &str = "jwt-2-pat";
const TARGET: &str = "default";
/// What gitlab-jwt-2-pat is shipped with.
const SHIPPED_HOST: &str = "https://gitlab.example.com";
const SHIPPED_SUDO: &str = "your-service-user";
const SHIPPED_SCOPE: &str = "write_repository";
const SHIPPED_SECONDS: u64 = 60;
/// What has to be filled in. No group can be called so.
const FILL_IN: &str = "<your group>";
const FILL_IN_AUDIENCE: &str = "https://countersign.example.com/broker";
/// The largest file of variables, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Turn the environment of a gitlab-jwt-2-pat into a configuration
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Turn the environment of a gitlab-jwt-2-pat into a configuration.\n\n\
        Its variables (JWT__AUTHORITY, GITLAB__HOSTNAME, GITLAB__TOKENCONFIG__SCOPES__0, …) are read from this process's environment, or from a file \
        of NAME=VALUE lines. What comes out are the sections issuers and broker, in YAML, with a comment wherever something is different here: \
        put them into countersign.yaml. The API key is never printed: it stays in its variable, or goes into a file.",
    after_long_help = "Examples:\n  \
        countersign broker import-env --file jwt2pat.env --group acme --audience https://ca.example.com/broker\n  \
        docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' jwt2pat |\n    countersign broker import-env --file -\n\n\
        Exit codes: 0 done (standard error says what has to be looked at), 1 a value cannot be taken over."
)]
pub struct ImportEnvArgs {
    /// Read NAME=VALUE lines from here (-: standard input) instead of this process's environment
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The audience that jobs will ask for: their id_tokens need it
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// The group whose projects' jobs get tokens
    #[arg(long, value_name = "PATH")]
    pub group: Option<String>,
}

/// Runs the command.
pub fn run(args: ImportEnvArgs, output: &mut Output) -> Result<(), CliError> {
    let variables = match &args.file {
        Some(file) => {
            let bytes = files::read_up_to(file, "the variables", MOST_BYTES)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| CliError::refused("the variables are not UTF-8 text"))?;
            from_lines(&text)
        }
        None => Variables::of(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        ),
    };
    let imported =
        import(&variables, args.audience.as_deref(), args.group.as_deref()).map_err(CliError::refused)?;
    if !output.is_json() {
        for note in &imported.notes {
            output.note(format_args!("note: {note}"));
        }
    }
    output.json(&json!({ "yaml": imported.yaml, "notes": imported.notes }))?;
    output.say(imported.yaml.trim_end())
}

/// Variables by their names in upper case; an empty one counts as none.
#[derive(Debug, Default)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(pairs.map(|(name, value)| (name.to_uppercase(), value)).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Lines as Docker's `--env-file` has them, and as shells export them.
fn from_lines(text: &str) -> Variables {
    let pair = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        Some((name.trim().to_owned(), value.to_owned()))
    };
    Variables::of(text.lines().filter_map(pair))
}

/// What comes out.
struct Imported {
    yaml: String,
    /// What somebody has to look at.
    notes: Vec<String>,
}

fn import(variables: &Variables, audience: Option<&str>, group: Option<&str>) -> Result<Imported, String> {
    let mut notes = Vec::new();
    let mut yaml = String::from(
        "# From the environment of a gitlab-jwt-2-pat: for countersign.yaml, beside ca, log and data.\n",
    );
    // Writing to a text does not fail.
    let mut line = |text: &str| {
        let _ = writeln!(yaml, "{text}");
    };
    if let Some(urls) = variables.get("URLS").or_else(|| variables.get("ASPNETCORE_URLS")) {
        line(&format!(
            "# It listened on {}, in the clear. Here: listen, with tls, or behind a proxy that ends TLS.",
            shown(urls)
        ));
    }
    let issuer = issuer(variables, &mut line, &mut notes)?;
    line("broker:");
    line(
        "  # It had no audience at all, and took every token of the instance. Here jobs have to ask for this one:",
    );
    line("  #   id_tokens: { CI_JOB_JWT: { aud: … } }, and send that token as before, to GET /token.");
    match audience {
        Some(audience) => line(&format!("  audience: {}", shown(audience))),
        None => {
            notes.push(format!("broker.audience: {FILL_IN_AUDIENCE} is an example; write your own, and into the jobs' id_tokens"));
            line(&format!("  audience: {FILL_IN_AUDIENCE} # an example: write your own"));
        }
    }
    line(&format!("  compat: {{ role: {ROLE} }}"));
    target(variables, &issuer, &mut line, &mut notes)?;
    role(variables, group, &mut line, &mut notes)?;
    left_out(variables, &mut notes);
    Ok(Imported { yaml, notes })
}

/// `issuers:`, of JWT__AUTHORITY and JWT__ISSUER: its `iss`.
fn issuer(
    variables: &Variables,
    line: &mut impl FnMut(&str),
    notes: &mut Vec<String>,
) -> Result<String, String> {
    let authority = url(variables, "JWT__AUTHORITY", SHIPPED_HOST)?;
    line("issuers:");
    // A token's iss is a URL since GitLab has id_tokens; before, it was a bare host.
    let issuer = match variables.get("JWT__ISSUER") {
        Some(issuer) if issuer.contains("://") => url(variables, "JWT__ISSUER", SHIPPED_HOST)?,
        Some(issuer) => {
            line(&format!(
                "  # JWT__ISSUER was {}, which CI_JOB_JWT had: id_tokens have the URL.",
                shown(issuer)
            ));
            authority.clone()
        }
        None => authority.clone(),
    };
    line("  # Certificates have another audience than the broker below. Whoever must not have any: policy.");
    line(&format!("  - url: {}", shown(&issuer)));
    line("    type: gitlab-pipeline");
    if issuer != authority {
        notes.push(format!(
            "issuers[0].url is JWT__ISSUER, and keys are looked for there; JWT__AUTHORITY was {authority}: where only that has them, name them by jwks_file"
        ));
        line(&format!("    instance_url: {}", shown(&authority)));
    }
    if issuer.starts_with("http://") && !is_loopback(&issuer) {
        notes.push("issuers[0].url is plain http, over which keys can be forged".to_owned());
        line("    insecure_http: true");
    }
    Ok(issuer)
}

/// `broker.targets:`, of GITLAB__HOSTNAME, GITLAB__APIKEY and GITLAB__SUDOUSERLOGIN.
fn target(
    variables: &Variables,
    issuer: &str,
    line: &mut impl FnMut(&str),
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let host = url(variables, "GITLAB__HOSTNAME", SHIPPED_HOST)?;
    let authority = url(variables, "JWT__AUTHORITY", SHIPPED_HOST)?;
    line("  targets:");
    line(&format!("    - name: {TARGET}"));
    line(&format!("      url: {}", shown(&host)));
    if Url::parse(&authority).ok() != Url::parse(&host).ok() {
        notes.push(format!(
            "JWT__AUTHORITY and GITLAB__HOSTNAME differ, and the configuration is refused until you say that {issuer} and {host} are one GitLab: if \
             they are, take the # from broker.targets[0].issuer; if not, correct the two, since a job would get the token of whoever has its \
             user's number at the other one"
        ));
        line(
            "      # JWT__AUTHORITY and GITLAB__HOSTNAME differ. Only you know whether both are one GitLab: if so, take the # away.",
        );
        line(&format!("      # issuer: {}", shown(issuer)));
    }
    if host.starts_with("http://") && !is_loopback(&host) {
        notes.push(
            "broker.targets[0].url is plain http: the API key and every token go over it in the clear"
                .to_owned(),
        );
        line("      allow_http: true");
    }
    line(
        "      # An administrator's, as before. A file is better, since others see a process's environment: { file: gitlab.token }",
    );
    line("      token: { env: GITLAB__APIKEY }");
    if variables.get("GITLAB__APIKEY").is_none() {
        notes.push("GITLAB__APIKEY is not set here; the server needs it".to_owned());
    }
    match variables.get("GITLAB__SUDOUSERLOGIN") {
        Some(user) if user != SHIPPED_SUDO => {
            check_path(Kind::Personal, user).map_err(|fault| format!("GITLAB__SUDOUSERLOGIN {fault}"))?;
            line(&format!("      sudo_user: {}", shown(user)));
        }
        _ => {}
    }
    Ok(())
}

/// `broker.roles:`, of GITLAB__TOKENCONFIG.
fn role(
    variables: &Variables,
    group: Option<&str>,
    line: &mut impl FnMut(&str),
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let scopes = scopes(variables)?;
    let names: Vec<_> = scopes.iter().map(|scope| shown(scope)).collect();
    line("  roles:");
    line(&format!("    - name: {ROLE}"));
    line("      kind: impersonation");
    line(&format!("      scopes: [{}]", names.join(", ")));
    line("      # Revoked so long after it was made, whether the server was restarted or not.");
    line(&format!("      ttl: {}s", ttl(variables, notes)?.as_secs()));
    line("      # It took a job's token any number of times.");
    line("      max_per_token: 20");
    line(
        "      # It impersonated administrators too, whoever they are: whoever made one start a job had the whole instance.",
    );
    line("      # allow_admin: true");
    line(
        "      # It gave every job of the instance a token. Here a role says whose jobs: name groups or projects.",
    );
    let group = match group {
        Some(group) => {
            check_path(Kind::Group, group).map_err(|fault| format!("--group {fault}"))?;
            group
        }
        None => {
            notes
                .push(format!("broker.roles[0].when admits nobody: write your groups in place of {FILL_IN}"));
            FILL_IN
        }
    };
    let condition =
        format!("claims.namespace_path == \"{group}\" || claims.namespace_path.startsWith(\"{group}/\")");
    line(&format!("      when: '{condition}'"));
    Ok(())
}

fn scopes(variables: &Variables) -> Result<Vec<String>, String> {
    const PREFIX: &str = "GITLAB__TOKENCONFIG__SCOPES__";
    let mut numbered = Vec::new();
    for (name, value) in &variables.0 {
        if let Some(number) = name.strip_prefix(PREFIX) {
            let number: u32 = number.parse().map_err(|_| format!("{name} has no number at its end"))?;
            numbered.push((number, value.trim().to_owned()));
        }
    }
    numbered.sort();
    let mut scopes: Vec<String> = Vec::new();
    for (_, scope) in numbered {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        scopes.push(SHIPPED_SCOPE.to_owned());
    }
    match check_scopes(Kind::Impersonation, &scopes, None).first() {
        Some(fault) => Err(format!("GITLAB__TOKENCONFIG__SCOPES: {fault}")),
        None => Ok(scopes),
    }
}

fn ttl(variables: &Variables, notes: &mut Vec<String>) -> Result<Duration, String> {
    const NAME: &str = "GITLAB__TOKENCONFIG__REVOKESECONDS";
    let seconds = match variables.get(NAME) {
        Some(text) => text.trim().parse().map_err(|_| format!("{NAME} is no whole number of seconds"))?,
        None => SHIPPED_SECONDS,
    };
    let asked = Duration::from_secs(seconds);
    let ttl = asked.clamp(SHORTEST_TTL, LONGEST_TTL);
    if ttl != asked {
        notes.push(format!(
            "broker.roles[0].ttl is {}s, where {NAME} was {seconds}: 10s to 24h is possible",
            ttl.as_secs()
        ));
    }
    Ok(ttl)
}

/// What has no place here, and names that nothing is known of.
fn left_out(variables: &Variables, notes: &mut Vec<String>) {
    const TAKEN: [&str; 6] = [
        "JWT__AUTHORITY",
        "JWT__ISSUER",
        "GITLAB__HOSTNAME",
        "GITLAB__APIKEY",
        "GITLAB__SUDOUSERLOGIN",
        "GITLAB__TOKENCONFIG__REVOKESECONDS",
    ];
    for (name, value) in &variables.0 {
        let note = match name.as_str() {
            name if TAKEN.contains(&name) || name.starts_with("GITLAB__TOKENCONFIG__SCOPES__") => continue,
            "JWT__VALIDATE__AUDIENCE" => "has no counterpart: the audience is always checked",
            "JWT__DEBUG" if value.eq_ignore_ascii_case("false") => continue,
            "JWT__DEBUG" => "has no counterpart: no token is ever logged",
            name if name.starts_with("LOGGING__") => {
                "is not taken over; see `countersign serve --help` for the log"
            }
            name if name.starts_with("JWT__") || name.starts_with("GITLAB__") => {
                "is not known, and not taken over"
            }
            _ => continue,
        };
        notes.push(format!("{name} {note}"));
    }
}

/// A URL of http or https, without a slash at its end. Its value may be a secret by mistake, and is not repeated.
fn url(variables: &Variables, name: &str, shipped: &str) -> Result<String, String> {
    let text = variables.get(name).unwrap_or(shipped).trim().trim_end_matches('/');
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match Url::parse(text) {
        Ok(url) if is_plain(&url) => Ok(text.to_owned()),
        _ => {
            Err(format!("{name} is no URL with http:// or https://, a host, and neither user name nor query"))
        }
    }
}

fn is_loopback(url: &str) -> bool {
    use url::Host;
    match Url::parse(url).as_ref().map(Url::host) {
        Ok(Some(Host::Domain(name))) => name == "localhost",
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

/// A text as YAML in double quotes, which is JSON.
fn shown(text: &str) -> String {
    json!(text).to_string()
}
