//! `trust:`, what trust material names beside the present keys.

use super::reader::Section;
use super::{Config, issuers, read_path};
use crate::bundle::trust_material::AlsoTrusted;
use std::path::{Path, PathBuf};

/// More replaced keys than anybody has.
const MOST_FILES: usize = 64;

/// `trust.also`: trusted roots of keys that were replaced, or are to come.
pub(super) fn read(section: &Section<'_>, directory: &Path) -> Option<Vec<PathBuf>> {
    let also = match section.get("also") {
        Some(field) => {
            let items = field.items()?;
            if items.len() > MOST_FILES {
                field.error(format!("has {} files; {MOST_FILES} are possible", items.len()));
                return None;
            }
            items
                .iter()
                .map(|item| {
                    let path = read_path(item, directory)?;
                    let text = issuers::read_unwatched_file(item, directory);
                    if let Some(Err(error)) = text.as_deref().map(AlsoTrusted::from_json) {
                        item.error(format!("{}: {error}", path.display()));
                        return None;
                    }
                    Some(path)
                })
                .collect()
        }
        None => Some(Vec::new()),
    };
    section.report_unknown();
    also
}

impl Config {
    /// What the files of `trust.also` hold.
    ///
    /// # Errors
    /// In words for the operator: which file, what is wrong.
    pub fn also_trusted(&self) -> Result<Vec<AlsoTrusted>, String> {
        let each = self.also_trusted.iter().map(|path| {
            let text = std::fs::read(path);
            let text = text.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            AlsoTrusted::from_json(&text).map_err(|error| format!("{}: {error}", path.display()))
        });
        each.collect()
    }

    /// Whether clients elsewhere, or here, can use [`Self::base_url`]: `public_url` is set, or `listen` names an address and a
    /// port. Otherwise no trust material is served.
    pub fn has_address(&self) -> bool {
        self.public_url.is_some() || !self.listen.ip().is_unspecified() && self.listen.port() != 0
    }
}
