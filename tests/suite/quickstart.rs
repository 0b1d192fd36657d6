//! docs/QUICKSTART.md, line by line: its commands as an operator runs them, the scripts of its jobs as a runner does.
//!
//! The names in it stand for others here: the CA is on loopback, with a TLS certificate of its own, and so is the GitLab.

use crate::support::secrets;
use countersign::demo::gitlab::Gitlab;
use countersign::server::environment::Environment;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DOCUMENT: &str = include_str!("../../docs/QUICKSTART.md");

/// The contents of the document's blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What stands behind the prompts, each with its further lines.
fn commands() -> Vec<String> {
    let texts = blocks("console").into_iter().flat_map(|block| block.split("$ ").skip(1));
    texts.map(|text| text.trim().to_owned()).collect()
}

/// A job's `before_script`, its own or that of `.trust`, and its `script`, as YAML folds them.
fn job(name: &str) -> Vec<String> {
    let yaml = blocks("yaml").concat();
    let of = |name: &str| -> String {
        let rest = yaml.split(&format!("\n{name}:\n")).nth(1).unwrap_or_else(|| panic!("no job {name}"));
        rest.lines().take_while(|line| line.starts_with(' ')).map(|line| format!("{line}\n")).collect()
    };
    let own = of(name);
    let before = if own.contains("extends: .trust") { of(".trust") } else { String::new() };
    let mut scripts = Vec::new();
    for text in [before, own] {
        let mut inside = false;
        for line in text.lines() {
            if !line.starts_with("    ") {
                inside = line.trim_end().ends_with("script:");
            } else if let (true, Some(item)) = (inside, line.strip_prefix("    - ")) {
                scripts.push(item.to_owned());
            } else if let (true, Some(last)) = (inside, scripts.last_mut()) {
                *last = format!("{last} {}", line.trim());
            }
        }
    }
    scripts
}

struct Machine {
    directory: TempDir,
    gitlab: Gitlab,
    address: String,
    server: Option<Child>,
}

impl Machine {
    /// The document's names in this machine's words.
    fn here(&self, text: &str) -> String {
        text.replace("https://gitlab.com", self.gitlab.url())
            .replace(r"https://gitlab\.com", self.gitlab.url())
            .replace("https://ca.example.com", &format!("https://{}", self.address))
            .replace("0.0.0.0:443", &self.address)
    }

    /// Runs a line as `sh` does, with the binary under its name, and answers what it printed.
    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let binary = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap().to_owned();
        let path = std::env::join_paths(
            std::iter::once(binary)
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let output = Command::new("sh")
            .args(["-e", "-c", &self.here(line)])
            .current_dir(self.directory.path())
            .env("PATH", path.unwrap())
            .env("SSL_CERT_FILE", self.path("server.pem"))
            .env("CURL_CA_BUNDLE", self.path("server.pem"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        secrets::check("a command of the document", format!("{out}{err}").as_bytes());
        if output.status.success() { Ok(out) } else { Err(format!("{line}: {out}{err}")) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `countersign serve`, once it is up.
    fn serve(&mut self, line: &str) {
        let arguments: Vec<_> = line.split_whitespace().skip(1).collect();
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(arguments)
            .current_dir(self.directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let up =
            BufReader::new(child.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("is up"));
        self.server = Some(child);
        assert!(up, "{line}");
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_here(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn every_command_and_every_script_of_the_quick_start_does_what_it_says() {
    if !is_here("curl") || !is_here("sha256sum") {
        return eprintln!("skipped: curl or sha256sum is not installed");
    }
    let runtime = Runtime::new().unwrap();
    let gitlab = runtime.block_on(Gitlab::start(Environment::system().clock)).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut machine = Machine { directory: TempDir::new().unwrap(), gitlab, address, server: None };
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(machine.path("server.pem"), certificate.cert.pem()).unwrap();
    fs::write(machine.path("server.key"), certificate.signing_key.serialize_pem()).unwrap();
    Command::new("chmod").args(["600"]).arg(machine.path("server.key")).status().unwrap();

    let commands = commands();
    let [init @ .., serve, digests, later] = commands.as_slice() else { panic!("{commands:#?}") };
    assert_eq!(init.len(), 4, "{init:#?}");
    assert!(
        serve.starts_with("countersign serve") && later.starts_with("countersign verify"),
        "{commands:#?}"
    );
    for line in init {
        machine.run(line, &[]).unwrap();
    }
    // Two servers of one machine have one operators' port unless they are told otherwise.
    let file = machine.path("ca/countersign.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("listen: 127.0.0.1:2112", "listen: 127.0.0.1:0")).unwrap();
    machine.serve(serve);
    let printed = machine.run(digests, &[]).unwrap();
    let digest = |name: &str| {
        let line = printed.lines().find(|line| line.ends_with(&format!("  {name}"))).expect(name);
        line.split(' ').next().unwrap().to_owned()
    };

    let url = format!("https://{}", machine.address);
    let (root, config) = (digest("trusted_root.json"), digest("signing_config.v0.2.json"));
    let token = machine.gitlab.token(&machine.gitlab.claims());
    secrets::note_sent(token.as_bytes());
    let (server, project) =
        (machine.gitlab.url().to_owned(), format!("{}/my-group/my-project", machine.gitlab.url()));
    let mut variables = vec![
        ("CA", url.as_str()),
        ("TRUSTED_ROOT_SHA256", &root),
        ("SIGNING_CONFIG_SHA256", &config),
        ("CI_SERVER_URL", &server),
        ("CI_PROJECT_URL", &project),
        ("CI_DEFAULT_BRANCH", "main"),
    ];
    for (name, scripts) in [("build", 2), ("sign", 5), ("verify", 5)] {
        let lines = job(name);
        assert_eq!(lines.len(), scripts, "{name}: {lines:#?}");
        let mut variables = variables.clone();
        // GitLab gives a token to the job that asks for one.
        if name == "sign" {
            variables.push(("SIGSTORE_ID_TOKEN", &token));
        }
        for line in lines {
            machine.run(&line, &variables).unwrap();
        }
    }
    let fetch = DOCUMENT.split("one line for each file: `").nth(1).unwrap().split('`').next().unwrap();
    machine.run(fetch, &variables).unwrap();
    // Another digest ends the job before it has anything.
    variables[1].1 = &config;
    let refused = job("sign").iter().map(|line| machine.run(line, &variables)).find(Result::is_err);
    assert!(refused.unwrap().unwrap_err().contains("did NOT match"));
    machine.run(fetch, &variables).unwrap_err();

    // With no server at all, years later as well.
    machine.stop();
    machine.run(later, &[]).unwrap();
    fs::write(machine.path("dist/widgets.txt"), "what was changed\n").unwrap();
    machine.run(later, &[]).unwrap_err();
}
