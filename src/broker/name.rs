//! How a token is called at GitLab.
//!
//! Every name ends with the lease's, so no two are the same, and a token can be found again by its name when nothing else is known of it.

use super::braces::{Piece, split};
use super::{Kind, LeaseId};
use crate::spelling::nearest;

/// The longest name that GitLab takes, in characters.
const LONGEST: usize = 255;
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

    /// The name of a lease's token: at most 255 characters, all of them ASCII. What a claim has in it that is neither letter, digit nor
    /// one of `. _ - / @ : + , =` is an underscore.
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
        name.truncate(LONGEST - ENDING);
        format!("{name}-{id}")
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
