//! Paths and rules that hold, and those that do not.

use super::*;
use proptest::prelude::*;

/// The table of the Vault plugin's `IsValidPath`, without what it let pass: a project without a group.
#[test]
fn paths_are_held_to_gitlabs_form() {
    for (kind, path, holds) in [
        (Kind::Project, "group/project", true),
        (Kind::Project, "a/b/c.d-e_f", true),
        (Kind::Project, "12", true),
        (Kind::Project, "group", false),
        (Kind::Project, "../x", false),
        (Kind::Project, "a//b", false),
        (Kind::Project, "/a/b", false),
        (Kind::Project, "a/b/", false),
        (Kind::Project, "a/b c", false),
        (Kind::Project, "a/é", false),
        (Kind::Project, "g%2Fp", false),
        (Kind::Project, "a/_b", false),
        (Kind::Project, "a-/b", false),
        (Kind::Project, "a/b.", false),
        (Kind::Project, "a/x..y", false),
        (Kind::Project, "a/b.git", false),
        (Kind::Project, "a/b.Git", false),
        (Kind::Project, "a.atom/b", false),
        (Kind::Project, "a/b\n", false),
        (Kind::Project, "a/b?x=1", false),
        (Kind::Project, "a/b#", false),
        (Kind::Project, "a/b\\c", false),
        (Kind::Project, "", false),
        (Kind::PipelineTrigger, "group/project", true),
        (Kind::ProjectDeploy, "group", false),
        (Kind::Group, "group", true),
        (Kind::Group, "group/sub", true),
        (Kind::GroupDeploy, "1", true),
        (Kind::Personal, "ada", true),
        (Kind::Personal, "ada/lovelace", false),
        (Kind::UserServiceAccount, "bot.1", true),
        (Kind::GroupServiceAccount, "group/bot", true),
        (Kind::GroupServiceAccount, "group/sub/bot", true),
        (Kind::GroupServiceAccount, "7/bot", true),
        (Kind::GroupServiceAccount, "bot", false),
        (Kind::ProjectServiceAccount, "group/project/bot", true),
        (Kind::ProjectServiceAccount, "7/bot", true),
        (Kind::ProjectServiceAccount, "group/bot", false),
    ] {
        assert_eq!(check_path(kind, path).is_ok(), holds, "{kind} {path:?}");
    }
    assert!(check_path(Kind::Group, &"a".repeat(256)).is_err());
    assert!(check_path(Kind::Group, &["a"; 300].join("/")).is_err());
    assert_eq!(split_account(Kind::GroupServiceAccount, "a/b/bot"), ("a/b", Some("bot")));
    assert_eq!(split_account(Kind::Project, "a/b"), ("a/b", None));
}

#[test]
fn rules_that_can_never_hold_are_refused_when_they_are_read() {
    for (kind, text, holds) in [
        (Kind::Project, "{project_path}", true),
        (Kind::Project, "{project_id}", true),
        (Kind::Project, "{namespace_path}/app", true),
        (Kind::Project, "{namespace_path}", false),
        (Kind::Project, "{namespace_id}", false),
        (Kind::Project, "{project_path}.git", false),
        (Kind::Project, "acme//{project_path}", false),
        (Kind::Project, "acme/1{project_id}", true),
        (Kind::Project, "1{project_id}", false),
        (Kind::Group, "{namespace_path}", true),
        (Kind::Group, "{namespace_id}", true),
        (Kind::Group, "{project_path}", false),
        (Kind::Group, "{project_id}", false),
        (Kind::GroupServiceAccount, "{namespace_path}/bot", true),
        (Kind::GroupServiceAccount, "{namespace_id}/bot", true),
        (Kind::ProjectServiceAccount, "{project_id}/bot", true),
        (Kind::Personal, "bot-{project_id}", true),
        (Kind::Personal, "{project_path}", false),
        (Kind::Personal, "{namespace_path}", true),
        (Kind::Personal, "{namespace_path}-bot-{project_id}", true),
        // The user who is called by that number, whoever has taken the name.
        (Kind::Personal, "{project_id}", false),
        (Kind::Personal, "{namespace_id}", false),
        (Kind::Personal, "1{project_id}", false),
        (Kind::Personal, "{namespace_id}-{project_id}", false),
        (Kind::Personal, "{namespace_path}{project_id}", false),
        (Kind::Personal, "{user_login}", false),
        (Kind::Project, "{ref}", false),
        (Kind::Project, "{project_path", false),
        (Kind::Project, "a/b}", false),
        (Kind::Project, "a/{}", false),
        (Kind::Project, "a/{{project_path}}", false),
        (Kind::Project, "", false),
    ] {
        assert_eq!(PathRule::parse(kind, text).is_ok(), holds, "{kind} {text:?}");
    }
    for pattern in ["", "(", "a)|(b", "(?x)a # b", "a{1000}{1000}", &"a".repeat(513)] {
        assert!(PathRule::requested(pattern).is_err(), "{pattern:.20}");
    }
    assert!(PathRule::requested("team/[a-z]+").expect("a rule").is_requested());
    assert!(PathRule::parse(Kind::Project, "a/b").expect("a rule").is_literal());
    assert!(!PathRule::parse(Kind::Project, "a/{project_id}").expect("a rule").is_literal());
}

#[test]
fn what_is_below_a_path_is_told_by_whole_segments() {
    for (above, path, steps) in [
        ("acme", "acme", Some(0)),
        ("acme", "ACME/app", Some(1)),
        ("acme/sub", "acme/sub/x/app", Some(2)),
        ("acme", "acme-evil/app", None),
        ("acme", "acmeevil", None),
        ("acme/sub", "acme", None),
        ("acme/sub", "acme/app", None),
        ("", "acme", None),
    ] {
        assert_eq!(steps_between(above, path), steps, "{above:?} {path:?}");
    }
}

proptest! {
    /// Whatever is asked for: what comes out is what was asked for, in one piece, and no way to another part of GitLab's API.
    #[test]
    fn what_is_resolved_leads_nowhere_else(path in "([a-zA-Z0-9_.%/?# -]|\\PC){0,24}", index in 0..Kind::ALL.len()) {
        let kind = Kind::ALL[index];
        let rule = PathRule::requested("(?s).*").expect("a rule");
        if let Ok(resolved) = rule.resolve(kind, |_| None, Some(&path)) {
            prop_assert_eq!(&resolved, &path);
            prop_assert!(!resolved.contains("..") && !resolved.contains("//"));
            prop_assert!(resolved.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-./".contains(&octet)));
        }
    }
}
