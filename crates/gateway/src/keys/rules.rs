//! What a key may be used for.

use std::net::IpAddr;

use ipnet::IpNet;

use super::InvalidRule;
use crate::refusal::Refusal;

/// What a request brings along besides text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modalities {
    pub image: bool,
    pub audio: bool,
}

/// What a key is about to be used for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'a> {
    /// Where the request came from; `None` for what was let in before.
    pub address: Option<IpAddr>,
    /// Absent on routes that use no model.
    pub model: Option<&'a str>,
    pub adapters: &'a [String],
    pub modalities: Modalities,
}

/// What a key may be used for, parsed. Empty lists allow everything, but for models, which have a
/// switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `None`: all.
    models: Option<Vec<String>>,
    networks: Vec<IpNet>,
    adapters: Vec<String>,
    modalities: Vec<String>,
}

const MODALITIES: [&str; 3] = ["text", "image", "audio"];

impl Rules {
    /// Reads the fields of a key.
    ///
    /// # Errors
    /// If one of them says something that could not be held against a request.
    pub fn parse(
        models: Option<&str>,
        allow_ips: &str,
        adapters: &str,
        modalities: &str,
    ) -> Result<Self, InvalidRule> {
        let networks = list(allow_ips, &['\n', ',', ' ', '\r', '\t']).map(|text| {
            network(text).ok_or_else(|| {
                let problem = "is neither an address nor a network (10.0.0.0/8)";
                InvalidRule(format!("allow_ips: '{text}' {problem}"))
            })
        });
        let networks = networks.collect::<Result<_, _>>()?;
        let modalities: Vec<String> = owned(list(modalities, &[',']));
        if let Some(unknown) = modalities.iter().find(|name| !MODALITIES.contains(&name.as_str())) {
            let problem = "is none of text, image and audio";
            return Err(InvalidRule(format!("modalities: '{unknown}' {problem}")));
        }
        Ok(Self {
            models: models.map(|models| owned(list(models, &[',']))),
            networks,
            adapters: owned(list(adapters, &[','])),
            modalities,
        })
    }

    /// Whether `model` may be used at all, for lists of models.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }

    /// Holds everything against a request.
    pub fn check(&self, wanted: &Use) -> Result<(), Refusal> {
        let is_inside = |ip: &IpAddr| self.networks.iter().any(|net| net.contains(ip));
        let address = wanted.address.map(|address| address.to_canonical());
        if let Some(address) = address.filter(|ip| !self.networks.is_empty() && !is_inside(ip)) {
            let message = format!("This key may not be used from the address {address}.");
            return Err(Refusal::forbidden("ip_not_allowed", message));
        }
        if let Some(model) = wanted.model
            && !self.allows_model(model)
        {
            let message = format!("This key may not use the model '{model}'.");
            return Err(Refusal::forbidden("model_not_allowed", message).with_param("model"));
        }
        if !self.adapters.is_empty()
            && let Some(name) = wanted.adapters.iter().find(|name| !self.adapters.contains(name))
        {
            let message = format!("This key may not use the adapter '{name}'.");
            return Err(Refusal::forbidden("adapter_not_allowed", message));
        }
        self.check_modalities(wanted)
    }

    fn check_modalities(&self, wanted: &Use) -> Result<(), Refusal> {
        let Modalities { image, audio } = wanted.modalities;
        // Whatever uses a model has text: a prompt is one.
        let brought = [(wanted.model.is_some(), "text"), (image, "image"), (audio, "audio")];
        for (is_brought, name) in brought {
            let is_allowed =
                self.modalities.is_empty() || self.modalities.iter().any(|known| known == name);
            if is_brought && !is_allowed {
                let message = format!("This key may not be used with {name}.");
                return Err(Refusal::forbidden("modality_not_allowed", message));
            }
        }
        Ok(())
    }
}

fn list<'a>(text: &'a str, between: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(between).map(str::trim).filter(|entry| !entry.is_empty())
}

fn owned<'a>(entries: impl Iterator<Item = &'a str>) -> Vec<String> {
    entries.map(str::to_owned).collect()
}

fn network(text: &str) -> Option<IpNet> {
    let net = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    // An address that came through a dual socket is compared as what it is.
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match IpAddr::V6(v6.addr()).to_canonical() {
            IpAddr::V4(v4) => IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).ok(),
            IpAddr::V6(_) => Some(net),
        },
        _ => Some(net),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(rules: &Rules, wanted: &Use) -> Option<&'static str> {
        match rules.check(wanted) {
            Ok(()) => None,
            Err(Refusal::Error(error)) => error.object.code,
            Err(Refusal::Response(_)) => panic!("rules write no responses"),
        }
    }

    fn wanted(address: &str) -> Use<'static> {
        Use {
            address: Some(address.parse().unwrap()),
            model: Some("phi"),
            adapters: &[],
            modalities: Modalities::default(),
        }
    }

    #[test]
    fn networks_are_compared_by_what_an_address_is() {
        let rules =
            Rules::parse(None, "10.0.0.0/8\n2001:db8::/32\r\n192.168.1.7, ::ffff:1.2.3.4", "", "")
                .unwrap();
        for allowed in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::9", "192.168.1.7", "1.2.3.4"] {
            assert_eq!(code(&rules, &wanted(allowed)), None, "{allowed}");
        }
        for refused in ["11.0.0.1", "192.168.1.8", "2001:db9::1", "::1"] {
            assert_eq!(code(&rules, &wanted(refused)), Some("ip_not_allowed"), "{refused}");
        }
        assert!(Rules::parse(None, "10.0.0.0/33", "", "").is_err());
        assert!(Rules::parse(None, "example.org", "", "").is_err());
        assert_eq!(code(&Rules::parse(None, " \n ", "", "").unwrap(), &wanted("::1")), None);
    }

    #[test]
    fn models_adapters_and_modalities_are_lists_of_what_is_allowed() {
        let rules = Rules::parse(Some("phi, other"), "", "law,code", "text,image").unwrap();
        let base = wanted("::1");
        assert_eq!(code(&rules, &base), None);
        assert_eq!(code(&rules, &Use { model: Some("ph"), ..base }), Some("model_not_allowed"));
        assert_eq!(code(&rules, &Use { model: None, ..base }), None);
        let law = ["law".to_owned()];
        let both = ["law".to_owned(), "medicine".to_owned()];
        assert_eq!(code(&rules, &Use { adapters: &law, ..base }), None);
        assert_eq!(code(&rules, &Use { adapters: &both, ..base }), Some("adapter_not_allowed"));
        let image = Modalities { image: true, audio: false };
        let audio = Modalities { image: false, audio: true };
        assert_eq!(code(&rules, &Use { modalities: image, ..base }), None);
        assert_eq!(code(&rules, &Use { modalities: audio, ..base }), Some("modality_not_allowed"));
        let only_audio = Rules::parse(None, "", "", "audio").unwrap();
        assert_eq!(code(&only_audio, &base), Some("modality_not_allowed"));
        assert!(Rules::parse(None, "", "", "video").is_err());
        let none = Rules::parse(Some(""), "", "", "").unwrap();
        assert_eq!(code(&none, &base), Some("model_not_allowed"), "an empty list allows nothing");
    }
}
