//! Where traces go, as the operator and the variables of the environment say.

use crate::TelemetryError;

/// What stands behind a collector's address for traces.
const PATH: &str = "/v1/traces";

/// Variables that name a collector; the first is for traces alone.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Variables that name the form of messages.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The whole address.
    pub(crate) url: String,
}

impl Destination {
    /// The collector at `address`, if that is given (`http://127.0.0.1:4318`), or the one that the
    /// standard variables name; `None` if neither does, or the variables turn traces off.
    /// `variable` reads a variable of the environment.
    ///
    /// # Errors
    /// If an address is none, or a variable asks for what there is not.
    pub fn find(
        address: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TelemetryError> {
        // By the specification an empty variable is one that is not set.
        let read = |name: &'static str| variable(name).filter(|value| !value.is_empty());
        let [own, general] = ENDPOINTS.map(read);
        let url = match (address, own, general) {
            (Some(address), _, _) => below(address),
            (None, Some(own), _) => own,
            (None, None, Some(general)) => below(&general),
            (None, None, None) => return Ok(None),
        };
        let is_off = |value: String| value.eq_ignore_ascii_case("true");
        if address.is_none() && read("OTEL_SDK_DISABLED").is_some_and(is_off) {
            return Ok(None);
        }
        if let Some(value) = read("OTEL_TRACES_EXPORTER") {
            match value.as_str() {
                "otlp" => {}
                "none" if address.is_none() => return Ok(None),
                _ => {
                    let (variable, known) = ("OTEL_TRACES_EXPORTER", "otlp or none");
                    return Err(TelemetryError::Variable { variable, value, known });
                }
            }
        }
        for variable in PROTOCOLS {
            if let Some(value) = read(variable).filter(|value| value != "http/protobuf") {
                let known = "http/protobuf";
                return Err(TelemetryError::Variable { variable, value, known });
            }
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(TelemetryError::Address(url));
        }
        Ok(Some(Self { url }))
    }
}

/// The address for traces of a collector at `address`.
fn below(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.ends_with(PATH) { address.to_owned() } else { format!("{address}{PATH}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(address: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let read = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        let found = Destination::find(address, read);
        found.map(|found| found.map(|to| to.url)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flag_comes_before_the_variables() {
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:4318/other");
        let at = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(find(None, &[]), Ok(None));
        assert_eq!(find(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        assert_eq!(find(None, &[collector]), at("http://a:4318/v1/traces"));
        assert_eq!(find(None, &[collector, own]), at("http://b:4318/other"));
        assert_eq!(find(Some("https://c"), &[collector, own]), at("https://c/v1/traces"));
        assert_eq!(find(Some("http://c/v1/traces"), &[]), at("http://c/v1/traces"));
        assert_eq!(find(None, &[collector, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
        assert_eq!(find(None, &[collector, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let error = find(Some("localhost:4318"), &[]).unwrap_err();
        assert!(error.contains("'localhost:4318/v1/traces' is no address"), "{error}");
        let grpc = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let error = find(Some("http://c"), &grpc).unwrap_err();
        assert_eq!(
            error,
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; here it can only be http/protobuf"
        );
        let error = find(Some("http://c"), &[("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err();
        assert!(error.contains("otlp or none"), "{error}");
    }
}
