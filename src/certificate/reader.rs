//! A reader of DER that walks: elements as slices, in order, nothing decoded and nothing copied.
//!
//! X.690 §8.1 and §10.1: definite lengths in the fewest octets. Tags of several octets, which X.509 does not have, are
//! refused.

use super::raw::Malformed;

/// INTEGER
pub(crate) const INTEGER: u8 = 0x02;
/// BIT STRING
pub(crate) const BIT_STRING: u8 = 0x03;
/// OCTET STRING
pub(crate) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// BOOLEAN
pub(crate) const BOOLEAN: u8 = 0x01;
/// SEQUENCE, constructed
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: the version of a TBSCertificate.
pub(crate) const VERSION: u8 = 0xa0;
/// `[3]`, constructed: the extensions of a TBSCertificate.
pub(crate) const EXTENSIONS: u8 = 0xa3;

/// One element: tag, length and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    /// The identifier octet.
    pub(crate) tag: u8,
    /// The contents octets.
    pub(crate) value: &'a [u8],
    /// All of its octets.
    pub(crate) der: &'a [u8],
}

/// Elements, one after another.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    /// The one element that `der` is, which must have this tag.
    pub(crate) fn only(der: &'a [u8], tag: u8) -> Result<Self, Malformed> {
        let mut elements = Elements { rest: der };
        let element = elements.expect(tag)?;
        elements.finish()?;
        Ok(element)
    }

    /// The elements inside it.
    pub(crate) fn inside(self) -> Elements<'a> {
        Elements { rest: self.value }
    }
}

impl<'a> Elements<'a> {
    /// The elements that `octets` are.
    pub(crate) fn over(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// What has not been read yet.
    pub(crate) const fn octets(&self) -> &'a [u8] {
        self.rest
    }

    /// What has been read of the elements inside `whole`.
    pub(crate) fn before(&self, whole: Element<'a>) -> &'a [u8] {
        let length = whole.value.len().saturating_sub(self.rest.len());
        whole.value.get(..length).unwrap_or_default()
    }

    /// The next element, of any tag.
    pub(crate) fn element(&mut self) -> Result<Element<'a>, Malformed> {
        let whole = self.rest;
        let (&tag, after_tag) = whole.split_first().ok_or_else(cut)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed("not valid DER: a tag of several octets".into()));
        }
        let (length, after_length) = length(after_tag)?;
        let (value, rest) = after_length.split_at_checked(length).ok_or_else(cut)?;
        let (der, _) = whole.split_at_checked(whole.len() - rest.len()).ok_or_else(cut)?;
        self.rest = rest;
        Ok(Element { tag, value, der })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        let element = self.element()?;
        if element.tag != tag {
            return Err(Malformed(format!(
                "not valid DER: tag {tag:#04x} expected, {:#04x} found",
                element.tag
            )));
        }
        Ok(element)
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        if self.rest.first() == Some(&tag) { self.element().map(Some) } else { Ok(None) }
    }

    /// Whether there is no further element.
    pub(crate) fn is_finished(&self) -> bool {
        self.rest.is_empty()
    }

    /// That there is no further element.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.is_finished() {
            Ok(())
        } else {
            Err(Malformed("not valid DER: something follows its end".into()))
        }
    }
}

/// The length at the beginning of `octets`, and what follows it.
fn length(octets: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (&first, rest) = octets.split_first().ok_or_else(cut)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(Malformed("not valid DER: an indefinite or enormous length".into()));
    }
    let (digits, rest) = rest.split_at_checked(count).ok_or_else(cut)?;
    let length = digits.iter().fold(0u64, |length, digit| length << 8 | u64::from(*digit));
    if digits.first() == Some(&0) || length < 0x80 {
        return Err(Malformed("not valid DER: a length in more octets than it needs".into()));
    }
    Ok((usize::try_from(length).map_err(|_| cut())?, rest))
}

fn cut() -> Malformed {
    Malformed("not valid DER: it ends too early".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Decode;
    use der::asn1::AnyRef;
    use proptest::prelude::*;

    #[test]
    fn lengths_have_one_form_only() {
        let element = |der: &[u8]| Element::only(der, OCTET_STRING).map(|element| element.value.len());
        let long = |header: &[u8], length| element(&[header, &vec![0; length]].concat());
        assert_eq!(long(&[4, 0], 0), Ok(0));
        assert_eq!(long(&[4, 0x7f], 0x7f), Ok(0x7f));
        assert_eq!(long(&[4, 0x81, 0x80], 0x80), Ok(0x80));
        assert_eq!(long(&[4, 0x82, 1, 0], 0x100), Ok(0x100));
        for (header, length) in [
            (&[4, 0x81, 0x7f][..], 0x7f),
            (&[4, 0x82, 0, 0x80], 0x80),
            (&[4, 0x80], 0),
            (&[4, 0x85, 0, 0, 0, 0, 1], 1),
            (&[4, 0x84, 0xff, 0xff, 0xff, 0xff], 1),
            (&[4, 2], 1),
            (&[4, 1], 2),
            (&[4], 0),
            (&[], 0),
            (&[0x1f, 4, 0], 0),
            (&[5, 0], 0),
        ] {
            assert!(long(header, length).is_err(), "{header:x?}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_all_that_an_independent_reader_reads(
            tag in prop::sample::select(vec![1u8, 2, 3, 4, 5, 6, 0x0c, 0x30, 0xa0, 0xa3]),
            tail in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [&[tag][..], &tail].concat();
            let ours = Elements { rest: &bytes }.element();
            if let Ok((theirs, rest)) = AnyRef::from_der_partial(&bytes) {
                let ours = ours.unwrap();
                prop_assert_eq!(ours.value, theirs.value());
                prop_assert_eq!(ours.der.len() + rest.len(), bytes.len());
            }
        }
    }
}
