//! Bounds of numbers, in the form that the library gets right.
//!
//! It counts in `f64`, and its expressions for open bounds are wrong around zero. So bounds are
//! closed here, and stay where every integer is exact. Bounds only ever become narrower.

use serde_json::{Map, Value, json};

use crate::limits::MULTIPLES_MAX;
use crate::refused::Refused;

/// Beyond it not every integer is an `f64`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What an open bound is moved inwards by.
const OPEN_STEP: f64 = 1e-6;

/// Bounds of a number, both closed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
}

impl Bounds {
    /// Reads the four keywords of a schema at `place`.
    pub(super) fn read(schema: &Map<String, Value>, place: &str) -> Result<Self, Refused> {
        let (minimum, above) = side(schema, ["minimum", "exclusiveMinimum"], place)?;
        let (maximum, below) = side(schema, ["maximum", "exclusiveMaximum"], place)?;
        let mut bounds = Self { minimum, maximum };
        bounds.intersect(Self { minimum: above.map(next_up), maximum: below.map(next_down) });
        bounds.close(place)?;
        Ok(bounds)
    }

    /// Keeps integers where all of them are exact for those who read them as `f64`, and multiples
    /// of fractions where their decimal places are. Digits would have no end besides, and exponents
    /// would lead beyond what readers take.
    pub(super) fn keep_exact(&mut self, places: u32) {
        let exact = EXACT_MAX.min(10f64.powi(15 - places.min(15) as i32));
        self.minimum = Some(self.minimum.map_or(-exact, |minimum| minimum.max(-exact)));
        self.maximum = Some(self.maximum.map_or(exact, |maximum| maximum.min(exact)));
    }

    /// Narrows to what both allow.
    pub(super) fn intersect(&mut self, other: Self) {
        let pick =
            |one: Option<f64>, two: Option<f64>, choose: fn(f64, f64) -> f64| match (one, two) {
                (Some(one), Some(two)) => Some(choose(one, two)),
                (one, two) => one.or(two),
            };
        self.minimum = pick(self.minimum, other.minimum, f64::max);
        self.maximum = pick(self.maximum, other.maximum, f64::min);
    }

    fn close(&mut self, place: &str) -> Result<(), Refused> {
        let far = |keyword| {
            Refused::keyword_at(
                keyword,
                format!("{place}/{keyword}"),
                "numbers beyond 2^53 are not enforced exactly",
            )
        };
        if self.minimum.is_some_and(|minimum| minimum > EXACT_MAX) {
            return Err(far("minimum"));
        }
        if self.maximum.is_some_and(|maximum| maximum < -EXACT_MAX) {
            return Err(far("maximum"));
        }
        self.minimum = self.minimum.map(|minimum| minimum.max(-EXACT_MAX));
        self.maximum = self.maximum.map(|maximum| maximum.min(EXACT_MAX));
        if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum)
            && minimum > maximum
        {
            let reason = format!("no number is from {minimum} to {maximum}");
            return Err(Refused::keyword_at("minimum", format!("{place}/minimum"), reason));
        }
        Ok(())
    }

    /// Writes the keywords.
    pub(super) fn write(self, schema: &mut Map<String, Value>) {
        for (keyword, bound) in [("minimum", self.minimum), ("maximum", self.maximum)] {
            if let Some(bound) = bound {
                // `-0.0` would be written with its sign.
                schema.insert(keyword.to_owned(), json!(bound + 0.0));
            }
        }
    }
}

fn next_up(bound: f64) -> f64 {
    (bound + OPEN_STEP).max(bound.next_up().next_up())
}

fn next_down(bound: f64) -> f64 {
    (bound - OPEN_STEP).min(bound.next_down().next_down())
}

/// The closed and the open bound of one side. In draft 4 the second keyword makes the first one
/// open.
fn side(
    schema: &Map<String, Value>,
    [closed, open]: [&str; 2],
    place: &str,
) -> Result<(Option<f64>, Option<f64>), Refused> {
    let number = |keyword: &str| match schema.get(keyword) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(Refused::keyword_at(
                keyword,
                format!("{place}/{keyword}"),
                format!("{value} is not a number"),
            )),
        },
    };
    match schema.get(open) {
        Some(Value::Bool(true)) => Ok((None, number(closed)?)),
        Some(Value::Bool(false)) => Ok((number(closed)?, None)),
        _ => Ok((number(closed)?, number(open)?)),
    }
}

