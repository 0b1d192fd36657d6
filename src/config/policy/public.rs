//! Issuers that give tokens to anybody who asks.

/// An issuer with this very URL, and who gets its tokens.
const BY_URL: [(&str, &str); 10] = [
    ("https://gitlab.com", "anybody can have a project there"),
    ("https://token.actions.githubusercontent.com", "anybody can have a repository on GitHub"),
    ("https://accounts.google.com", "anybody can have an account there"),
    (
        "https://oauth2.sigstore.dev/auth",
        "anybody with an account at Google, GitHub or Microsoft can log in there",
    ),
    ("https://github.com/login/oauth", "anybody can have an account there"),
    ("https://login.microsoftonline.com", "anybody can have an account there"),
    ("https://agent.buildkite.com", "anybody can have an organisation there"),
    ("https://oidc.codefresh.io", "anybody can have an account there"),
    ("https://issuer.enforce.dev", "anybody can have an account there"),
    ("https://app.terraform.io", "anybody can have an organisation there"),
];

/// Hosts (those that begin with a dot: and all below) whose patterns stand for everybody's issuers.
const BY_HOST: [(&str, &str); 6] = [
    (".amazonaws.com", "anybody can have a cluster there"),
    ("container.googleapis.com", "anybody can have a cluster there"),
    (".azure.com", "anybody can have a cluster there"),
    ("oidc.circleci.com", "anybody can have an organisation there"),
    ("token.actions.githubusercontent.com", "anybody can have an enterprise there"),
    ("gitlab.com", "anybody can have a project there"),
];

/// Why an issuer's tokens say nothing by themselves; `None`: it is not known to give them to everybody. `label` is its URL or
/// its pattern.
pub fn why_public(label: &str) -> Option<&'static str> {
    let url = label.strip_suffix('/').unwrap_or(label);
    if let Some((_, why)) = BY_URL.iter().find(|(public, _)| *public == url) {
        return Some(why);
    }
    if !label.contains('*') {
        return None;
    }
    let host = label.split_once("://")?.1.split(['/', ':']).next()?;
    let found = BY_HOST
        .iter()
        .find(|(public, _)| host == *public || public.starts_with('.') && host.ends_with(public));
    found.map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::why_public;

    #[test]
    fn public_issuers_are_known_by_their_url_and_their_patterns_by_the_host() {
        for label in [
            "https://gitlab.com",
            "https://gitlab.com/",
            "https://token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com/*",
            "https://oidc.eks.*.amazonaws.com/id/*",
            "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*",
            "https://*.oic.prod-aks.azure.com/*",
            "https://oidc.circleci.com/org/*",
        ] {
            assert!(why_public(label).is_some(), "{label}");
        }
        for label in [
            "https://gitlab.example.com",
            "https://gitlab.com.example.com",
            "https://notgitlab.com",
            "https://token.actions.githubusercontent.com/acme",
            "https://oidc.eks.eu-west-1.amazonaws.com/id/0123",
            "https://*.example.com",
            "https://evilamazonaws.com/*",
            "",
            "*",
        ] {
            assert_eq!(why_public(label), None, "{label}");
        }
    }
}
