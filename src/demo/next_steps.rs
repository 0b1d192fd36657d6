//! What `demo --serve` prints: commands to copy, ours and those of other tools, that work as they stand.

use super::narrator::Narrator;
use super::story::{ARTIFACT_IDENTITY, Stage};
use crate::cli::CliError;

/// Prints them.
pub fn print(stage: &Stage, narrator: &mut Narrator<'_>) -> Result<(), CliError> {
    let program =
        std::env::current_exe().map_or_else(|_| "countersign".to_owned(), |path| path.display().to_string());
    let ca = stage.config.base_url();
    let log = stage.config.log_url();
    let gitlab = stage.gitlab.url();
    let identity = format!("{gitlab}/{ARTIFACT_IDENTITY}");
    let directory = stage.directory.display();

    narrator.step("It stays up: try it in another terminal")?;
    narrator.text(&format!(
        "Everything is in {directory}; the token there is always fresh, and {gitlab}/demo/token gives another one. Ctrl-C \
         ends it all, and removes the directory."
    ))?;
    commands(narrator, "First", &[format!("cd {directory}"), format!("alias countersign={program}")])?;
    commands(
        narrator,
        "What the token says, and what it would get",
        &[format!("countersign token --token-file token --issuer {gitlab}")],
    )?;
    commands(
        narrator,
        "A certificate of your own, a signature, and their verification",
        &[
            format!("countersign request --url {ca} --token-file token --out mine"),
            "countersign inspect mine/certificate.pem".to_owned(),
            "openssl dgst -sha256 -sign mine/key.pem -out mine/artifact.sig artifact.txt".to_owned(),
            "countersign verify mine/certificate.pem --trusted-root trusted_root.json --online \\".to_owned(),
            format!("  --certificate-identity {identity} \\"),
            format!("  --certificate-oidc-issuer {gitlab} --signature mine/artifact.sig artifact.txt"),
        ],
    )?;
    commands(
        narrator,
        "The log",
        &[
            "countersign log checkpoint --config ca/countersign.yaml".to_owned(),
            "countersign log prove mine/certificate.pem --config ca/countersign.yaml".to_owned(),
            "countersign log audit --config ca/countersign.yaml".to_owned(),
            format!("curl {log}/checkpoint"),
        ],
    )?;
    commands(
        narrator,
        "A bundle, which verifies for years",
        &[
            "countersign sign artifact.txt --bundle mine/artifact.sigstore.json --token-file token \\"
                .to_owned(),
            "  --trusted-root trusted_root.json --signing-config signing_config.json".to_owned(),
            "countersign verify --bundle mine/artifact.sigstore.json --trusted-root trusted_root.json \\"
                .to_owned(),
            format!("  --certificate-identity {identity} \\"),
            format!("  --certificate-oidc-issuer {gitlab} artifact.txt"),
        ],
    )?;
    commands(
        narrator,
        "Trust material, from the server and by its digest",
        &[
            "countersign trust digests --config ca/countersign.yaml".to_owned(),
            format!("curl -fsSO {ca}/trust/trusted_root.json"),
            format!("curl -fsS {ca}/trust/SHA256SUMS | sha256sum -c --ignore-missing"),
        ],
    )?;
    commands(narrator, "cosign 3, unchanged", &[
        "SIGSTORE_ID_TOKEN=$(cat token) cosign sign-blob artifact.txt --yes \\".to_owned(),
        "  --trusted-root trusted_root.json --signing-config signing_config.json --bundle cosign.sigstore.json".to_owned(),
        "cosign verify-blob artifact.txt --bundle cosign.sigstore.json --trusted-root trusted_root.json \\".to_owned(),
        format!("  --certificate-identity {identity} \\"),
        format!("  --certificate-oidc-issuer {gitlab}"),
    ])?;
    commands(narrator, "A fresh token", &[format!("curl -s {gitlab}/demo/token > token")])
}

fn commands(narrator: &mut Narrator<'_>, title: &str, lines: &[String]) -> Result<(), CliError> {
    narrator.line("")?;
    narrator.line(&format!("# {title}"))?;
    for line in lines {
        narrator.line(line)?;
    }
    Ok(())
}
