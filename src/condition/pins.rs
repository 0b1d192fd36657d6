//! Whether a condition says whose job it is about: in every way in which it can hold, it must fix the project or its group.
//!
//! What a condition does not pin, everybody with an account at the issuer can have. A branch, a runner or an environment can be named by
//! anybody in a project of their own.

use super::Condition;
use super::functions::is_quantifier;
use super::lint::splits;
use super::show::show;
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

/// How much a condition admits, at the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// Projects that it names.
    Project,
    /// Whatever is, or will be, in groups that it names.
    Namespace,
}

/// A part that can hold for jobs of any project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} can hold for jobs of any project")]
pub struct Unpinned {
    /// As a text.
    pub part: String,
}

/// What is asked of a condition.
#[derive(Clone, Copy)]
enum Asked {
    /// That it pins a project or a group of GitLab's.
    Pins,
    /// That it ties anything that not everybody at a public issuer has, whoever that is. `issuer`: the issuer is such a thing, where a pattern
    /// stands for many.
    Ties { issuer: bool },
}

/// Claims that say whose job it is at a GitLab: one project.
const PROJECT: [&str; 3] = ["project_path", "project_id", "sub"];
/// The same of a group.
const NAMESPACE: [&str; 2] = ["namespace_path", "namespace_id"];
/// Claims that say besides, at any issuer, whose job it is or who somebody is.
const SOMEBODY: [&str; 34] = [
    "job_project_path",
    "job_project_id",
    "job_namespace_path",
    "job_namespace_id",
    "ci_config_ref_uri",
    "user_id",
    "user_login",
    "user_email",
    "groups_direct",
    "email",
    "hd",
    "tid",
    "oid",
    "groups",
    "preferred_username",
    "azp",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "workflow_ref",
    "job_workflow_ref",
    "actor",
    "actor_id",
    "enterprise",
    "enterprise_id",
    "organization_slug",
    "organization_id",
    "account_id",
    "account_name",
    "terraform_organization_id",
    "terraform_organization_name",
    "oidc.circleci.com/project-id",
    "kubernetes.io",
];

/// The variable of an `exists`, and what it stands for: texts, or the elements of a claim.
struct Variable<'t> {
    name: &'t str,
    texts: Vec<&'t str>,
    claim: Option<&'t str>,
}

type Element<'t> = Option<Variable<'t>>;

/// `Ok(None)`: it never holds. `Err`: the part that pins nothing.
type Found<'t> = Result<Option<Pin>, &'t IdedExpr>;

impl Condition {
    /// Whose jobs it can hold for. Where it holds, `claims.project_path`, `project_id`, `namespace_path`, `namespace_id` or `sub` is one of
    /// the texts that are written out, or a path below one. A negation pins nothing.
    ///
    /// # Errors
    /// A part that holds whatever those are.
    pub fn pins(&self) -> Result<Pin, Unpinned> {
        match pins(&self.written, &None, Asked::Pins) {
            Ok(pin) => Ok(pin.unwrap_or(Pin::Project)),
            Err(part) => Err(Unpinned { part: show(part) }),
        }
    }

    /// Whether something is asked for that not everybody has who has a token of a public issuer: a path, an id, a subject, a user or a group,
    /// compared with a text that is written out. `issuer`: the issuer is such a thing.
    ///
    /// # Errors
    /// A part that holds for anybody.
    pub fn ties(&self, issuer: bool) -> Result<(), Unpinned> {
        match pins(&self.written, &None, Asked::Ties { issuer }) {
            Ok(_) => Ok(()),
            Err(part) => Err(Unpinned { part: show(part) }),
        }
    }
}

