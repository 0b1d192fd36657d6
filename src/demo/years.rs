//! Signatures for years: a job signs with `countersign sign`, and its bundles verify when the certificate has long expired.

use super::narrator::Narrator;
use super::story::{ARTIFACT, Stage, expected};
use crate::bundle::dsse::statement;
use crate::bundle::{
    Artifact, Bundle, Content, Expected, Identity, Problem, Signatory, TrustedRoot, VerificationError,
    Verified, Verifier,
};
use crate::certificate::TimestampChain;
use crate::cli::client::{Http, Patience};
use crate::cli::files::{self, Existing};
use crate::cli::leaf::Leaf;
use crate::cli::material::TrustMaterial;
use crate::cli::report::Checks;
use crate::cli::signing::{Services, Signing};
use crate::cli::signing_key::SigningKey;
use crate::cli::signing_services::{log, log_request, message_signature, timestamp_request};
use crate::cli::{CliError, bundle, request, verification};
use crate::config::{TimestampsConfig, TimestampsMaterial};
use crate::environment::{Clock, UnixMillis};
use crate::server::environment::Environment;
use crate::signer::TimestampKey;
use crate::timestamping::{Alone, Surroundings, TimestampAuthority};
use crate::transparency::sha256;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The bundles' files: the signed file's, and the attestation's.
const BUNDLES: [&str; 2] = ["artifact.sigstore.json", "attestation.sigstore.json"];
/// What the attestation says of the file.
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// The job signs the file and a statement about it.
pub async fn job_signs(
    stage: &Stage,
    environment: &Environment,
    token: &str,
    narrator: &mut Narrator<'_>,
) -> Result<(), CliError> {
    narrator.step("The job signs for years: countersign sign")?;
    let config = files::read(&stage.file("signing_config.json"), "the signing config")?;
    let signing = Signing {
        http: Http::new(None)?,
        services: Services::configured(&config, environment.clock.now()).map_err(broken)?,
        patience: Patience { retries: 2 },
        environment: environment.clone(),
        verifier: verifier(stage)?,
    };
    let predicate = json!({ "buildDefinition": { "buildType": "https://example.com/demonstration" } });
    let about = statement("artifact.txt", &sha256(ARTIFACT), PREDICATE_TYPE, &predicate);
    for (name, payload) in BUNDLES.into_iter().zip([None, Some(about)]) {
        let (made, _) = signing.sign(token, ARTIFACT, payload, &|_| {}).await?;
        files::write(&stage.file(name), made.to_json().as_bytes(), false, Existing::Keep)?;
    }
    narrator.text(&format!(
        "A signature beside a certificate is good for ten minutes. So `sign` has a timestamp put on it, and an entry written \
         into the signature log, and makes one file of all that: a bundle. {} is for artifact.txt itself, {} for a \
         statement about it (in-toto: how it was built).",
        BUNDLES[0], BUNDLES[1]
    ))
}

/// Somebody verifies both, now.
pub fn somebody_verifies(stage: &Stage, narrator: &mut Narrator<'_>) -> Result<Value, CliError> {
    narrator.step("Somebody verifies both: countersign verify --bundle")?;
    let mut documents = Vec::new();
    for name in BUNDLES {
        let verified = verified(stage, name, ARTIFACT, signatory(stage))?.map_err(broken)?;
        narrator.text(&format!("{name}:"))?;
        narrator.checks(&bundle::checks(&verified))?;
        documents.push(bundle::document(&verified));
    }
    Ok(Value::from(documents))
}

/// The same a year later: the certificate by itself is worth nothing then, the bundles are what they were.
pub fn a_year_later(
    stage: &Stage,
    leaf: &Leaf,
    now: UnixMillis,
    narrator: &mut Narrator<'_>,
) -> Result<(), CliError> {
    narrator.step("A year later")?;
    let later = now.plus(YEAR);
    narrator.text(&format!("It is {later}. The certificate alone has long expired:"))?;
    let mut material = TrustMaterial::default();
    material.add_trusted_root(&stage.file("trusted_root.json"))?;
    let mut checks = Checks::default();
    verification::chain(&mut checks, leaf, &material, (later, "a year later"));
    narrator.checks(&checks)?;
    if checks.failures() != ["validity"] {
        return Err(failed("an expired certificate was accepted"));
    }
    narrator.text(
        "The bundles verify as on the first day. `verify --bundle` asks no clock: what counts is the second that the \
         timestamp states, and whether certificate, CA and keys were good then.",
    )?;
    let mut checks = Checks::default();
    for name in BUNDLES {
        let verified = verified(stage, name, ARTIFACT, signatory(stage))?.map_err(broken)?;
        let signed: Vec<_> = verified.times().iter().map(|time| time.at.to_string()).collect();
        checks.ok("bundle", format!("{name}: signed at {}", signed.join(", ")));
    }
    narrator.checks(&checks)
}

