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

fn acme(directory_url: &str, directory: &Path) -> Acme {
    Acme::new(
        Config {
            directory_url: directory_url.to_owned(),
            contact: Vec::new(),
            domains: vec!["mx.example.test".to_owned()],
            challenge: Challenge::Http01,
            authorities: None,
            state: directory.join("acme"),
        },
        Certificates::default(),
        Answers::default(),
        metrics::Certificates::default(),
    )
}

const URL: &str = "https://acme.example.test/directory";

/// Key and chain, for so many seconds from now on.
fn pem(seconds: u32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["mx.example.test".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    params.not_before = now.into();
    params.not_after = params.not_before + Duration::from_secs(1) * seconds;
    let key = rcgen::KeyPair::generate().unwrap();
    (key.serialize_pem(), params.self_signed(&key).unwrap().pem())
}

#[test]
fn a_certificate_that_is_due_at_once_is_not_followed_by_another_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let acme = acme(URL, directory.path());
    acme.restore().unwrap();
    for (seconds, is_good) in [(3600, true), (0, false)] {
        let (key, chain) = pem(seconds);
        let pair = acme.keep(&key, &chain).unwrap();
        assert_eq!(acme.take(pair).is_ok(), is_good, "{seconds}");
    }
}

#[test]
fn a_certificate_of_another_server_serves_until_ours_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let old = acme(URL, directory.path());
    old.restore().unwrap();
    let (key, chain) = pem(3600);
    old.keep(&key, &chain).unwrap();
    let new = acme("https://other.example.test/directory", directory.path());
    assert!(new.restore().unwrap());
    assert_eq!(new.certificates.all().len(), 1);
    assert_eq!(new.due(Timestamp::now()), None);
    assert_ne!(new.account(), old.account());
    assert!(old.restore().unwrap());
    assert!(old.due(Timestamp::now()).is_some());

    // One that was kept before there was a line about its server.
    std::fs::write(old.certificate(), format!("{key}{chain}")).unwrap();
    assert!(new.due(Timestamp::now()).is_some());
}

#[test]
fn a_certificate_that_does_not_fit_takes_no_place() {
    let directory = tempfile::tempdir().unwrap();
    let acme = acme(URL, directory.path());
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