fn pins<'t>(tree: &'t IdedExpr, element: &Element<'t>, asked: Asked) -> Found<'t> {
    let pins = |tree: &'t IdedExpr, element: &Element<'t>| pins(tree, element, asked);
    let compared = |member, against, part| compared(member, against, element, part, asked);
    let call = match &tree.expr {
        Expr::Literal(LiteralValue::Boolean(value)) if !value.inner() => return Ok(None),
        Expr::Call(call) => call,
        _ => return Err(tree),
    };
    match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
        ("_&&_", None, [left, right]) => both_hold(pins(left, element), pins(right, element)).ok_or(tree),
        ("_||_", None, [left, right]) => Ok(pins(left, element)?.max(pins(right, element)?)),
        ("_?_:_", None, [condition, yes, no]) => {
            let yes = both_hold(pins(condition, element), pins(yes, element)).ok_or(yes)?;
            Ok(yes.max(pins(no, element)?))
        }
        ("_==_", None, [left, right]) => compared(left, right, Part::Whole)
            .or_else(|| compared(right, left, Part::Whole))
            .map(Some)
            .ok_or(tree),
        ("@in", None, [member, list]) => compared(member, list, Part::Whole)
            // A text in a claim that is a list.
            .or_else(|| asked.is_wide().then(|| compared(list, member, Part::Whole)).flatten())
            .map(Some)
            .ok_or(tree),
        ("startsWith", Some(member), [prefix]) => {
            compared(member, prefix, Part::Beginning).map(Some).ok_or(tree)
        }
        ("endsWith", Some(member), [end]) => compared(member, end, Part::End).map(Some).ok_or(tree),
        ("matches", Some(member), [pattern]) | ("matches", None, [member, pattern]) => {
            compared(member, pattern, Part::Pattern).map(Some).ok_or(tree)
        }
        (name, Some(list), [variable, condition]) if is_quantifier(name) => match &variable.expr {
            Expr::Ident(variable) => {
                // All of none hold.
                let claim = claim(list, &None, asked).filter(|_| asked.is_wide() && name != "all");
                let texts = match claim {
                    Some(_) => Vec::new(),
                    // Of a list that is written out, which is never empty, one element at least has to hold.
                    None => texts(list, &None).ok_or(tree)?,
                };
                pins(condition, &Some(Variable { name: variable, texts, claim })).map_err(|_| tree)
            }
            _ => Err(tree),
        },
        _ => Err(tree),
    }
}

/// Of two that hold at once the narrower one counts. `None`: neither pins anything.
fn both_hold<'t>(left: Found<'t>, right: Found<'t>) -> Option<Option<Pin>> {
    match (left, right) {
        (Ok(left), Ok(right)) => Some(left.min(right)),
        (Ok(pin), Err(_)) | (Err(_), Ok(pin)) => Some(pin),
        (Err(_), Err(_)) => None,
    }
}

/// A claim against texts, each of which has to pin it.
fn compared<'t>(
    member: &'t IdedExpr,
    against: &'t IdedExpr,
    element: &Element<'t>,
    part: Part,
    asked: Asked,
) -> Option<Pin> {
    let claim = claim(member, element, asked)?;
    let texts = texts(against, element)?;
    let each = texts.into_iter().map(|text| asked.of(part, claim, text)).collect::<Option<Vec<_>>>()?;
    each.into_iter().max()
}

/// `claims.project_path`, or `claims["project_path"]`; where it is asked for ties, also `claims.?user_login.orValue("")`, the variable that stands for
/// a claim's elements, and the issuer.
fn claim<'t>(tree: &'t IdedExpr, element: &Element<'t>, asked: Asked) -> Option<&'t str> {
    let (record, name) = match &tree.expr {
        Expr::Ident(name) if asked.is_wide() && name == "issuer" => return Some("iss"),
        Expr::Ident(name) if asked.is_wide() => {
            return element.as_ref().filter(|element| element.name == name)?.claim;
        }
        Expr::Call(call) if asked.is_wide() && call.func_name == "orValue" => {
            // What it is compared with is never empty.
            let is_empty = call.args.first().and_then(text) == Some("");
            return claim(call.target.as_deref().filter(|_| is_empty)?, element, asked);
        }
        Expr::Call(call) if asked.is_wide() && call.func_name == "_?._" => match call.args.as_slice() {
            [record, name] => (record, text(name)?),
            _ => return None,
        },
        Expr::Select(select) if !select.test => (&*select.operand, select.field.as_str()),
        Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
            [record, name] => (record, text(name)?),
            _ => return None,
        },
        _ => return None,
    };
    matches!(&record.expr, Expr::Ident(record) if record == "claims").then_some(name)
}

fn text(tree: &IdedExpr) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// A text, a list of texts, or what a variable stands for.
fn texts<'t>(tree: &'t IdedExpr, element: &Element<'t>) -> Option<Vec<&'t str>> {
    match (&tree.expr, element) {
        (Expr::Ident(name), Some(variable)) if name == variable.name && variable.claim.is_none() => {
            Some(variable.texts.clone())
        }
        (Expr::List(list), _) => list.elements.iter().map(text).collect(),
        _ => text(tree).map(|text| vec![text]),
    }
}