/// What `format` says of numbers; `None` if it is not about numbers.
pub(super) fn format_bounds(format: &str) -> Option<Bounds> {
    let range = |minimum: f64, maximum: f64| {
        Some(Bounds { minimum: Some(minimum), maximum: Some(maximum) })
    };
    match format {
        "int8" => range(-128.0, 127.0),
        "int16" => range(-32_768.0, 32_767.0),
        "int32" => range(-2_147_483_648.0, 2_147_483_647.0),
        "int64" | "int" => range(-EXACT_MAX, EXACT_MAX),
        "uint8" => range(0.0, 255.0),
        "uint16" => range(0.0, 65_535.0),
        "uint32" => range(0.0, 4_294_967_295.0),
        "uint64" | "uint" => range(0.0, EXACT_MAX),
        // Every number of JSON is taken for one.
        "float" | "double" | "decimal" => Some(Bounds::default()),
        _ => None,
    }
}

/// All `multipleOf` of a schema: the library multiplies them with each other, unchecked.
#[derive(Debug, Default)]
pub(super) struct Multiples {
    /// Digits and decimal places.
    known: Vec<(u64, u32)>,
    /// Decimal places of the last one.
    pub(super) places: u32,
}

impl Multiples {
    pub(super) fn read(&mut self, value: &Value, place: &str) -> Result<Value, Refused> {
        let refuse = |reason: &str| Refused::keyword_at("multipleOf", place, reason);
        let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        let number = number.ok_or_else(|| refuse("it must be a number above 0"))?;
        let text = number.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits: Option<u64> = format!("{whole}{fraction}").parse().ok();
        let too_fine = || refuse("it has more digits than are enforced");
        let digits = digits.ok_or_else(too_fine)?;
        let places = u32::try_from(fraction.len()).map_err(|_| too_fine())?;
        if library_digits(number) != Some((digits, places)) {
            return Err(refuse("it cannot be enforced exactly"));
        }
        self.known.push((digits, places));
        self.places = places;
        if self.common().is_none_or(|common| common > MULTIPLES_MAX) {
            return Err(refuse(&format!(
                "the least common multiple of the schema's multipleOf exceeds {MULTIPLES_MAX}"
            )));
        }
        Ok(json!(number))
    }

    /// The least common multiple of all, in units of the last decimal place.
    fn common(&self) -> Option<u64> {
        let last = self.known.iter().map(|&(_, places)| places).max().unwrap_or(0);
        self.known.iter().try_fold(1u64, |common, &(digits, places)| {
            let digits = digits.checked_mul(10u64.checked_pow(last - places)?)?;
            (common / greatest_divisor(common, digits)).checked_mul(digits)
        })
    }
}

fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

/// The digits and decimal places that the library makes of a number: by multiplying with 10 until
/// nothing is left behind the point, which rounding errors may prevent.
fn library_digits(number: f64) -> Option<(u64, u32)> {
    let (mut value, mut places) = (number, 0);
    while value.fract() != 0.0 {
        value *= 10.0;
        places += 1;
    }
    (value <= f64::from(u32::MAX)).then_some((value as u64, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(schema: &Value) -> Result<(Option<f64>, Option<f64>), String> {
        let bounds = Bounds::read(schema.as_object().expect("an object"), "");
        bounds.map(|it| (it.minimum, it.maximum)).map_err(|error| error.to_string())
    }

    #[test]
    fn bounds_are_closed_and_exact() {
        let cases = [
            (json!({}), (None, None)),
            (json!({"minimum": 1, "maximum": 2.5}), (Some(1.0), Some(2.5))),
            (json!({"exclusiveMinimum": 0}), (Some(1e-6), None)),
            (json!({"exclusiveMaximum": 0}), (None, Some(-1e-6))),
            (json!({"minimum": 5, "exclusiveMinimum": 0}), (Some(5.0), None)),
            (json!({"minimum": 3, "exclusiveMinimum": true}), (Some(3.000_001), None)),
            (json!({"maximum": 3, "exclusiveMaximum": false}), (None, Some(3.0))),
            (json!({"maximum": 9_223_372_036_854_775_807_i64}), (None, Some(EXACT_MAX))),
            (json!({"minimum": -1e300}), (Some(-EXACT_MAX), None)),
        ];
        for (schema, expected) in cases {
            assert_eq!(bounds(&schema), Ok(expected), "{schema}");
        }
        for wrong in [
            json!({"minimum": "1"}),
            json!({"minimum": 1e300}),
            json!({"minimum": 2, "maximum": 1}),
            json!({"exclusiveMinimum": 1, "maximum": 1}),
        ] {
            assert!(bounds(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn multiples_stay_small_together() {
        let read = |values: &[f64]| {
            let mut multiples = Multiples::default();
            values.iter().all(|value| multiples.read(&json!(value), "").is_ok())
        };
        assert!(read(&[0.5]) && read(&[0.01, 0.25]) && read(&[3600.0, 60.0]) && read(&[65_535.0]));
        assert!(!read(&[65_536.0]) && !read(&[257.0, 256.0]) && !read(&[0.001, 66.0]));
        assert!(!read(&[0.0]) && !read(&[-1.0]) && !read(&[1e-300]) && !read(&[1e300]));
    }
}