/// Another file, another signatory, no timestamp, and the job's own key in the hands of a thief a year later.
pub async fn nothing_else_passes(
    stage: &Stage,
    environment: &Environment,
    (key, leaf): (&SigningKey, &Leaf),
    narrator: &mut Narrator<'_>,
) -> Result<(), CliError> {
    narrator.step("What must fail does, then as now")?;
    narrator.text(
        "A changed file; another project's pipeline; a bundle without its timestamp; and a thief who has kept the job's key, \
         and signs with it a year later, with a timestamp of that day and an entry in the log:",
    )?;
    let changed = [ARTIFACT, b"and more"].concat();
    let message = BUNDLES[0];
    let other = Expected::Exactly(format!("{}/another-group/another-project", stage.gitlab.url()));
    let somebody = match signatory(stage) {
        Signatory::Identity(identity) => Signatory::Identity(Identity { name: other, ..identity }),
        key @ (Signatory::Key(_) | Signatory::Admitted) => key,
    };
    let text = files::read(&stage.file(message), "the bundle")?;
    let mut document: Value = serde_json::from_slice(&text).unwrap_or_default();
    document["verificationMaterial"]["timestampVerificationData"] = json!(null);
    let timeless = Bundle::from_json(document.to_string().as_bytes()).map_err(broken)?;
    let stolen = signed_later(stage, environment, key, leaf, &changed).await?;

    let verifier = verifier(stage)?;
    let own = signatory(stage);
    let tries = [
        ("file", Problem::ArtifactMismatch, verified(stage, message, &changed, own.clone())?),
        ("identity", Problem::IdentityMismatch, verified(stage, message, ARTIFACT, somebody)?),
        ("time", Problem::TimeMissing, verifier.verify(&timeless, Artifact::Octets(ARTIFACT), &own)),
        ("thief", Problem::CertificateNotValid, verifier.verify(&stolen, Artifact::Octets(&changed), &own)),
    ];
    let mut checks = Checks::default();
    for (name, problem, outcome) in tries {
        match outcome {
            Err(error) if error.problem() == problem => checks.failed(name, error.to_string()),
            Err(error) => return Err(failed(&format!("refused for another reason than it should: {error}"))),
            Ok(_) => return Err(failed("something was accepted that must not be")),
        }
    }
    narrator.checks(&checks)?;
    narrator.text("All four failed, as they should.")
}

/// What a thief can make a year later, with all that the services give to whoever holds the key.
async fn signed_later(
    stage: &Stage,
    environment: &Environment,
    key: &SigningKey,
    leaf: &Leaf,
    content: &[u8],
) -> Result<Bundle, CliError> {
    let (digest, signature) = (sha256(content), key.sign(content));
    let timestamp = timestamped_later(stage, environment, &signature)?;
    let request = log_request(&digest, &signature, leaf.der());
    let http = Http::new(None)?;
    let entry = log(&http, &stage.config.base_url(), &request, Patience { retries: 2 }, |_| {}).await;
    let entry = entry.map_err(|error| request::explain(&error))?;
    let content = Content::Message(message_signature(&digest, &signature));
    Bundle::new(leaf.der().to_vec(), content, vec![timestamp], vec![entry]).map_err(broken)
}

/// A timestamp as the CA's own authority makes it when its clock is a year ahead.
fn timestamped_later(
    stage: &Stage,
    environment: &Environment,
    signature: &[u8],
) -> Result<Vec<u8>, CliError> {
    let Some(TimestampsConfig { material, policy, accuracy, .. }) = &stage.config.timestamps else {
        return Err(failed("there is no timestamp authority"));
    };
    let TimestampsMaterial::Files { certificates, key } = material else {
        return Err(failed("the timestamp authority has no files"));
    };
    let words = |error: &dyn std::fmt::Display| failed(&error.to_string());
    let pem = files::read(certificates, "the timestamp authority's chain")?;
    let chain = TimestampChain::from_pem(&pem).map_err(|error| words(&error))?;
    let key = TimestampKey::open(key, &chain).map_err(|error| words(&error))?;
    let around = Surroundings {
        signer: Arc::new(key),
        attested: Arc::new(Alone),
        clock: Arc::new(Later(environment.clock.clone())),
        stopwatch: environment.stopwatch.clone(),
        random: environment.random.clone(),
        observer: Arc::new(Alone),
    };
    let authority =
        TimestampAuthority::new(chain, *policy, *accuracy, around).map_err(|error| words(&error))?;
    let request = timestamp_request(signature, &[0x40; 8]).map_err(|error| words(&error))?;
    authority.answer_der(&request).map_err(|refusal| words(&refusal.reason().code()))
}

/// A clock that is a year ahead.
struct Later(Arc<dyn Clock>);

impl Clock for Later {
    fn now(&self) -> UnixMillis {
        self.0.now().plus(YEAR)
    }
}

fn verifier(stage: &Stage) -> Result<Verifier, CliError> {
    let text = files::read(&stage.file("trusted_root.json"), "the trusted root")?;
    TrustedRoot::from_json(&text).map(Verifier::new).map_err(broken)
}

/// What the bundle in that file says, for this content and that signatory.
fn verified(
    stage: &Stage,
    name: &str,
    content: &[u8],
    who: Signatory,
) -> Result<Result<Verified, VerificationError>, CliError> {
    let text = files::read(&stage.file(name), "the bundle")?;
    let bundle = Bundle::from_json(&text).map_err(broken)?;
    Ok(verifier(stage)?.verify(&bundle, Artifact::Octets(content), &who))
}

fn signatory(stage: &Stage) -> Signatory {
    let expected = expected(stage);
    Signatory::Identity(Identity {
        name: Expected::Exactly(expected.san),
        issuer: Expected::Exactly(expected.issuer),
    })
}

fn broken(error: VerificationError) -> CliError {
    failed(&error.to_string())
}

fn failed(words: &str) -> CliError {
    CliError::refused(format!("the demonstration failed: {words}"))
}
