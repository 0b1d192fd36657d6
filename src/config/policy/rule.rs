//! One rule.

use super::against::Against;
use super::extension;
use crate::condition::{Condition, Scope};
use crate::config::ca::SHORTEST_VALIDITY;
use crate::config::conditional::{condition, hidden, message};
use crate::config::issuers::subject_mode;
use crate::config::reader::{Field, Section};
use crate::config::values::{self, quoted};
use crate::identity::gitlab::{GitlabRules, SubjectMode};
use crate::identity::types::is_rule_of_identity;
use crate::policy::{self, Effect, Mode, Rule, Tightening};
use crate::possession::KeyKind;
use crate::spelling::nearest;
use std::collections::HashMap;

/// The longest name, in characters: it stands in logs, metrics and answers.
const LONGEST_NAME: usize = 64;
/// What only allowing rules have.
const TIGHTENING: [&str; 4] = ["validity", "key_types", "subject", "extensions"];

/// What was read of a rule.
pub struct Read {
    /// Its name, where that is sound.
    pub name: Option<String>,
    /// The rule; `None`: something is wrong with it.
    pub rule: Option<Rule>,
}

/// Reads rules. The names that conditions may use are made once for each list of issuers.
pub struct Reader<'a> {
    against: &'a Against<'a>,
    scopes: HashMap<Option<Vec<String>>, Option<Scope>>,
}

impl<'a> Reader<'a> {
    /// For these issuers.
    pub fn new(against: &'a Against<'a>) -> Self {
        Self { against, scopes: HashMap::new() }
    }

    /// Reads one.
    pub fn read(&mut self, item: &Field<'_>) -> Read {
        let Some(section) = item.section() else { return Read { name: None, rule: None } };
        let name = section
            .require("name", "refusals, logs and metrics name the rule by it")
            .and_then(|field| field.parse(name));
        let issuers = match section.get("issuers") {
            Some(field) => self.issuers(&field).map(Some),
            None => Some(None),
        };
        let when = match section.get("when") {
            Some(field) => issuers.as_ref().and_then(|issuers| self.condition(&field, issuers)).map(Some),
            None if section.has("when") => None,
            None => Some(None),
        };
        let message = match section.get("message") {
            Some(field) => field.parse(message).map(Some),
            None => Some(None),
        };
        let mode = match section.get("mode") {
            Some(field) => field.parse(mode),
            None => Some(Mode::default()),
        };
        let effect = section.require("effect", "write allow or deny").and_then(|field| {
            let text = field.text()?;
            match text {
                "allow" => {
                    let issuers = issuers.as_ref()?.as_deref();
                    self.tightening(&section, issuers).map(Effect::Allow)
                }
                "deny" => no_tightening(&section).then_some(Effect::Deny),
                _ => {
                    field.error(format!("{} is no effect; write allow or deny", quoted(text)));
                    None
                }
            }
        });
        // They are known keys, whatever became of the effect.
        for key in TIGHTENING {
            section.expect(key);
        }
        section.report_unknown();
        let rule = |name: &str| {
            Some(Rule {
                name: name.into(),
                issuers: issuers?,
                when: when?,
                effect: effect?,
                mode: mode?,
                message: message?,
            })
        };
        Read { rule: name.as_deref().and_then(rule), name }
    }

    fn issuers(&self, field: &Field<'_>) -> Option<Vec<String>> {
        let items = field.items()?;
        if items.is_empty() {
            field.error("is empty, so the rule is about nobody; name issuers, or leave it out for all");
            return None;
        }
        let mut names = Vec::new();
        let mut sound = true;
        for item in &items {
            let Some(name) = item.text() else {
                sound = false;
                continue;
            };
            if !self.against.lists(name) {
                item.error(self.unlisted(name));
                sound = false;
            } else if names.iter().any(|other| other == name) {
                item.warning(format!("names {name} a second time"));
            } else {
                names.push(name.to_owned());
            }
        }
        sound.then_some(names)
    }

