//! What a template is executed over: texts by name.

use crate::refusal::Reason;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Texts by name, in the order of their names' octets, as `range` meets them.
#[derive(Default)]
pub struct Data<'d> {
    members: BTreeMap<&'d str, Datum<'d>>,
}

/// One of them.
pub enum Datum<'d> {
    /// A text.
    Text(Cow<'d, str>),
    /// Something that has no text fit for a certificate: whoever looks at it fails for this reason.
    Refused(Reason),
}

impl<'d> Data<'d> {
    /// Puts `datum` under `name`, in place of what was there.
    pub fn insert(&mut self, name: &'d str, datum: Datum<'d>) {
        self.members.insert(name, datum);
    }

    /// What stands under `name`.
    pub fn member(&self, name: &str) -> Option<&Datum<'d>> {
        self.members.get(name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'d str, &Datum<'d>)> {
        self.members.iter().map(|(name, datum)| (*name, datum))
    }
}

impl fmt::Debug for Data<'_> {
    /// Their number only: claims are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} members)", self.members.len())
    }
}