/// What of a claim a text is compared with.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Beginning,
    End,
    /// By a regular expression.
    Pattern,
}

impl Asked {
    const fn is_wide(self) -> bool {
        matches!(self, Self::Ties { .. })
    }

    /// What a claim is bound to by a text.
    fn of(self, part: Part, claim: &str, text: &str) -> Option<Pin> {
        match (self, part) {
            (Self::Pins, Part::Whole) => is_one(claim, text),
            (Self::Pins, Part::Beginning) => begins_with(claim, text),
            (Self::Pins, Part::End) => None,
            (Self::Pins, Part::Pattern) => matches(claim, text),
            (Self::Ties { issuer }, part) => {
                let is_tied = PROJECT.contains(&claim)
                    || NAMESPACE.contains(&claim)
                    || SOMEBODY.contains(&claim)
                    || issuer && claim == "iss";
                let says_something = match part {
                    Part::Whole => !text.is_empty(),
                    Part::Beginning => says_something(text),
                    // The domain of an address.
                    Part::End => claim.ends_with("email") && text.contains('@'),
                    Part::Pattern if claim.ends_with("email") => text.contains('@'),
                    Part::Pattern => groups(text).iter().all(|text| says_something(text)),
                };
                (is_tied && says_something).then_some(Pin::Namespace)
            }
        }
    }
}

/// More than what all subjects of a GitLab begin with.
fn says_something(beginning: &str) -> bool {
    !beginning.strip_prefix("project_path:").unwrap_or(beginning).trim_start_matches("https://").is_empty()
}

/// What texts begin with that match a pattern; several, where it begins with a group of plain words: `^(acme|labs)/`.
fn groups(pattern: &str) -> Vec<String> {
    let alternatives = || {
        let (words, _) = pattern.strip_prefix("^(")?.split_once(')')?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '|');
        words.strip_prefix("?:").unwrap_or(words).chars().all(is_plain).then_some(words)
    };
    match alternatives() {
        Some(words) => words.strip_prefix("?:").unwrap_or(words).split('|').map(str::to_owned).collect(),
        None => vec![beginning(pattern).map(|(text, _)| text).unwrap_or_default()],
    }
}

fn is_one(claim: &str, text: &str) -> Option<Pin> {
    match claim {
        _ if text.is_empty() => None,
        claim if PROJECT.contains(&claim) => Some(Pin::Project),
        claim if NAMESPACE.contains(&claim) => Some(Pin::Namespace),
        _ => None,
    }
}

fn begins_with(claim: &str, prefix: &str) -> Option<Pin> {
    let is_group = |prefix: &str| prefix.ends_with('/') && !prefix.starts_with('/');
    match claim {
        "project_path" | "namespace_path" => is_group(prefix).then_some(Pin::Namespace),
        // GitLab's begin with project_path:{path}: whatever the project has chosen for the rest.
        "sub" => {
            let path = prefix.strip_prefix("project_path:")?;
            match path.split_once(':') {
                Some((project, _)) => (!project.is_empty()).then_some(Pin::Project),
                None => is_group(path).then_some(Pin::Namespace),
            }
        }
        _ => None,
    }
}

fn matches(claim: &str, pattern: &str) -> Option<Pin> {
    let (prefix, is_whole) = beginning(pattern)?;
    if is_whole { is_one(claim, &prefix) } else { begins_with(claim, &prefix) }
}

