//! `format` of strings, as patterns. Where a format depends on more than an expression can say
//! (leap years, lengths of names), the pattern allows less than the format does, never more.

/// Text of at most 62 letters, digits and single hyphens, which stand inside.
const LABEL: &str = "[a-zA-Z0-9]{1,20}(?:-[a-zA-Z0-9]{1,20}){0,2}";
const DATE: &str = "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])\
    |(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";
const TIME: &str = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?\
    (?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const BYTE_NUMBER: &str = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/// What stands in a path, a query or a fragment as it is.
const URI_CHARACTER: &str = "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})";
const HEX: &str = "[0-9a-fA-F]{1,4}";

/// What a format means for strings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing.
    Annotation,
    /// An anchored pattern.
    Pattern(String),
}

/// `None` if the format is not enforced.
pub(super) fn format(name: &str) -> Option<Format> {
    let hostname = format!("{LABEL}(?:\\.{LABEL}){{0,2}}");
    let ipv4 = format!("{BYTE_NUMBER}(?:\\.{BYTE_NUMBER}){{3}}");
    let tail = format!("(?:\\?(?:{URI_CHARACTER}|[/?])*)?(?:#(?:{URI_CHARACTER}|[/?])*)?");
    let path = format!("(?:/{URI_CHARACTER}*)*");
    let scheme = "[a-zA-Z][a-zA-Z0-9+.-]{0,15}";
    let uri = format!(
        "{scheme}:(?://(?:{hostname}|{ipv4})(?::[1-9][0-9]{{0,3}})?{path}|{URI_CHARACTER}+{path})\
         {tail}"
    );
    let pattern = match name {
        "binary" | "password" => return Some(Format::Annotation),
        "date" => DATE.to_owned(),
        "time" => TIME.to_owned(),
        "date-time" => format!("{DATE}T{TIME}"),
        "duration" => duration(),
        "email" | "idn-email" => {
            let atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}";
            format!("{atom}(?:\\.{atom}){{0,2}}@{LABEL}(?:\\.{LABEL}){{1,2}}")
        }
        "hostname" | "idn-hostname" => hostname,
        "ipv4" => ipv4,
        "ipv6" => ipv6(),
        "uuid" => "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}".to_owned(),
        "uri" | "iri" | "uri-template" => uri,
        "uri-reference" | "iri-reference" => format!("{uri}|(?:/{URI_CHARACTER}+)*/?{tail}"),
        "json-pointer" => "(?:/(?:[^~/]|~[01])*)*".to_owned(),
        "relative-json-pointer" => "(?:0|[1-9][0-9]{0,8})(?:#|(?:/(?:[^~/]|~[01])*)*)".to_owned(),
        "byte" => {
            "(?:[a-zA-Z0-9+/]{4})*(?:[a-zA-Z0-9+/][AQgw]==|[a-zA-Z0-9+/]{2}[AEIMQUYcgkosw048]=)?"
                .to_owned()
        }
        _ => return None,
    };
    Some(Format::Pattern(format!("^(?:{pattern})$")))
}

fn duration() -> String {
    let number = "[0-9]{1,9}";
    // Units are written from the largest to the smallest, and none between two is left out.
    let seconds = format!("{number}S");
    let minutes = format!("{number}M(?:{seconds})?");
    let time = format!("T(?:{number}H(?:{minutes})?|{minutes}|{seconds})");
    let days = format!("{number}D");
    let months = format!("{number}M(?:{days})?");
    format!("P(?:(?:{number}Y(?:{months})?|{months}|{days})(?:{time})?|{time}|{number}W)")
}

/// Eight groups, or fewer with `::` for two or more groups of zeros.
fn ipv6() -> String {
    let mut forms = vec![format!("(?:{HEX}:){{7}}{HEX}")];
    for before in 0..=6usize {
        let start = match before {
            0 => String::new(),
            _ => format!("{HEX}(?::{HEX}){{{}}}", before - 1),
        };
        let after = 6 - before;
        let end = match after {
            0 => String::new(),
            _ => format!("(?:{HEX}(?::{HEX}){{0,{}}})?", after - 1),
        };
        forms.push(format!("{start}::{end}"));
    }
    forms.join("|")
}
