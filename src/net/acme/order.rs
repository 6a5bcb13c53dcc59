//! One order: the challenges answered, the certificate fetched.
//! Doesn't know when it is time for one.

use super::{Acme, AcmeError, Challenge, Pair};
use instant_acme::{
    AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::time::Duration;

impl Challenge {
    fn kind(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// Takes the answers back, however the order ends.
struct Posted<'a> {
    acme: &'a Acme,
    tokens: Vec<String>,
    names: Vec<String>,
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        for token in &self.tokens {
            self.acme.answers.set(token, None);
        }
        for name in &self.names {
            self.acme.certificates.challenge(name, None);
        }
    }
}

impl Posted<'_> {
    fn post(
        &mut self,
        name: &str,
        token: &str,
        answer: &KeyAuthorization,
    ) -> Result<(), AcmeError> {
        match self.acme.config.challenge {
            Challenge::Http01 => {
                self.tokens.push(token.to_owned());
                let answers = &self.acme.answers;
                answers.set(token, Some(answer.as_str().to_owned()));
            }
            Challenge::TlsAlpn01 => {
                self.names.push(name.to_owned());
                let pair = challenge_pair(name, answer).map_err(AcmeError::Certificate)?;
                self.acme.certificates.challenge(name, Some(pair));
            }
        }
        Ok(())
    }
}

impl Acme {
    pub(super) async fn order(&self) -> Result<Pair, AcmeError> {
        let account = self.log_in().await?;
        let domains = self.config.domains.iter();
        let names: Vec<_> = domains.map(|name| Identifier::Dns(name.clone())).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut posted = Posted {
            acme: self,
            tokens: Vec::new(),
            names: Vec::new(),
        };
        let policy = RetryPolicy::new()
            .initial_delay(Duration::from_millis(500))
            .timeout(Duration::from_secs(5 * 60));
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let kind = self.config.challenge.kind();
            let Some(mut challenge) = authorization.challenge(kind) else {
                let challenge = self.config.challenge.name();
                return Err(AcmeError::NotOffered { challenge, name });
            };
            let answer = challenge.key_authorization();
            posted.post(&name, &challenge.token, &answer)?;
            challenge.set_ready().await?;
        }
        match order.poll_ready(&policy).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(not_shown(&mut order).await),
            Err(error) => return Err(error.into()),
        }
        drop(posted);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        let key = key.map_err(|error| AcmeError::Certificate(error.to_string()))?;
        let request = rcgen::CertificateParams::new(self.config.domains.clone())
            .map(|mut params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params
            })
            .and_then(|params| params.serialize_request(&key))
            .map_err(|error| AcmeError::Certificate(error.to_string()))?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&policy).await?;
        self.keep(&key.serialize_pem(), &chain)
    }
}

/// What the server says went wrong.
async fn not_shown(order: &mut Order) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = match authorization {
            Ok(authorization) => authorization,
            Err(error) => return error.into(),
        };
        if let Err(error) = authorization.refresh().await {
            return error.into();
        }
        let errors = authorization.challenges.iter();
        if let Some(error) = errors
            .filter_map(|challenge| challenge.error.as_ref())
            .next()
        {
            return AcmeError::NotShown {
                name: authorization.identifier().to_string(),
                why: error.to_string(),
            };
        }
    }
    AcmeError::Certificate("the order was refused, without a reason".to_owned())
}

/// RFC 8737 §3: self-signed, for that name alone, with the digest of the key authorization in it.
pub(super) fn challenge_pair(name: &str, answer: &KeyAuthorization) -> Result<Pair, String> {
    let failed = |error: rcgen::Error| error.to_string();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(
        answer.digest().as_ref(),
    )];
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let signed = params.self_signed(&key).map_err(failed)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Pair::unchecked(vec![signed.der().clone()], private)
}
