//! Conditions that hold for more than their author thinks.

use super::held::{self, Held};
use super::show::show;
use super::{Condition, protection};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

/// A kind of mistake. The codes are a contract, as those of refusals are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lint {
    /// A regular expression matches anywhere in the text.
    UnanchoredPattern,
    /// `startsWith("acme")` holds for `acme-evil/…` too.
    PrefixWithoutSlash,
    /// A path or a name that merely contains or ends in a text can be chosen by others.
    PartOfName,
    /// Whoever may push may name a branch; only protection says who may push to it.
    RefWithoutProtection,
    /// A project that was renamed leaves its path to others; ids are never given again.
    PathWithoutId,
}

impl Lint {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::UnanchoredPattern,
        Self::PrefixWithoutSlash,
        Self::PartOfName,
        Self::RefWithoutProtection,
        Self::PathWithoutId,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnanchoredPattern => "UNANCHORED_PATTERN",
            Self::PrefixWithoutSlash => "PREFIX_WITHOUT_SLASH",
            Self::PartOfName => "PART_OF_NAME",
            Self::RefWithoutProtection => "REF_WITHOUT_PROTECTION",
            Self::PathWithoutId => "PATH_WITHOUT_ID",
        }
    }
}

/// What a condition should rather be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The kind of mistake.
    pub lint: Lint,
    /// What was found, why it matters, and what to write.
    pub message: String,
}

/// What the last name of a path stands for, as far as mistakes with it are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Groups and projects, with slashes between them: `project_path`.
    Path,
    /// A URL with such a path in it: the name of a certificate.
    Url,
    /// A branch or a tag.
    Ref,
    /// Anything else.
    Other,
}

impl PathKind {
    /// By the member's name, which is the same for claims and certificates.
    pub fn of(name: &str) -> Self {
        match name {
            "project_path" | "namespace_path" | "job_project_path" | "job_namespace_path" => Self::Path,
            "san"
            | "subject"
            | "sub"
            | "issuer"
            | "issuer_v2"
            | "token_subject"
            | "run_invocation_uri"
            | "ci_config_ref_uri"
            | "build_config_uri"
            | "build_signer_uri"
            | "source_repository_uri"
            | "source_repository_owner_uri" => Self::Url,
            "ref" | "ref_path" | "source_repository_ref" => Self::Ref,
            _ => Self::Other,
        }
    }
}

impl Condition {
    /// What whoever admits by this condition should know. Of a condition that refuses, too much is no danger.
    pub fn advice(&self) -> Vec<Advice> {
        let mut advice: Vec<Advice> = Vec::new();
        for it in held::all(&self.written).iter().filter_map(of_held) {
            if !advice.contains(&it) {
                advice.push(it);
            }
        }
        let names = |wanted: &[&str]| {
            self.names().any(|path| path.last().is_some_and(|name| wanted.contains(&name.as_str())))
        };
        // A name of the whole pipeline, path and ref in one; an e-mail address is none.
        let whole = names(&["ci_config_ref_uri", "build_config_uri", "build_signer_uri"])
            || held::all(&self.written).iter().any(|held| match last_name(held.subject) {
                "san" => held.text.contains("://"),
                "sub" | "subject" | "token_subject" => held.text.starts_with("project_path:"),
                _ => false,
            });
        let is_told = advice.iter().any(|it| it.lint == Lint::RefWithoutProtection);
        if !is_told && protection::is_missing(&self.written) {
            advice.push(Advice {
                lint: Lint::RefWithoutProtection,
                message:
                    "asks for a branch or a tag by its name, which anybody who may push can give; ask for \
                          ref_protected == \"true\" as well, in every way in which it can hold"
                        .to_owned(),
            });
        }
        const PATHS: [&str; 4] =
            ["project_path", "namespace_path", "source_repository_uri", "source_repository_owner_uri"];
        const IDS: [&str; 4] = [
            "project_id",
            "namespace_id",
            "source_repository_identifier",
            "source_repository_owner_identifier",
        ];
        if (whole || names(&PATHS)) && !names(&IDS) {
            advice.push(Advice {
                lint: Lint::PathWithoutId,
                message: "asks for a path, which somebody else may get after a project or a group is renamed, and which a fork's \
                          merge request that runs in its parent may carry; ask for project_id or namespace_id as well"
                    .to_owned(),
            });
        }
        advice
    }
}

