//! Type `kubernetes`: a service account. The SAN names its namespace and itself.

use super::claim::ClaimReader;
use super::extensions::identity_extensions;
use super::kind::registered_claims;
use super::{IdentityType, Named, SubjectAltName};
use crate::condition::{Member, Record};
use crate::refusal::Refusal;
use crate::token::Claims;

pub(super) const NAME: &str = "kubernetes";

/// The rules for service accounts; there is nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct KubernetesRules;

impl IdentityType for KubernetesRules {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Namespace and name are what Kubernetes allows (DNS labels and subdomains, RFC 1123), so neither can pretend to be more
    /// of the URI than it is.
    fn claims(&self) -> Record {
        // An object: that it is there, and nothing else, can be asked.
        registered_claims([("kubernetes.io", Member::record(Record::default(), true))])
    }

    fn named(&self, issuer: &str, claims: &Claims) -> Result<Named, Refusal> {
        let claims = ClaimReader::new(claims, NAME);
        let sub = claims.sub()?;
        let kubernetes = claims.object("kubernetes.io")?;
        let account = kubernetes.object("serviceaccount")?;
        let pod = kubernetes.object("pod")?;
        for name in ["name", "uid"] {
            pod.optional(name)?;
        }
        account.optional("uid")?;
        let namespace = kubernetes.required("namespace")?;
        if !is_dns_subdomain(namespace) {
            return Err(kubernetes.invalid("namespace", "It must be a name that Kubernetes allows."));
        }
        let name = account.required("name")?;
        if !is_dns_subdomain(name) {
            return Err(account.invalid("name", "It must be a name that Kubernetes allows."));
        }
        let uri = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{name}");
        Ok(Named::new(issuer, SubjectAltName::Uri(uri), identity_extensions(issuer, sub, []), sub))
    }
}

/// RFC 1123 §2.1 as Kubernetes has it: labels of lower-case letters, digits and inner hyphens, joined by dots.
fn is_dns_subdomain(name: &str) -> bool {
    let edge = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|b| edge(b) || *b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
