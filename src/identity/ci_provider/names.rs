//! The claims that templates name, for whoever misspells one in a rule.

use std::collections::BTreeSet;

/// The names in these templates: the whole text, or what stands behind the full stops in its braces, be it a claim or not.
pub(super) fn of_templates<'t>(templates: impl Iterator<Item = &'t String>) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for template in templates {
        if !template.contains("{{") {
            names.insert(template.trim());
            continue;
        }
        let braces = template.split("{{").skip(1).filter_map(|part| part.split("}}").next());
        let behind_stops = braces.flat_map(|part| part.split('.').skip(1));
        names.extend(behind_stops.filter_map(|part| part.split(|c| !is_name(c)).next()));
    }
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::of_templates;

    #[test]
    fn claims_stand_behind_full_stops_or_alone() {
        let templates =
            ["{{.url}}/{{ .pipeline_slug }}/x.y/{{printf \"%s\" .build}}", "runner", " ", "fixed/x"];
        let templates = templates.map(str::to_owned);
        assert_eq!(of_templates(templates.iter()), ["build", "fixed/x", "pipeline_slug", "runner", "url"]);
    }
}
