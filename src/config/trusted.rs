//! `[trusted]`: the networks that may do what others may not.
//! What they may is said where it is done.

use super::{ConfigError, Source};
use crate::net::Networks;
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raw {
    networks: Option<Vec<Spanned<String>>>,
    proxies: Option<Vec<Spanned<String>>>,
    xclient: Option<Vec<Spanned<String>>>,
    xforward: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// Who is exempt from limits.
    pub networks: Networks,
    /// Whose PROXY headers are believed.
    pub proxies: Networks,
    pub xclient: Networks,
    pub xforward: Networks,
}

pub fn resolve(source: &Source, raw: &Raw) -> Result<Trusted, ConfigError> {
    Ok(Trusted {
        networks: match &raw.networks {
            Some(texts) => networks(source, texts)?,
            None => Networks::loopback(),
        },
        proxies: networks(source, raw.proxies.as_deref().unwrap_or_default())?,
        xclient: networks(source, raw.xclient.as_deref().unwrap_or_default())?,
        xforward: networks(source, raw.xforward.as_deref().unwrap_or_default())?,
    })
}

fn networks(source: &Source, texts: &[Spanned<String>]) -> Result<Networks, ConfigError> {
    for text in texts {
        if Networks::parse([text.get_ref().as_str()]).is_none() {
            return Err(source.error(
                text.span(),
                format!("{:?} is not a network", text.get_ref()),
                "write it as \"192.0.2.0/24\", with no bits set behind the prefix, or one address as \"192.0.2.1\"",
            ));
        }
    }
    Ok(Networks::parse(texts.iter().map(|text| text.get_ref().as_str())).unwrap_or_default())
}
