//! The demonstration itself: the stage (a GitLab, a CA, a directory) and what happens on it.

use super::gitlab::Gitlab;
use super::narrator::Narrator;
use super::years;
use crate::cli::client::{CaClient, Http, Patience, Proof, SigningRequest};
use crate::cli::files::{self, Existing};
use crate::cli::init::{self, InitArgs};
use crate::cli::leaf::{Leaf, extension_name, extension_value};
use crate::cli::log_reader::LogReader;
use crate::cli::material::TrustMaterial;
use crate::cli::report::Checks;
use crate::cli::signing_key::SigningKey;
use crate::cli::trust;
use crate::cli::verification::{self, ExpectedIdentity};
use crate::cli::{CliError, encoding, inspect, request, serve};
use crate::config::Config;
use crate::identity::extensions::ClaimsArc;
use crate::server::Running;
use crate::server::environment::Environment;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// What the job signs.
pub const ARTIFACT: &[u8] = b"What a CI job built.\n";
/// Who signs it, below the GitLab's URL.
pub const ARTIFACT_IDENTITY: &str = "my-group/my-project//.gitlab-ci.yml@refs/heads/main";

/// A GitLab and a CA, both up.
pub struct Stage {
    /// Where everything lies.
    pub directory: PathBuf,
    /// The make-believe GitLab.
    pub gitlab: Gitlab,
    /// The CA, in this process.
    pub server: Running,
    /// Its configuration.
    pub config: Config,
}

impl Stage {
    /// Makes and starts everything.
    pub async fn set(
        directory: &Path,
        environment: &Environment,
        hand_out_tokens: bool,
        narrator: &mut Narrator<'_>,
    ) -> Result<Self, CliError> {
        narrator.step("A GitLab")?;
        let builder = Gitlab::builder();
        let builder = if hand_out_tokens { builder.hand_out_tokens() } else { builder };
        let gitlab = builder
            .start(environment.clock.clone())
            .await
            .map_err(|error| CliError::refused(format!("cannot start the make-believe GitLab: {error}")))?;
        narrator.text(&format!(
            "{} is make-believe, but it does what a real one does: it signs an ID token for every job, and publishes \
             the key that verifies it.",
            gitlab.url()
        ))?;

        narrator.step("A certificate authority: countersign init, then countersign serve")?;
        let args = InitArgs {
            gitlab: vec![gitlab.url().to_owned()],
            listen: free_address()?,
            admin: free_address()?,
            organization: "countersign demonstration".to_owned(),
            ..InitArgs::new(directory.join("ca"))
        };
        let made = init::create(&args, environment.clock.now())?;
        let config = made.config.clone();
        let server = Running::start(made.config, environment.clone()).await.map_err(serve::start_error)?;
        narrator.text(&format!(
            "`init` made a root, an issuing certificate, a timestamp authority's, keys for two logs, and a configuration that \
             trusts this GitLab alone. `serve` listens on {}; all of it is in the same process, the certificates' log at {}.",
            config.base_url(),
            config.log_url()
        ))?;
        Ok(Self { directory: directory.to_owned(), gitlab, server, config })
    }

    /// Ends everything.
    pub async fn strike(self) {
        self.server.shut_down().await;
    }

