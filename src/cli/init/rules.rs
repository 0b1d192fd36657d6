//! The rules that `init` writes.

use super::{InitArgs, yaml};

/// Where the sample's rules begin, and what comes behind them.
const BEGIN: &str = "# policy:\n#   rules:\n";
const END: &str = "\n# Extensions of certificates";
const PUBLIC: &str = "https://gitlab.com";
/// The longest path of a group that GitLab takes, and more than anybody has.
const LONGEST: usize = 255;

/// A group's path as GitLab writes it: names of letters, digits, `_`, `-` and `.`, with slashes between them.
pub fn group(text: &str) -> Result<String, String> {
    let sound = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
            && ![".", ".git", ".atom"].iter().any(|end| name.ends_with(end))
    };
    if text.len() > LONGEST || !text.split('/').all(sound) {
        return Err("a group's path is expected, acme or acme/tools for instance, as in its URL".to_owned());
    }
    Ok(text.to_owned())
}

/// The sample with rules for the groups. Without groups they stay a comment, and go where no issuer is public.
pub fn put(args: &InitArgs, text: String) -> String {
    let Some((before, rest)) = text.split_once(BEGIN) else { return text };
    let Some((_, after)) = rest.split_once(END) else { return text };
    if !args.group.is_empty() {
        return format!("{before}{}{END}{after}", rules(args));
    }
    let by_default = args.gitlab.is_empty() && args.fulcio_config.is_none();
    if by_default || args.gitlab.iter().any(|url| url == PUBLIC) {
        return text;
    }
    format!("{before}{END}{after}")
}

fn rules(args: &InitArgs) -> String {
    let issuers = match args.gitlab.as_slice() {
        [] => PUBLIC.to_owned(),
        urls => urls.iter().map(|url| yaml(url)).collect::<Vec<_>>().join(", "),
    };
    let mut named: Vec<&String> = Vec::new();
    for group in &args.group {
        if !named.contains(&group) {
            named.push(group);
        }
    }
    let groups = named.iter().map(|group| group.as_str()).collect::<Vec<_>>().join(", ");
    // A message has a bound, and so has a rule's name.
    let groups = if groups.len() > 400 { "the groups that its rules name".to_owned() } else { groups };
    let mut text = String::from("policy:\n  rules:\n");
    if named.len() == 1 {
        text += WHY_ONE
    } else {
        text += WHY_MANY
    }
    for (index, group) in named.iter().enumerate() {
        // No group's path has a #.
        let name =
            if group.len() > 50 { format!("\"group #{}\"", index + 1) } else { format!("group {group}") };
        text += &format!(
            "    - name: {name}
      issuers: [{issuers}]
      when: claims.namespace_path == \"{group}\" || claims.namespace_path.startsWith(\"{group}/\")
      effect: allow
      message: Only projects of {groups} get certificates here.
"
        );
    }
    text
}

const WHY_ONE: &str = "    \
    # Whoever can have a project at the GitLab has tokens of it: without this rule all of them get certificates. It names the group,
    # with its subgroups. A group's path can become somebody else's after it is renamed; its id cannot: claims.namespace_id == \"…\" is
    # surer, and has to name each subgroup.
";
const WHY_MANY: &str = "    \
    # Whoever can have a project at the GitLab has tokens of it: without these rules all of them get certificates. They name the groups,
    # with their subgroups. A group's path can become somebody else's after it is renamed; its id cannot: claims.namespace_id == \"…\" is
    # surer, and has to name each subgroup.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_path_and_nothing_that_cel_or_yaml_would_read_otherwise() {
        for good in ["acme", "acme/tools", "Acme-2/sub_group.v1/x", "_x", "9"] {
            assert_eq!(group(good).as_deref(), Ok(good));
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in [
            "",
            "/",
            "acme/",
            "/acme",
            "a//b",
            "a b",
            "a\"b",
            "a\\b",
            "a\nb",
            "a*",
            "é",
            "-a",
            ".a",
            "a.",
            "a.git",
            "a/b.atom",
            "..",
            "a/../b",
            "https://gitlab.com/acme",
            "a#b",
            "a: b",
            &long,
        ] {
            assert!(group(bad).is_err(), "{bad}");
        }
    }
}
