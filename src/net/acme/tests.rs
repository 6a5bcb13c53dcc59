use super::*;

#[test]
fn two_thirds_of_its_time_are_enough() {
    let at = |second| Timestamp::from_second(second).unwrap();
    for (from, to, now, left) in [
        (0, 90, 0, 60),
        (0, 90, 59, 1),
        (0, 90, 60, 0),
        (0, 90, 1000, 0),
        (50, 140, 0, 110),
    ] {
        let expected = Duration::from_secs(left);
        assert_eq!(until_renewal(at(from), at(to), at(now)), expected);
    }
}

#[test]
fn a_certificate_that_does_not_fit_takes_no_place() {
    let directory = tempfile::tempdir().unwrap();
    let acme = Acme::new(
        Config {
            directory_url: "https://acme.example.test/directory".to_owned(),
            contact: Vec::new(),
            domains: vec!["mx.example.test".to_owned()],
            challenge: Challenge::Http01,
            authorities: None,
            state: directory.path().join("acme"),
        },
        Certificates::default(),
        Answers::default(),
        metrics::Certificates::default(),
    );
    assert!(!acme.restore().unwrap());
    assert_eq!(acme.due(Timestamp::now()), None);
    let pem = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.signing_key.serialize_pem(), made.cert.pem())
    };
    let (key, chain) = pem("mx.example.test");
    acme.keep(&key, &chain).unwrap();
    let kept = std::fs::read(acme.certificate()).unwrap();
    let (other_key, other_chain) = pem("elsewhere.example.test");
    for (key, chain, why) in [
        (&other_key, &other_chain, "it is not for mx.example.test"),
        (&other_key, &chain, "does not belong to the certificate"),
        (&key, &"garbage".to_owned(), "BEGIN CERTIFICATE"),
    ] {
        let error = acme.keep(key, chain).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(std::fs::read(acme.certificate()).unwrap(), kept);
    }
    assert!(acme.restore().unwrap());
    assert!(acme.due(Timestamp::now()).is_some());
}
