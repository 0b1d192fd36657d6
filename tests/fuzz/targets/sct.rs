//! SCTs: a list out of a certificate, one alone, a log's answer.

use countersign::transparency::sct::{self, ReceivedSct};

/// What is read is written as it was.
pub fn target(data: &[u8]) {
    if let Ok(sct) = ReceivedSct::parse(data) {
        assert_eq!(sct.to_bytes(), data);
        check(&sct);
    }
    if let Ok(scts) = ReceivedSct::parse_list(data) {
        let parts: Vec<Vec<u8>> = scts.iter().map(ReceivedSct::to_bytes).collect();
        assert_eq!(sct::list(&parts), data);
        scts.iter().for_each(check);
    }
    if let Ok(sct) = ReceivedSct::from_json(data) {
        check(&sct);
    }
}

fn check(sct: &ReceivedSct) {
    assert_eq!(ReceivedSct::parse(&sct.to_bytes()).as_ref(), Ok(sct));
    assert_eq!(ReceivedSct::from_json(sct.to_json().to_string().as_bytes()).as_ref(), Ok(sct));
    if let Ok(place) = sct.place() {
        assert_eq!(place.timestamp, sct.timestamp());
        assert!(place.index < 1 << 40);
    }
    let certificate = super::world::chain().certificates().first().expect("a certificate");
    assert!(
        sct.verify_certificate(super::world::chain().issuing_spki(), certificate).is_err(),
        "nobody signed it"
    );
}
