//! Parameters of a form, as OAuth has them: each once, an empty one is none, unknown ones are nobody's business (RFC 6749 §3.2).

use super::error::Told;
use std::borrow::Cow;
use url::form_urlencoded;
use zeroize::Zeroizing;

/// How many parameters are read.
const MOST_PARAMETERS: usize = 64;

/// The parameters. Among them are tokens: they are wiped when this goes.
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// From a body, or a query.
    ///
    /// # Errors
    /// Not UTF-8, too many, or one is given twice, be it unknown or empty (RFC 6749 §3.2).
    pub fn parse(octets: &[u8]) -> Result<Self, Told> {
        let mut form = Self::whole(octets)?;
        if form.0.iter().any(|(name, _)| form.is_twice(name)) {
            return Err(Told::invalid("A parameter is given twice."));
        }
        form.0.retain(|(_, value)| !value.is_empty());
        Ok(form)
    }

    /// The same of an operator's order or list, of which nothing may be overlooked: parameters of these names and no others, each once and with a
    /// value.
    ///
    /// # Errors
    /// As [`Self::parse`]; and which parameter is unknown, empty, or given twice.
    pub fn strict(octets: &[u8], names: &[&'static str]) -> Result<Self, Told> {
        let form = Self::whole(octets)?;
        if let Some((odd, _)) = form.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Told::saying(format!(
                "{} is not one of its parameters; there are {names}.",
                shown(odd)
            )));
        }
        for (name, value) in &form.0 {
            if form.is_twice(name) {
                return Err(Told::saying(format!("{name} is given twice.")));
            }
            // An empty one would count as none, and what it was to narrow would be all there is.
            if value.is_empty() {
                return Err(Told::saying(format!("{name} is empty.")));
            }
        }
        Ok(form)
    }

    fn is_twice(&self, name: &str) -> bool {
        self.0.iter().filter(|(other, _)| other == name).count() > 1
    }

    fn whole(octets: &[u8]) -> Result<Self, Told> {
        // The decoder replaces what is no UTF-8; what somebody did not send is not read.
        let mut pairs = Vec::new();
        for (name, value) in form_urlencoded::parse(octets) {
            if pairs.len() == MOST_PARAMETERS {
                return Err(Told::invalid("There are more than 64 parameters."));
            }
            if [&name, &value].into_iter().any(|text| text.contains('\u{fffd}')) {
                return Err(Told::invalid("A parameter is not UTF-8."));
            }
            pairs.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(Self(pairs))
    }

    /// A parameter; `None`: it is not given, or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `missing`.
    pub fn require(&self, name: &str, missing: &'static str) -> Result<&str, Told> {
        self.get(name).ok_or(Told::invalid(missing))
    }

    /// Two names of one parameter: whichever is there, and not both with different values.
    ///
    /// # Errors
    /// Both differ.
    pub fn either(&self, name: &str, other: &str) -> Result<Option<Cow<'_, str>>, Told> {
        match (self.get(name), self.get(other)) {
            (Some(one), Some(two)) if one != two => {
                Err(Told::invalid("Two parameters that mean the same thing have different values."))
            }
            (one, two) => Ok(one.or(two).map(Cow::Borrowed)),
        }
    }
}

/// A parameter's name in an answer; one that may be something else in the wrong place is not said back.
fn shown(name: &str) -> String {
    let is_a_name =
        name.len() <= 20 && name.bytes().all(|octet| octet.is_ascii_alphabetic() || octet == b'_');
    if is_a_name && !name.is_empty() { format!("{name:?}") } else { "What was sent".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_and_empty_ones_are_none() {
        let form = Form::parse(b"a=1&b=&c=%2B+x").ok().unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1"), None, Some("+ x")));
        // Whoever sends one twice means one of them, and nobody knows which: an empty or unknown one as well.
        for twice in ["d=1&d=2", "d=1&d=1", "d=&d=own", "d=own&d=", "d&d", "a=1&foo=1&b=2&foo=2"] {
            assert!(Form::parse(twice.as_bytes()).is_err(), "{twice}");
        }
        assert!(form.require("b", "b is missing").is_err());
        assert_eq!(form.either("a", "z").ok().unwrap().as_deref(), Some("1"));
        assert!(form.either("a", "c").is_err());
    }

    #[test]
    fn of_an_order_nothing_is_overlooked() {
        let form = Form::strict(b"role=a%20b&job=7", &["role", "project", "job"]).ok().unwrap();
        assert_eq!((form.get("role"), form.get("project")), (Some("a b"), None));
        assert!(Form::strict(b"", &["role"]).is_ok() && Form::strict(b"", &[]).is_ok());
        assert!(Form::strict(b"role=a", &[]).is_err());
        for wrong in
            ["role", "role=", "role=a&role=a", "role=&role=a", "Role=a", "=a", "role=a&x", "role=%ff"]
        {
            assert!(Form::strict(wrong.as_bytes(), &["role"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hostile_forms_are_refused() {
        assert!(Form::parse(b"a=%ff").is_err());
        assert!(Form::parse("a=1&".repeat(65).as_bytes()).is_err());
    }
}
