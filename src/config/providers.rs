//! `ci-issuer-metadata` of a Fulcio identity configuration: templates for the type `ci-provider`.

use super::reader::{Field, Section};
use crate::identity::EntryKind;
use crate::identity::ci_provider::{CiProvider, ExtensionName};
use std::collections::HashMap;

/// The names of the keys, as the file's kind has them.
pub struct Names {
    pub defaults: &'static str,
    pub extensions: &'static str,
    pub subject: &'static str,
}

/// In YAML.
pub const YAML: Names = Names {
    defaults: "default-template-values",
    extensions: "extension-templates",
    subject: "subject-alternative-name-template",
};

/// In JSON.
pub const JSON: Names = Names {
    defaults: "DefaultTemplateValues",
    extensions: "ExtensionTemplates",
    subject: "SubjectAlternativeNameTemplate",
};

/// The providers by name; `None`: there is one, and what is wrong with it was reported.
pub type Providers = HashMap<String, Option<EntryKind>>;

/// Reads and compiles every provider, used or not, as Fulcio does.
pub fn read(metadata: &Section<'_>, names: &Names) -> Providers {
    metadata.fields().map(|field| (field.name().to_owned(), provider(field, names))).collect()
}

fn provider(field: &Field<'_>, names: &Names) -> Option<EntryKind> {
    let section = field.section()?;
    let defaults = section.get(names.defaults).map(|field| texts(&field));
    let extensions = section.get(names.extensions).map(|field| templates(&field));
    let subject = section.get(names.subject).map(|field| field.text().map(str::to_owned));
    section.report_unknown();
    let provider = CiProvider {
        extension_templates: extensions.unwrap_or(Some(Vec::new()))?,
        default_template_values: defaults.unwrap_or(Some(Vec::new()))?,
        subject_alternative_name_template: subject.unwrap_or(Some(String::new()))?,
    };
    match provider.compile() {
        Ok(compiled) => Some(compiled.into()),
        Err(message) => {
            field.error(message);
            None
        }
    }
}

fn templates(field: &Field<'_>) -> Option<Vec<(ExtensionName, String)>> {
    let known = |(key, text): (String, String)| match ExtensionName::parse(&key) {
        Some(name) => Some((name, text)),
        None => {
            field.warning(format!("has the key {key}, which names no extension"));
            None
        }
    };
    Some(texts(field)?.into_iter().filter_map(known).collect())
}

/// Every key with its text.
fn texts(field: &Field<'_>) -> Option<Vec<(String, String)>> {
    let section = field.section()?;
    let texts: Vec<_> =
        section.fields().map(|field| Some((field.name().to_owned(), field.text()?.to_owned()))).collect();
    texts.into_iter().collect()
}