    /// Where a file of the demonstration lies.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Tells the story, and answers with its end for programs.
pub async fn tell(
    stage: &Stage,
    environment: &Environment,
    narrator: &mut Narrator<'_>,
) -> Result<Value, CliError> {
    let token = job_begins(stage, narrator)?;
    let (key, leaf) = job_requests(stage, environment, &token, narrator).await?;
    show_identity(&leaf, narrator)?;
    let signature = job_signs(stage, &key, narrator)?;
    write_trust_material(stage, narrator)?;
    let checks = somebody_verifies(stage, &leaf, &signature, narrator).await?;
    nobody_else_passes(stage, &leaf, &signature, narrator)?;
    years::job_signs(stage, environment, &token, narrator).await?;
    let bundles = years::somebody_verifies(stage, narrator)?;
    years::a_year_later(stage, &leaf, environment.clock.now(), narrator)?;
    years::nothing_else_passes(stage, environment, (&key, &leaf), narrator).await?;
    Ok(json!({
        "demonstration": true,
        "certificate": inspect::document(&leaf, &ClaimsArc::default()),
        "checks": checks.to_json(),
        "bundles": bundles,
    }))
}

/// Writes a token of a job that just began.
pub fn write_token(path: &Path, gitlab: &Gitlab) -> Result<String, CliError> {
    let token = gitlab.token(&gitlab.claims());
    files::write(path, token.as_bytes(), true, Existing::Replace)?;
    Ok(token)
}

fn job_begins(stage: &Stage, narrator: &mut Narrator<'_>) -> Result<String, CliError> {
    narrator.step("A CI job begins")?;
    narrator.text(
        "Its .gitlab-ci.yml asks for an ID token with `id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore`. GitLab puts one into \
         the job's environment; among its claims, which the job cannot choose, are these:",
    )?;
    let claims = stage.gitlab.claims();
    let shown =
        ["iss", "aud", "project_path", "ref", "pipeline_source", "job_id", "sha", "ci_config_ref_uri"];
    let rows: Vec<_> = shown.iter().map(|name| (*name, claims[*name].as_str().unwrap_or_default())).collect();
    narrator.table(&rows)?;
    write_token(&stage.file("token"), &stage.gitlab)
}

async fn job_requests(
    stage: &Stage,
    environment: &Environment,
    token: &str,
    narrator: &mut Narrator<'_>,
) -> Result<(SigningKey, Leaf), CliError> {
    narrator.step("The job gets a certificate: countersign request")?;
    let key = SigningKey::generate(&*environment.random);
    let claims = stage.gitlab.claims();
    let signature = key.sign(claims["sub"].as_str().unwrap_or_default().as_bytes());
    let public_key = key.public_key_pem();
    let request =
        SigningRequest { token, proof: Proof::Challenge { public_key: &public_key, signature: &signature } };
    let client = CaClient::new(Http::new(None)?, &stage.config.base_url());
    let chain = client
        .signing_certificate(&request, Patience { retries: 2 }, |_| {})
        .await
        .map_err(|error| request::explain(&error))?;
    let broken = |words: String| CliError::refused(format!("the CA's answer is broken: {words}"));
    let leaf = chain.first().ok_or_else(|| broken("it is empty".to_owned()))?;
    let leaf = Leaf::from_file(leaf.as_bytes()).map_err(broken)?;
    let authorities: String = chain.iter().skip(1).map(|pem| pem.trim_end().to_owned() + "\n").collect();
    files::write(&stage.file("certificate.pem"), leaf.pem().as_bytes(), false, Existing::Keep)?;
    files::write(&stage.file("chain.pem"), authorities.as_bytes(), false, Existing::Keep)?;
    narrator.text(
        "It made a key of its own, signed the token's subject with it to prove that it holds it, and sent both. The CA \
         asked GitLab for its key, verified the token, checked that its claims agree with each other, wrote the \
         issuance into the log and onto the disk, and only then answered:",
    )?;
    for san in leaf.sans() {
        narrator.flush_left(&format!("SAN: {san}"))?;
    }
    let index =
        leaf.log_index().ok_or_else(|| broken("the certificate names no place in the log".to_owned()))?;
    narrator.flush_left(&format!("log index: {index}"))?;
    narrator.table(&[
        ("valid from", leaf.not_before().to_string()),
        ("valid to", leaf.not_after().to_string()),
    ])?;
    Ok((key, leaf))
}

fn show_identity(leaf: &Leaf, narrator: &mut Narrator<'_>) -> Result<(), CliError> {
    narrator.step("What the certificate says: countersign inspect")?;
    narrator.text(
        "The pipeline's identity, for verifiers and policies to go by: first under the names that Sigstore's tools know, \
         then GitLab's claims as they stood in the token.",
    )?;
    let arc = ClaimsArc::default();
    let rows: Vec<_> = leaf
        .identity_extensions()
        .iter()
        .map(|extension| (extension_name(extension, &arc), extension_value(extension)))
        .collect();
    narrator.table(&rows)
}

fn job_signs(stage: &Stage, key: &SigningKey, narrator: &mut Narrator<'_>) -> Result<Vec<u8>, CliError> {
    narrator.step("The job signs what it built")?;
    let signature = key.sign(ARTIFACT);
    files::write(&stage.file("artifact.txt"), ARTIFACT, false, Existing::Keep)?;
    files::write(&stage.file("artifact.sig"), &signature, false, Existing::Keep)?;
    narrator.text(&format!(
        "artifact.txt, ECDSA P-256 over SHA-256: {}. The job throws the key away; nobody has to guard it.",
        encoding::base64(&signature)
    ))?;
    Ok(signature)
}

/// The files that verifiers and clients take.
fn write_trust_material(stage: &Stage, narrator: &mut Narrator<'_>) -> Result<(), CliError> {
    narrator.step("Whom verifiers trust: countersign trust")?;
    let material = trust::load(&stage.config).map_err(CliError::refused)?;
    for (name, document) in [
        ("trusted_root.json", material.trusted_root()),
        ("signing_config.json", material.signing_config()),
        ("client_trust_config.json", material.client_config()),
    ] {
        files::write(&stage.file(name), format!("{document:#}\n").as_bytes(), false, Existing::Keep)?;
    }
    narrator.text(
        "trusted_root.json holds the CA's and the timestamp authority's certificates and the logs' public keys. Verifiers get it \
         once, from somebody they trust or by its digest, and need nothing else.",
    )
}

async fn somebody_verifies(
    stage: &Stage,
    leaf: &Leaf,
    signature: &[u8],
    narrator: &mut Narrator<'_>,
) -> Result<Checks, CliError> {
    narrator.step("Somebody verifies it: countersign verify")?;
    let mut material = TrustMaterial::default();
    material.add_trusted_root(&stage.file("trusted_root.json"))?;
    let mut checks = Checks::default();
    let at = verification::time_of(leaf, None);
    let chain = verification::chain(&mut checks, leaf, &material, at);
    let sct = verification::scts(&mut checks, leaf, chain, &material);
    if let (Some(chain), Some(sct)) = (chain, sct) {
        let log = LogReader::over_http(
            Http::new(None)?,
            &stage.config.log_url(),
            stage.config.log.embedded().map_or("", |log| &log.origin),
            sct.log.spki.clone(),
        );
        let promised = verification::promised(leaf, chain, sct.sct);
        let result = match promised {
            Err(words) => Err(words),
            Ok((leaf_hash, place)) => log.prove(place.index).await.and_then(|proof| {
                let name = stage.file("inclusion_proof.json");
                let text = format!("{:#}\n", proof.to_json());
                files::write(&name, text.as_bytes(), false, Existing::Replace)
                    .map_err(|error| error.to_string())?;
                verification::inclusion(&proof, &leaf_hash, place, sct.log, Some(log.origin()))
            }),
        };
        checks.record("inclusion", result.map(|words| ((), words)));
    }
    verification::identity(&mut checks, leaf, &expected(stage), &ClaimsArc::default());
    checks.record(
        "signature",
        verification::file_signature(leaf, ARTIFACT, signature).map(|words| ((), words)),
    );
    narrator.checks(&checks)?;
    narrator.text(
        "chain: the CA that is trusted issued it. SCT: the log promised to show it. inclusion: the log does, in a tree \
         that it signed. identity: it is this project's pipeline, on this branch. signature: it signed this very file.",
    )?;
    if checks.passed() {
        return Ok(checks);
    }
    Err(CliError::refused(format!("the demonstration failed: {}", checks.failures().join(", "))))
}

/// Another identity and another file must fail.
fn nobody_else_passes(
    stage: &Stage,
    leaf: &Leaf,
    signature: &[u8],
    narrator: &mut Narrator<'_>,
) -> Result<(), CliError> {
    narrator.step("What must fail does")?;
    narrator.text(
        "The same certificate where another project's is expected, and the same signature under a file that somebody \
         changed:",
    )?;
    let mut checks = Checks::default();
    let instance = stage.gitlab.url();
    let other = ExpectedIdentity {
        san: format!("{instance}/another-group/another-project//.gitlab-ci.yml@refs/heads/main"),
        ..expected(stage)
    };
    verification::identity(&mut checks, leaf, &other, &ClaimsArc::default());
    let changed = [ARTIFACT, b"and more"].concat();
    checks.record(
        "signature",
        verification::file_signature(leaf, &changed, signature).map(|words| ((), words)),
    );
    narrator.checks(&checks)?;
    if checks.failures() == ["identity", "signature"] {
        return narrator.text("Both failed, as they should.");
    }
    Err(CliError::refused("the demonstration failed: something was accepted that must not be"))
}

/// What the certificate must say here.
pub fn expected(stage: &Stage) -> ExpectedIdentity {
    ExpectedIdentity {
        san: format!("{}/{ARTIFACT_IDENTITY}", stage.gitlab.url()),
        issuer: stage.gitlab.url().to_owned(),
        extensions: vec![("project_path".to_owned(), "my-group/my-project".to_owned())],
    }
}

/// An address on loopback that nobody has at the moment; the configuration must name the port before it is bound.
fn free_address() -> Result<String, CliError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.to_string())
        .map_err(|error| CliError::refused(format!("no free port on 127.0.0.1: {error}")))
}
