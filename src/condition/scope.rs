//! What a condition may name: its variables, their members, and the type of each.

use crate::spelling::nearest;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A type of CEL, of those that conditions have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A string.
    Text,
    /// A point in time.
    Time,
    /// The distance of two points in time.
    Span,
    /// A list of values of one type.
    List(Box<Self>),
    /// A value that may be absent: what `record.?member` is.
    Optional(Box<Self>),
}

impl Type {
    /// A list of texts.
    pub fn texts() -> Self {
        Self::List(Box::new(Self::Text))
    }
}

impl fmt::Display for Type {
    /// As CEL's documentation calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Text => f.write_str("string"),
            Self::Time => f.write_str("timestamp"),
            Self::Span => f.write_str("duration"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Optional(of) => write!(f, "optional({of})"),
        }
    }
}

/// A member of a record, or a variable.
#[derive(Clone, Debug)]
pub struct Member {
    pub(super) kind: Kind,
    pub(super) always: bool,
    /// The only values that there are, when there are few: comparing with another could never hold.
    pub(super) values: &'static [&'static str],
}

/// What a member is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Value(Type),
    Record(Record),
}

impl Member {
    /// A value that is always there.
    pub const fn always(of: Type) -> Self {
        Self { kind: Kind::Value(of), always: true, values: &[] }
    }

    /// A value that may be absent, so that a condition has to ask first.
    pub const fn sometimes(of: Type) -> Self {
        Self { kind: Kind::Value(of), always: false, values: &[] }
    }

    /// A group of members.
    pub const fn record(of: Record, always: bool) -> Self {
        Self { kind: Kind::Record(of), always, values: &[] }
    }

    /// A text with one of these values and no other.
    pub const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }
}

/// A group of named members, `claims` for instance.
#[derive(Clone, Debug, Default)]
pub struct Record {
    members: BTreeMap<Cow<'static, str>, Member>,
    others: Option<Type>,
}

impl Record {
    /// These members and no others.
    pub fn of<N: Into<Cow<'static, str>>>(members: impl IntoIterator<Item = (N, Member)>) -> Self {
        let members = members.into_iter().map(|(name, member)| (name.into(), member)).collect();
        Self { members, others: None }
    }

    /// Besides, members of any name may be there, all of one type.
    pub fn and_others(mut self, of: Type) -> Self {
        self.others = Some(of);
        self
    }

    /// What is sure in both: a member that only one of them always has, may be absent; one with two types is none.
    pub fn common(self, other: &Self) -> Self {
        let mut members = BTreeMap::new();
        for (name, mut member) in self.members {
            let Some(theirs) = other.members.get(&name) else {
                if other.others.is_some() {
                    member.always = false;
                    members.insert(name, member);
                }
                continue;
            };
            let Kind::Value(of) = &member.kind else { continue };
            if !matches!(&theirs.kind, Kind::Value(their) if their == of) {
                continue;
            }
            member.always &= theirs.always;
            if member.values != theirs.values {
                member.values = &[];
            }
            members.insert(name, member);
        }
        let mine = members.keys().cloned().collect::<Vec<_>>();
        if self.others.is_some() {
            for (name, member) in &other.members {
                if !mine.contains(name) {
                    members.insert(name.clone(), Member { always: false, ..member.clone() });
                }
            }
        }
        let others = self.others.filter(|of| other.others.as_ref() == Some(of));
        Self { members, others }
    }

    /// Whether a member of this name is a text wherever it is there.
    pub fn has_text(&self, name: &str) -> bool {
        match self.members.get(name) {
            Some(member) => matches!(member.kind, Kind::Value(Type::Text)),
            None => self.others == Some(Type::Text),
        }
    }

    /// The member whose name is so near to this one that it was probably meant. `None`: it is one, or is near to none.
    pub fn meant_by(&self, name: &str) -> Option<&str> {
        if self.members.contains_key(name) {
            return None;
        }
        nearest(name, self.names(), |name| if name.len() < 6 { 1 } else { 2 })
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// The type of members that are not named, where there may be some.
    pub(super) fn other(&self) -> Option<&Type> {
        self.others.as_ref()
    }

    /// The members that have a name here, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(|name| &**name)
    }

    /// The type of a value that is named here, and whether it is always there. `None`: nothing is known of the name, or it is a group.
    pub fn value(&self, name: &str) -> Option<(&Type, bool)> {
        let member = self.member(name)?;
        match &member.kind {
            Kind::Value(of) => Some((of, member.always)),
            Kind::Record(_) => None,
        }
    }
}

/// The variables of a kind of condition.
pub type Scope = Record;