fn of_held(held: &Held<'_>) -> Option<Advice> {
    let (name, text) = (last_name(held.subject), held.text);
    let kind = PathKind::of(name);
    let shown = show(held.call);
    let (lint, message) = match held.function {
        "matches" if !is_anchored(text) => (
            Lint::UnanchoredPattern,
            format!("{shown} looks for its pattern anywhere in the text; begin it with ^ and end it with $"),
        ),
        "startsWith" if matches!(kind, PathKind::Path | PathKind::Url) && !text.ends_with(['/', '@']) => (
            Lint::PrefixWithoutSlash,
            format!("{shown} holds for {text}-of-somebody-else/… too; end it with a slash"),
        ),
        "matches" if matches!(kind, PathKind::Path | PathKind::Url) && is_open_before_slash(text) => (
            Lint::PrefixWithoutSlash,
            format!(
                "{shown} holds for names of others that begin or look the same: its pattern is open before the first slash; write the \
                 group's whole name, and a slash behind it"
            ),
        ),
        "_!=_" if text == "false" && name == "ref_protected" => (
            Lint::RefWithoutProtection,
            format!("{shown} holds where GitLab cannot say (\"\"); ask for ref_protected == \"true\""),
        ),
        "contains" | "endsWith" if kind != PathKind::Other => (
            Lint::PartOfName,
            format!(
                "{shown} holds for names that others can choose; compare the whole with ==, or its beginning with startsWith"
            ),
        ),
        _ => return None,
    };
    Some(Advice { lint, message })
}

/// From the first to the last character, whatever is in between: `a|b` between anchors is not, but `(a|b)` is.
fn is_anchored(pattern: &str) -> bool {
    let begins = pattern.starts_with('^') || pattern.starts_with("\\A");
    let ends = (pattern.ends_with('$') && !pattern.ends_with("\\$")) || pattern.ends_with("\\z");
    begins && ends && !splits(pattern)
}

/// Whether a pattern of paths leaves open what stands before the first slash: `^acme.*$` for instance, but not `^acme(/.*)?$`. Of a URL, or of a
/// GitLab job's subject, that is the first slash of the path.
fn is_open_before_slash(pattern: &str) -> bool {
    let path = match pattern.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, path)| path),
        None => pattern,
    };
    let mut characters = path.chars().peekable();
    let mut is_class = false;
    while let Some(character) = characters.next() {
        match character {
            '/' => return false,
            '.' => return true,
            '[' => {
                // A class of what is no path's letter opens nothing: [.] and [/].
                let class: String = characters.by_ref().take_while(|it| *it != ']').collect();
                if class == "/" {
                    return false;
                }
                is_class = class.chars().count() > 1;
                continue;
            }
            '\\' => {
                is_class = characters
                    .next()
                    .is_some_and(|escaped| escaped.is_ascii_alphanumeric() && !"Az".contains(escaped));
                continue;
            }
            '*' | '+' | '{' if is_class => return true,
            _ => {}
        }
        is_class = false;
    }
    false
}

/// Whether a pattern is several, with `|` between them, outside of parentheses.
pub(super) fn splits(pattern: &str) -> bool {
    let mut depth = 0usize;
    let mut escaped = false;
    let mut in_class = false;
    for character in pattern.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

pub(super) fn last_name(tree: &IdedExpr) -> &str {
    match &tree.expr {
        Expr::Select(select) => &select.field,
        Expr::Ident(name) => name,
        Expr::Call(call) if matches!(call.func_name.as_str(), "_[_]" | "_?._") => {
            match call.args.last().map(|last| &last.expr) {
                Some(Expr::Literal(LiteralValue::String(name))) => name.inner(),
                _ => "",
            }
        }
        // claims.?ref.orValue("")
        Expr::Call(call) if call.func_name == "orValue" => call.target.as_deref().map_or("", last_name),
        _ => "",
    }
}