    fn unlisted(&self, name: &str) -> String {
        if let Some(listed) = self.against.issuers().label(name) {
            return format!("is admitted by a pattern, and rules name that; write {listed}");
        }
        let near = nearest(name, self.against.names(), |known| (known.len() / 6).max(1));
        let advice = match near {
            Some(near) => format!("did you mean {near}?"),
            None => {
                let mut names: Vec<_> = self.against.names().take(9).collect();
                if names.len() > 8 {
                    names.truncate(8);
                    names.push("…");
                }
                format!("there are {}", names.join(", "))
            }
        };
        format!("{} is no listed issuer; {advice}", quoted(name))
    }

    fn condition(&mut self, field: &Field<'_>, issuers: &Option<Vec<String>>) -> Option<Condition> {
        let against = self.against;
        let scope = self
            .scopes
            .entry(issuers.clone())
            .or_insert_with(|| against.claims(issuers.as_deref()).map(policy::scope));
        // Without any issuer there is an error already.
        let scope = scope.as_ref()?;
        condition(field, |source| Condition::compile(source, scope))
    }

    fn tightening(&self, section: &Section<'_>, issuers: Option<&[String]>) -> Option<Tightening> {
        let validity = match section.get("validity") {
            Some(field) => {
                let bounds = (SHORTEST_VALIDITY, self.against.validity());
                field.parse_scalar(|text| values::duration(text, bounds)).map(Some)
            }
            None => Some(None),
        };
        let key_types = match section.get("key_types") {
            Some(field) => key_types(&field),
            None => Some(Vec::new()),
        };
        let subject = match section.get("subject") {
            Some(field) => self.subject(&field, issuers).map(Some),
            None => Some(None),
        };
        let extensions = match section.get("extensions") {
            Some(field) => extension::read_all(&field, issuers, self.against),
            None => Some(Vec::new()),
        };
        Some(Tightening {
            validity: validity?,
            key_types: key_types?,
            subject: subject?,
            extensions: extensions?,
        })
    }

    fn subject(&self, field: &Field<'_>, issuers: Option<&[String]>) -> Option<SubjectMode> {
        let mode = field.parse(subject_mode)?;
        let other = self.against.entries(issuers).find(|entry| entry.kind.as_type::<GitlabRules>().is_none());
        if let Some(other) = other {
            field.error(format!(
                "is for gitlab-pipeline alone, and the rule is about {} too; list its issuers",
                other.kind.name()
            ));
            return None;
        }
        Some(mode)
    }
}

fn name(text: &str) -> Result<String, String> {
    let count = text.chars().count();
    if count == 0 || count > LONGEST_NAME {
        return Err(format!("has {count} characters; 1 to {LONGEST_NAME} are possible"));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err("has a control character in it, or begins or ends with a space".to_owned());
    }
    hidden(text)?;
    if text.contains(", ") {
        return Err("has a comma before a space, which stands between names in refusals".to_owned());
    }
    if is_rule_of_identity(text) {
        return Err("is what refusals call a rule of the type of identity; give it another name".to_owned());
    }
    if text == policy::DEFAULT {
        return Err("is what refusals say where no rule holds; give it another name".to_owned());
    }
    Ok(text.to_owned())
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "warn" => Ok(Mode::Warn),
        _ => Err(format!("{} is no mode; write enforce or warn", quoted(text))),
    }
}

fn key_types(field: &Field<'_>) -> Option<Vec<KeyKind>> {
    let items = field.items()?;
    if items.is_empty() {
        field.error("is empty, so no key would do; name types, or leave it out for all");
        return None;
    }
    items.iter().map(|item| item.parse(key_type)).collect()
}

fn key_type(text: &str) -> Result<KeyKind, String> {
    KeyKind::ALL.into_iter().find(|kind| kind.code() == text).ok_or_else(|| {
        let known = KeyKind::ALL.map(KeyKind::code);
        format!("{} is no type of key; there are {}", quoted(text), known.join(", "))
    })
}

/// Whether there is nothing to tighten where there is no certificate.
fn no_tightening(section: &Section<'_>) -> bool {
    let mut none = true;
    for key in TIGHTENING {
        if section.has(key)
            && let Some(field) = section.get(key)
        {
            field.error("is for rules that allow; remove it");
            none = false;
        }
    }
    none
}
