//! Where each kind of token lives in GitLab's REST API (v4), and what makes one. Numbers and encoded paths only: nothing that comes from
//! outside is put into a URL as it is.

use crate::broker::{Expiry, GitlabVersion, Kind};
use crate::leasing::ports::{Holder, Order};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What may stand in a segment of a path as it is (RFC 3986 §2.3). A slash may not: GitLab takes a whole path as one segment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One segment.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Tokens of service accounts can be listed and revoked by whoever manages the account since this version; before, by administrators.
pub const SERVICE_ACCOUNT_TOKENS: GitlabVersion = GitlabVersion::of(17, 11);

/// A path below `/api/v4/`, and its name in metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Bounded: with the parameters' names.
    pub label: &'static str,
    /// Without a slash at its beginning.
    pub path: String,
    /// Of the query.
    pub query: Vec<(&'static str, String)>,
}

impl Route {
    /// Without a query.
    pub const fn new(label: &'static str, path: String) -> Self {
        Self { label, path, query: Vec::new() }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }
}

/// Where a holder's tokens are.
pub struct Tokens {
    make: (&'static str, String),
    list: (&'static str, String),
    /// By whose number a list is narrowed, where it is not the holder's own.
    of_user: Option<u64>,
    end: (&'static str, String),
    kind: Kind,
}

const PERSONAL: &str = "personal_access_tokens";

impl Tokens {
    /// Of this holder; `None`: it has not the numbers that its kind needs. `by_number`: of service accounts, as administrators reach
    /// every personal token.
    pub fn of(holder: &Holder, by_number: bool) -> Option<Self> {
        let kind = holder.kind;
        let one = |label: [&'static str; 3], path: String| Self {
            make: (label[0], path.clone()),
            list: (label[1], path.clone()),
            of_user: None,
            end: (label[2], path),
            kind,
        };
        let personal = |make: (&'static str, String), user: u64| Self {
            make,
            list: ("GET personal_access_tokens", PERSONAL.into()),
            of_user: Some(user),
            end: ("DELETE personal_access_tokens/:id", PERSONAL.into()),
            kind,
        };
        Some(match (kind, holder.owner.as_slice()) {
            (Kind::Impersonation, [user]) => one(
                [
                    "POST users/:id/impersonation_tokens",
                    "GET users/:id/impersonation_tokens",
                    "DELETE users/:id/impersonation_tokens/:id",
                ],
                format!("users/{user}/impersonation_tokens"),
            ),
            (Kind::Personal | Kind::UserServiceAccount, [user]) => {
                personal(("POST users/:id/personal_access_tokens", format!("users/{user}/{PERSONAL}")), *user)
            }
            (Kind::Project, [project]) => one(
                [
                    "POST projects/:id/access_tokens",
                    "GET projects/:id/access_tokens",
                    "DELETE projects/:id/access_tokens/:id",
                ],
                format!("projects/{project}/access_tokens"),
            ),
            (Kind::Group, [group]) => one(
                [
                    "POST groups/:id/access_tokens",
                    "GET groups/:id/access_tokens",
                    "DELETE groups/:id/access_tokens/:id",
                ],
                format!("groups/{group}/access_tokens"),
            ),
            (Kind::GroupServiceAccount, [group, user]) => {
                let path = format!("groups/{group}/service_accounts/{user}/{PERSONAL}");
                let make = "POST groups/:id/service_accounts/:id/personal_access_tokens";
                if by_number {
                    return Some(personal((make, path), *user));
                }
                one(
                    [
                        make,
                        "GET groups/:id/service_accounts/:id/personal_access_tokens",
                        "DELETE groups/:id/service_accounts/:id/personal_access_tokens/:id",
                    ],
                    path,
                )
            }
            (Kind::ProjectServiceAccount, [project, user]) => {
                let path = format!("projects/{project}/service_accounts/{user}/{PERSONAL}");
                let make = "POST projects/:id/service_accounts/:id/personal_access_tokens";
                if by_number {
                    return Some(personal((make, path), *user));
                }
                one(
                    [
                        make,
                        "GET projects/:id/service_accounts/:id/personal_access_tokens",
                        "DELETE projects/:id/service_accounts/:id/personal_access_tokens/:id",
                    ],
                    path,
                )
            }
            (Kind::ProjectDeploy, [project]) => one(
                [
                    "POST projects/:id/deploy_tokens",
                    "GET projects/:id/deploy_tokens",
                    "DELETE projects/:id/deploy_tokens/:id",
                ],
                format!("projects/{project}/deploy_tokens"),
            ),
            (Kind::GroupDeploy, [group]) => one(
                [
                    "POST groups/:id/deploy_tokens",
                    "GET groups/:id/deploy_tokens",
                    "DELETE groups/:id/deploy_tokens/:id",
                ],
                format!("groups/{group}/deploy_tokens"),
            ),
            (Kind::PipelineTrigger, [project]) => one(
                [
                    "POST projects/:id/triggers",
                    "GET projects/:id/triggers",
                    "DELETE projects/:id/triggers/:id",
                ],
                format!("projects/{project}/triggers"),
            ),
            _ => return None,
        })
    }

    /// Where one is made.
    pub fn make(&self, sudo: Option<&str>) -> Route {
        self.acting(Route::new(self.make.0, self.make.1.clone()), sudo)
    }

    /// Where they are listed, dead ones left out where GitLab can do that. `name`: narrows the list where it can; `None`: all.
    pub fn list(&self, name: Option<&str>, sudo: Option<&str>) -> Route {
        let route = self.acting(Route::new(self.list.0, self.list.1.clone()), sudo);
        let route = match self.kind {
            Kind::PipelineTrigger => route,
            Kind::ProjectDeploy | Kind::GroupDeploy => route.with("active", true),
            _ => route.with("state", "active"),
        };
        let route = match self.of_user {
            Some(user) => route.with("user_id", user),
            None => route,
        };
        match (self.kind, name) {
            // Their lists know nothing of names.
            (Kind::Impersonation | Kind::ProjectDeploy | Kind::GroupDeploy | Kind::PipelineTrigger, _) => {
                route
            }
            // Older versions ignore it, and give the whole list.
            (_, Some(name)) => route.with("search", name),
            (_, None) => route,
        }
    }

    /// Where one is ended.
    pub fn end(&self, id: u64, sudo: Option<&str>) -> Route {
        self.acting(Route::new(self.end.0, format!("{}/{id}", self.end.1)), sudo)
    }

    /// Whoever is acted as is named for impersonation tokens alone: what gitlab-jwt-2-pat's users have set up.
    fn acting(&self, route: Route, sudo: Option<&str>) -> Route {
        match sudo {
            Some(user) if self.kind == Kind::Impersonation => route.with("sudo", user),
            _ => route,
        }
    }
}

/// The parameters of a new token.
pub fn parameters(order: &Order<'_>) -> Value {
    let date = order.expiry.map(Expiry::date);
    match order.holder.kind {
        Kind::PipelineTrigger => json!({ "description": order.name }),
        Kind::ProjectDeploy | Kind::GroupDeploy => {
            let moment = order.expiry.map(|expiry| expiry.moment().to_string());
            json!({ "name": order.name, "scopes": order.scopes, "expires_at": moment })
        }
        Kind::Project | Kind::Group => {
            let level = order.access_level.map(|level| level.number());
            json!({ "name": order.name, "scopes": order.scopes, "access_level": level, "expires_at": date })
        }
        _ => json!({ "name": order.name, "scopes": order.scopes, "expires_at": date }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::AccessLevel;

    fn holder(kind: Kind, owner: &[u64]) -> Holder {
        Holder { kind, path: "p".into(), owner: owner.to_vec() }
    }

    const NUMBERS: fn(Kind) -> &'static [u64] = |kind| match kind {
        Kind::GroupServiceAccount | Kind::ProjectServiceAccount => &[4, 9],
        _ => &[4],
    };

    #[test]
    fn a_path_is_one_segment() {
        assert_eq!(segment("acme/web app"), "acme%2Fweb%20app");
        assert_eq!(segment("a?b#c%2F&é"), "a%3Fb%23c%252F%26%C3%A9");
        assert_eq!(segment("a-b_c.d~1"), "a-b_c.d~1");
    }

    #[test]
    fn every_kind_has_its_places_and_none_without_its_numbers() {
        let expected = [
            (Kind::Impersonation, "users/4/impersonation_tokens", "users/4/impersonation_tokens/7"),
            (Kind::Personal, "users/4/personal_access_tokens", "personal_access_tokens/7"),
            (Kind::Project, "projects/4/access_tokens", "projects/4/access_tokens/7"),
            (Kind::Group, "groups/4/access_tokens", "groups/4/access_tokens/7"),
            (Kind::UserServiceAccount, "users/4/personal_access_tokens", "personal_access_tokens/7"),
            (
                Kind::GroupServiceAccount,
                "groups/4/service_accounts/9/personal_access_tokens",
                "groups/4/service_accounts/9/personal_access_tokens/7",
            ),
            (
                Kind::ProjectServiceAccount,
                "projects/4/service_accounts/9/personal_access_tokens",
                "projects/4/service_accounts/9/personal_access_tokens/7",
            ),
            (Kind::ProjectDeploy, "projects/4/deploy_tokens", "projects/4/deploy_tokens/7"),
            (Kind::GroupDeploy, "groups/4/deploy_tokens", "groups/4/deploy_tokens/7"),
            (Kind::PipelineTrigger, "projects/4/triggers", "projects/4/triggers/7"),
        ];
        assert_eq!(expected.map(|row| row.0).as_slice(), Kind::ALL);
        for (kind, make, end) in expected {
            let tokens = Tokens::of(&holder(kind, NUMBERS(kind)), false).unwrap();
            assert_eq!(tokens.make(None).path, make);
            assert_eq!(tokens.end(7, None).path, end);
            for wrong in [&[][..], &[1, 2, 3]] {
                assert!(Tokens::of(&holder(kind, wrong), false).is_none(), "{kind}");
            }
        }
    }

    #[test]
    fn tokens_of_service_accounts_can_be_reached_by_their_number() {
        for kind in [Kind::GroupServiceAccount, Kind::ProjectServiceAccount] {
            let tokens = Tokens::of(&holder(kind, &[4, 9]), true).unwrap();
            assert!(tokens.make(None).path.contains("/service_accounts/9/"));
            assert_eq!(tokens.end(7, None).path, "personal_access_tokens/7");
            let query = tokens.list(Some("n"), None).query;
            assert!(query.contains(&("user_id", "9".into())) && query.contains(&("search", "n".into())));
        }
    }

    #[test]
    fn lists_are_narrowed_by_the_name_where_gitlab_knows_how() {
        for kind in Kind::ALL {
            let tokens = Tokens::of(&holder(*kind, NUMBERS(*kind)), false).unwrap();
            let narrowed = tokens.list(Some("n"), None).query.contains(&("search", "n".into()));
            let has_no_names = matches!(
                kind,
                Kind::Impersonation | Kind::ProjectDeploy | Kind::GroupDeploy | Kind::PipelineTrigger
            );
            assert_eq!(narrowed, !has_no_names, "{kind}");
            assert!(tokens.list(None, None).query.iter().all(|(name, _)| *name != "search"), "{kind}");
        }
    }

    #[test]
    fn only_impersonation_tokens_are_asked_for_as_somebody_else() {
        for kind in Kind::ALL {
            let tokens = Tokens::of(&holder(*kind, NUMBERS(*kind)), false).unwrap();
            let routes =
                [tokens.make(Some("bot")), tokens.list(Some("n"), Some("bot")), tokens.end(1, Some("bot"))];
            let acts = routes.iter().map(|route| route.query.contains(&("sudo", "bot".into())));
            let expected = *kind == Kind::Impersonation;
            assert_eq!(acts.collect::<Vec<_>>(), [expected; 3], "{kind}");
        }
    }

    #[test]
    fn each_kind_is_asked_for_in_its_own_terms() {
        let expiry = Expiry::parse("2026-06-30");
        let scopes = ["api".to_owned()];
        for kind in Kind::ALL {
            let holder = holder(*kind, NUMBERS(*kind));
            let access_level = kind.has_access_level().then_some(AccessLevel::Reporter);
            let order = Order { holder: &holder, name: "n", scopes: &scopes, access_level, expiry };
            let found = parameters(&order);
            let expected = match kind {
                Kind::PipelineTrigger => json!({ "description": "n" }),
                Kind::ProjectDeploy | Kind::GroupDeploy => {
                    json!({ "name": "n", "scopes": ["api"], "expires_at": "2026-06-30T00:00:00Z" })
                }
                Kind::Project | Kind::Group => {
                    json!({ "name": "n", "scopes": ["api"], "access_level": 20, "expires_at": "2026-06-30" })
                }
                _ => json!({ "name": "n", "scopes": ["api"], "expires_at": "2026-06-30" }),
            };
            assert_eq!(found, expected, "{kind}");
        }
    }
}
