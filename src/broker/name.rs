//! How a token is called at GitLab.
//!
//! Every name ends with the lease's, so no two are the same, and a token can be found again by its name when nothing else is known of it.

use super::braces::{Piece, split};
use super::{Kind, LeaseId};
use crate::spelling::nearest;

/// The longest name that GitLab takes, in characters.
const LONGEST: usize = 255;
/// The same where the token's name is that of a bot user too: its first word is the user's first name, which ends there.
const LONGEST_OF_BOTS: usize = 127;
/// A hyphen and the lease's name.
const ENDING: usize = 33;
/// The longest template, in octets.
const LONGEST_TEMPLATE: usize = 512;

/// What is wrong with a name's template, in words that follow the key's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameFault(String);

macro_rules! fields {
    ($($name:ident = $code:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Field { $($name,)+ }

        impl Field {
            const ALL: &[Self] = &[$(Self::$name,)+];

            const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

fields! {
    Role = "role";
    Path = "path";
    Scopes = "scopes";
    AccessLevel = "access_level";
    Ttl = "ttl";
    Kind = "kind";
    Target = "target";
    ProjectPath = "project_path";
    JobId = "job_id";
    PipelineId = "pipeline_id";
    Ref = "ref";
    UserLogin = "user_login";
}

/// What a name can be made of.
#[derive(Clone, Copy, Debug)]
pub struct NameFacts<'f> {
    /// The role.
    pub role: &'f str,
    /// Whose token.
    pub path: &'f str,
    /// Joined by `+`.
    pub scopes: &'f [String],
    /// Empty where the kind has none.
    pub access_level: &'f str,
    /// In seconds.
    pub ttl: u64,
    /// The kind.
    pub kind: Kind,
    /// The instance.
    pub target: &'f str,
    /// Who asks.
    pub job: &'f super::Job,
}

/// A checked template: text with names in braces.
#[derive(Clone, Debug)]
pub struct NameTemplate(Vec<Piece<Field>>);

impl NameTemplate {
    /// What a role has that says nothing of it.
    pub const DEFAULT: &str = "{role}-{project_path}";

    /// Checks a template.
    ///
    /// # Errors
    /// It is empty or too long, names something that there is not, or has characters in it that names do not get.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        if text.is_empty() || text.len() > LONGEST_TEMPLATE {
            return Err(NameFault(format!(
                "has {} octets; 1 to {LONGEST_TEMPLATE} are possible",
                text.len()
            )));
        }
        let pieces = split(text, field).map_err(NameFault)?;
        for piece in &pieces {
            if let Piece::Text(text) = piece
                && let Some(odd) = text.chars().find(|character| !is_plain(*character) && *character != ' ')
            {
                return Err(NameFault(format!(
                    "has {odd:?} in it; letters, digits, spaces and . _ - / @ : + , = are possible"
                )));
            }
        }
        if text.trim() != text {
            return Err(NameFault("begins or ends with a space; remove it".to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The name of a lease's token: at most 255 characters, 127 of projects' and groups', all of them ASCII. What is too long is cut before
    /// the lease's name. What a claim has in it that is neither letter, digit nor one of `. _ - / @ : + , =` is an underscore.
    pub fn render(&self, facts: &NameFacts<'_>, id: LeaseId) -> String {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Name(field) => {
                    let value = field.of(facts);
                    name.extend(
                        value.chars().map(|character| if is_plain(character) { character } else { '_' }),
                    );
                }
            }
        }
        // One octet a character.
        name.truncate(longest(facts.kind) - ENDING);
        format!("{name}-{id}")
    }
}

/// The longest name of a token of this kind.
const fn longest(kind: Kind) -> usize {
    match kind {
        Kind::Project | Kind::Group => LONGEST_OF_BOTS,
        _ => LONGEST,
    }
}

impl Field {
    fn of(self, facts: &NameFacts<'_>) -> String {
        let job = facts.job;
        match self {
            Self::Role => facts.role.to_owned(),
            Self::Path => facts.path.to_owned(),
            Self::Scopes => facts.scopes.join("+"),
            Self::AccessLevel => facts.access_level.to_owned(),
            Self::Ttl => facts.ttl.to_string(),
            Self::Kind => facts.kind.code().to_owned(),
            Self::Target => facts.target.to_owned(),
            Self::ProjectPath => job.project_path.clone(),
            Self::JobId => job.job_id.clone(),
            Self::PipelineId => job.pipeline_id.clone(),
            Self::Ref => job.reference.clone(),
            Self::UserLogin => job.user.clone(),
        }
    }
}

fn field(name: &str) -> Result<Field, String> {
    if let Some(field) = Field::ALL.iter().find(|field| field.code() == name) {
        return Ok(*field);
    }
    let known = || Field::ALL.iter().map(|field| field.code());
    let advice = match nearest(name, known(), |_| 2) {
        Some(meant) => format!("did you mean {{{meant}}}?"),
        None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
    };
    let name: String = name.chars().take(64).collect();
    Err(format!("names {name:?}, which tokens' names are not made of; {advice}"))
}

const fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(character, '.' | '_' | '-' | '/' | '@' | ':' | '+' | ',' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Job;

    fn render(template: &str, job: &Job) -> String {
        render_of(Kind::Project, template, job)
    }

    fn render_of(kind: Kind, template: &str, job: &Job) -> String {
        let scopes = ["api".to_owned(), "read_user".to_owned()];
        let facts = NameFacts {
            role: "ci",
            path: "acme/app",
            scopes: &scopes,
            access_level: "reporter",
            ttl: 300,
            kind,
            target: "default",
            job,
        };
        let id = LeaseId::parse(&"0".repeat(32)).expect("an id");
        NameTemplate::parse(template).expect(template).render(&facts, id)
    }

    fn job() -> Job {
        Job {
            project_path: "acme/app".into(),
            job_id: "4".into(),
            pipeline_id: "3".into(),
            reference: "main".into(),
            user: "ada".into(),
            ..Job::default()
        }
    }

    #[test]
    fn names_are_made_of_what_is_known_of_the_job() {
        let zeros = "0".repeat(32);
        for (template, name) in [
            (NameTemplate::DEFAULT, "ci-acme/app"),
            ("bot", "bot"),
            ("for {user_login} of {target}", "for ada of default"),
            ("{kind}:{path}:{scopes}:{access_level}:{ttl}", "project:acme/app:api+read_user:reporter:300"),
            ("{pipeline_id},{job_id}@{ref}", "3,4@main"),
        ] {
            assert_eq!(render(template, &job()), format!("{name}-{zeros}"), "{template}");
        }
    }

    #[test]
    fn what_a_job_is_called_cannot_make_a_name_of_another() {
        let odd = Job { reference: "é\u{202e}\"<\n% x".into(), ..job() };
        assert_eq!(render("{ref}", &odd), format!("_______x-{}", "0".repeat(32)));
    }

    /// GitLab gives a bot its token's name, and no user a first name of more than 127 characters.
    #[test]
    fn no_name_is_longer_than_gitlab_takes_and_the_leases_is_never_cut() {
        let long = Job { reference: "é".repeat(1000), project_path: "a/".repeat(300), ..job() };
        for &kind in Kind::ALL {
            let most = if matches!(kind, Kind::Project | Kind::Group) { 127 } else { 255 };
            for template in ["{ref}", NameTemplate::DEFAULT, "of {ref} {ref}"] {
                let name = render_of(kind, template, &long);
                assert_eq!(name.len(), most, "{kind}");
                assert!(name.ends_with(&format!("-{}", "0".repeat(32))), "{kind}: {name}");
            }
        }
    }

    /// The Vault plugin took empty templates and unknown names, and failed when a token was asked for.
    #[test]
    fn what_no_name_can_be_made_of_is_refused_when_it_is_read() {
        for template in [
            "", " x", "x ", "{", "}", "{}", "{role", "role}", "{{role}}", "{nobody}", "{Role}", "{ role }",
            "a\nb", "a\"b", "é",
        ] {
            assert!(NameTemplate::parse(template).is_err(), "{template:?}");
        }
        assert!(NameTemplate::parse(&"x".repeat(513)).is_err());
        let fault = NameTemplate::parse("{project}").expect_err("refused").to_string();
        assert!(fault.contains("project_path"), "{fault}");
    }
}