/// What every text begins with that the pattern matches, and whether that is all there is. `None`: that cannot be said.
fn beginning(pattern: &str) -> Option<(String, bool)> {
    let rest = pattern.strip_prefix('^').or_else(|| pattern.strip_prefix("\\A"))?;
    // Flags change how the rest is read.
    let has_flags = pattern.match_indices("(?").any(|(at, _)| {
        let behind = pattern.get(at + 2..).unwrap_or_default();
        ![":", "P<", "<"].iter().any(|group| behind.starts_with(group))
    });
    if has_flags || splits(pattern) {
        return None;
    }
    let mut prefix = String::new();
    let mut characters = rest.chars().peekable();
    loop {
        match characters.next() {
            None => return Some((prefix, false)),
            Some(plain) if plain.is_ascii_alphanumeric() || matches!(plain, '/' | '_' | '-' | ':' | '@') => {
                prefix.push(plain);
            }
            Some('$') if characters.peek().is_none() => return Some((prefix, true)),
            Some('\\') => match characters.next() {
                Some('z') if characters.peek().is_none() => return Some((prefix, true)),
                Some(escaped) if escaped.is_ascii_punctuation() => prefix.push(escaped),
                _ => return Some((prefix, false)),
            },
            // The character before it may be absent.
            Some('?' | '*' | '+' | '{') => {
                prefix.pop();
                return Some((prefix, false));
            }
            Some(_) => return Some((prefix, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::{Facts, Member, Record, Scope, Type, Undecided, Value};
    use proptest::prelude::*;

    fn scope() -> Scope {
        let text = |name| (name, Member::always(Type::Text));
        let names = [
            "project_path",
            "project_id",
            "namespace_path",
            "namespace_id",
            "sub",
            "ref",
            "ref_protected",
            "user_login",
        ];
        let claims = Record::of(names.map(text)).and_others(Type::Text);
        let request = Record::of([text("path"), text("project_path")]);
        Scope::of([
            ("claims", Member::record(claims, true)),
            ("request", Member::record(request, true)),
            text("issuer"),
        ])
    }

    fn pinned(source: &str) -> Option<Pin> {
        let condition =
            Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
        condition.pins().ok()
    }

    /// A job of a project that no condition here names, in whatever else it is the same.
    struct Stranger;

    impl Facts for Stranger {
        fn value(&self, path: &[String]) -> Result<Option<Value>, Undecided> {
            let text = match path.join(".").as_str() {
                "claims.project_path" => "acme-evil/app",
                "claims.namespace_path" => "acme-evil",
                "claims.project_id" => "12",
                "claims.namespace_id" => "77",
                "claims.sub" => "project_path:acme-evil/app:ref_type:branch:ref:acme/app",
                "claims.ref" => "main",
                "claims.ref_protected" => "true",
                _ => "acme/app",
            };
            Ok(Some(Value::Text(text.to_owned())))
        }
    }

    /// Conditions as somebody may write them, right or wrong.
    fn conditions() -> impl Strategy<Value = String> {
        let claim = prop::sample::select(vec![
            "project_path",
            "namespace_path",
            "project_id",
            "namespace_id",
            "sub",
            "ref",
        ]);
        let text = prop::sample::select(vec![
            "",
            "/",
            "acme",
            "acme/",
            "acme/app",
            "1",
            "7",
            "main",
            "app",
            "evil",
            "project_path:",
            "project_path:acme",
            "project_path:acme/",
            "project_path:acme/app:",
        ]);
        let pattern = prop::sample::select(vec![
            "^acme",
            "^acme/",
            "^acme/?",
            "acme/",
            "^acme/app$",
            "^acme/|evil",
            "^(acme/)?",
            "^acme/a+",
            "^.*app$",
            "^acme.evil/app$",
            "^1$",
            "^1",
            "^project_path:acme/",
            "^project_path:acme",
            "\\\\Aacme/app\\\\z",
            "^acme/(app|evil)",
            "^[a]cme/",
            "(?i)^ACME/",
            "^acme/*-evil",
            "^acme/{0}-evil",
        ]);
        let texts = prop::collection::vec(text.clone(), 1..3);
        let listed =
            |texts: Vec<&str>| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
        let leaf = prop_oneof![
            (claim.clone(), text.clone()).prop_map(|(claim, text)| format!("claims.{claim} == \"{text}\"")),
            (claim.clone(), text.clone()).prop_map(|(claim, text)| format!("claims.{claim} != \"{text}\"")),
            (claim.clone(), text.clone())
                .prop_map(|(claim, text)| format!("claims.{claim}.startsWith(\"{text}\")")),
            (claim.clone(), text).prop_map(|(claim, text)| format!("claims.{claim}.contains(\"{text}\")")),
            (claim.clone(), pattern)
                .prop_map(|(claim, pattern)| format!("claims.{claim}.matches(\"{pattern}\")")),
            (claim.clone(), texts.clone())
                .prop_map(move |(claim, texts)| format!("claims.{claim} in [{}]", listed(texts))),
            (claim, texts, any::<bool>()).prop_map(move |(claim, texts, all)| {
                let (texts, search) = (listed(texts), if all { "all" } else { "exists" });
                format!("[{texts}].{search}(x, claims.{claim}.startsWith(x) || claims.{claim} == x)")
            }),
            Just("true".to_owned()),
            Just("false".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
                (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(condition, yes, no)| format!("({condition} ? {yes} : {no})")),
                inner.prop_map(|of| format!("!({of})")),
            ]
        })
    }

    fn pins_no_stranger(source: &str) {
        let Ok(condition) = Condition::compile(source, &scope()) else { return };
        if let Ok(pin) = condition.pins() {
            assert_eq!(condition.holds(&Stranger), Ok(false), "{source} pins by {pin:?}");
        }
    }

    proptest! {
        // A case that fails becomes a test by name, as the next one, and no file of seeds.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(700) })]

        /// What pins, no stranger has: whatever it is made of.
        #[test]
        fn no_condition_that_pins_holds_for_a_stranger(source in conditions()) {
            pins_no_stranger(&source);
        }
    }

    #[test]
    fn a_choice_of_which_one_branch_begins_like_a_group_pins_no_stranger() {
        pins_no_stranger(
            r#"(claims.project_path != "" ? (claims.sub.startsWith("project_path:acme") || claims.project_path == "/") : (claims.project_path == "/" && claims.project_path == ""))"#,
        );
    }

    #[test]
    fn what_pins_a_project_or_a_group() {
        for (source, pin) in [
            (r#"claims.project_path == "acme/app""#, Pin::Project),
            (r#""acme/app" == claims.project_path"#, Pin::Project),
            (r#"claims["project_path"] == "acme/app""#, Pin::Project),
            (r#"claims.project_id in ["1", "2"]"#, Pin::Project),
            (r#"claims.namespace_id == "7""#, Pin::Namespace),
            (r#"claims.namespace_path == "acme""#, Pin::Namespace),
            (r#"claims.project_path.startsWith("acme/")"#, Pin::Namespace),
            (r#"claims.namespace_path.startsWith("acme/team/")"#, Pin::Namespace),
            (r#"claims.sub == "project_path:acme/app:ref_type:branch:ref:main""#, Pin::Project),
            (r#"claims.sub.startsWith("project_path:acme/app:")"#, Pin::Project),
            (r#"claims.sub.startsWith("project_path:acme/app:ref_type:bra")"#, Pin::Project),
            (r#"claims.sub.startsWith("project_path:acme/")"#, Pin::Namespace),
            (r#"claims.project_path.matches("^acme/[a-z]+$")"#, Pin::Namespace),
            (r#"matches(claims.project_path, "^acme/(a|b)")"#, Pin::Namespace),
            (r#"claims.project_path.matches("^acme/app$")"#, Pin::Project),
            (r#"claims.project_path.matches("\\Aacme/app\\.js\\z")"#, Pin::Project),
            (r#"claims.ref == "main" && claims.project_id == "1""#, Pin::Project),
            (r#"claims.project_id == "1" && claims.namespace_id == "2""#, Pin::Project),
            (r#"claims.project_id == "1" || claims.namespace_id == "2""#, Pin::Namespace),
            (r#"claims.project_id == "1" && (claims.ref == "a" || claims.ref != "b")"#, Pin::Project),
            (r#"claims.ref == "main" ? claims.project_id == "1" : claims.project_id == "2""#, Pin::Project),
            (r#"claims.project_id == "1" ? claims.ref == "main" : false"#, Pin::Project),
            (r#"["acme/", "other/"].exists(group, claims.project_path.startsWith(group))"#, Pin::Namespace),
            (
                r#"["acme/a", "acme/b"].exists(path, claims.project_path == path && claims.ref == "main")"#,
                Pin::Project,
            ),
        ] {
            assert_eq!(pinned(source), Some(pin), "{source}");
        }
    }

    #[test]
    fn what_ties_somebody_at_a_public_issuer() {
        let ties = |source: &str| {
            let condition =
                Condition::compile(source, &scope()).unwrap_or_else(|fault| panic!("{source}: {fault}"));
            [condition.ties(false).is_ok(), condition.ties(true).is_ok()]
        };
        for source in [
            r#"claims.namespace_id == "7""#,
            r#"claims.sub.startsWith("project_path:acme")"#,
            r#"claims.project_path.startsWith("acme")"#,
            r#"claims.project_path.matches("^acme.*$")"#,
            r#"claims.project_path.matches("^(acme|labs)/.*$")"#,
            r#"claims.user_login == "ada" && claims.ref_protected == "true""#,
            r#"claims.?repository_owner.orValue("") == "acme""#,
            r#"has(claims.email) && claims.email.endsWith("@acme.example")"#,
            r#"has(claims.email) && claims.email.matches("^[a-z.]+@acme[.]example$")"#,
            r#"["acme/", "labs/"].exists(group, claims.project_path.startsWith(group))"#,
            "false",
        ] {
            assert_eq!(ties(source), [true, true], "{source}");
        }
        for source in [
            r#"claims.ref_protected == "true""#,
            r#"claims.namespace_path != """#,
            r#"claims.?environment.orValue("") == "production""#,
            r#"!claims.project_path.startsWith("evil/")"#,
            r#"claims.namespace_id == "7" || claims.ref == "main""#,
            r#"claims.?user_login.orValue("ada") == "ada""#,
            r#"claims.sub.startsWith("project_path:")"#,
            r#"claims.project_path.endsWith("/app")"#,
            r#"claims.project_path.matches("^.*/app$")"#,
            r#"claims.project_path.matches("^(|acme)/.*$")"#,
            r#"claims.project_path == claims.sub"#,
        ] {
            assert_eq!(ties(source), [false, false], "{source}");
        }
        assert_eq!(ties(r#"issuer == "https://oidc.circleci.com/org/1""#), [false, true]);
    }

    #[test]
    fn what_pins_nothing() {
        for source in [
            "true",
            r#"claims.ref == "main""#,
            r#"claims.user_login == "ada""#,
            r#"claims.project_path != "acme/app""#,
            r#"!(claims.project_path == "acme/app")"#,
            r#"!(claims.project_path != "acme/app")"#,
            r#"claims.project_path == """#,
            r#"claims.project_path == claims.namespace_path"#,
            r#"claims.project_path == request.path"#,
            r#"request.project_path == "acme/app""#,
            r#"claims.project_path.startsWith("")"#,
            r#"claims.project_path.startsWith("acme")"#,
            r#"claims.project_path.startsWith("/")"#,
            r#"claims.project_path.startsWith(claims.ref)"#,
            r#"claims.project_path.endsWith("/app")"#,
            r#"claims.project_path.contains("acme/")"#,
            r#"claims.project_id.startsWith("12")"#,
            r#"claims.project_id.matches("^1")"#,
            r#"claims.sub.startsWith("project_path:")"#,
            r#"claims.sub.startsWith("project_path:acme")"#,
            r#"claims.sub.startsWith("acme/")"#,
            r#"claims.sub.startsWith("project_path::")"#,
            r#"claims.project_path.matches("acme/")"#,
            r#"claims.project_path.matches("^acme/?")"#,
            r#"claims.project_path.matches("^acme/*x")"#,
            r#"claims.project_path.matches("^acme/{0,1}x")"#,
            r#"claims.project_path.matches("^acme")"#,
            r#"claims.project_path.matches("^acme.")"#,
            r#"claims.project_path.matches("^acme/|.*")"#,
            r#"claims.project_path.matches("^(acme/)?")"#,
            r#"claims.project_path.matches("^acme/a$|x")"#,
            r#"claims.project_path.matches("(?m)^acme/")"#,
            r#"claims.project_path.matches("^acme/(?x)#[\n|.*")"#,
            r#"claims.project_id == "1" || claims.ref == "main""#,
            r#"claims.ref == "main" ? claims.project_id == "1" : claims.ref == "x""#,
            r#"claims.project_id == "1" ? true : true"#,
            r#"(claims.project_id == "1") == false"#,
            r#"claims.?project_path.orValue("acme/app") == "acme/app""#,
            r#"["acme/", ""].exists(group, claims.project_path.startsWith(group))"#,
            r#"["a", "b"].exists(branch, claims.ref == branch)"#,
            r#"claims.project_path in ["acme/app", claims.ref]"#,
            r#"claims.project_path in ["acme/app", ""]"#,
            "has(claims.project_path)",
        ] {
            assert_eq!(pinned(source), None, "{source}");
        }
    }
}
