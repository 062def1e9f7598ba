use phial_tensor::SharedBytes;

/// The type of a metadata value, or of the elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Str,
    U64,
    I64,
    F64,
}

/// The id of an array in a file; arrays are not a [`Kind`], because they do not nest here.
pub(super) const ARRAY_ID: u32 = 9;

impl Kind {
    const IDS: [(u32, Kind); 12] = [
        (0, Kind::U8),
        (1, Kind::I8),
        (2, Kind::U16),
        (3, Kind::I16),
        (4, Kind::U32),
        (5, Kind::I32),
        (6, Kind::F32),
        (7, Kind::Bool),
        (8, Kind::Str),
        (10, Kind::U64),
        (11, Kind::I64),
        (12, Kind::F64),
    ];

    pub(super) fn from_id(id: u32) -> Option<Self> {
        Self::IDS.iter().find(|(known, _)| *known == id).map(|(_, kind)| *kind)
    }

    pub(super) fn id(self) -> u32 {
        let found = Self::IDS.iter().find(|(_, kind)| *kind == self);
        found.expect("every kind is in the table").0
    }

    /// Bytes of one value in a file; `None` for strings, which carry their length.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::Str => None,
        }
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(String),
    U64(u64),
    I64(i64),
    F64(f64),
    Array(Array),
}

impl Value {
    /// What this is, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Array(array) => format!("an array of {:?}", array.kind),
            Value::Str(_) => "a string".into(),
            Value::Bool(_) => "a boolean".into(),
            Value::F32(_) | Value::F64(_) => "a float".into(),
            _ => "a whole number".into(),
        }
    }

    pub(super) fn integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(value) => value.into(),
            Value::I8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I64(value) => value.into(),
            _ => return None,
        })
    }

    /// A value of a fixed width from exactly its bytes; `None` for strings, wrong lengths and
    /// booleans other than 0 and 1.
    pub(super) fn from_bytes(kind: Kind, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            Kind::U8 => Value::U8(u8::from_le_bytes(bytes.try_into().ok()?)),
            Kind::I8 => Value::I8(i8::from_le_bytes(bytes.try_into().ok()?)),
            Kind::U16 => Value::U16(u16::from_le_bytes(bytes.try_into().ok()?)),
            Kind::I16 => Value::I16(i16::from_le_bytes(bytes.try_into().ok()?)),
            Kind::U32 => Value::U32(u32::from_le_bytes(bytes.try_into().ok()?)),
            Kind::I32 => Value::I32(i32::from_le_bytes(bytes.try_into().ok()?)),
            Kind::F32 => Value::F32(f32::from_le_bytes(bytes.try_into().ok()?)),
            Kind::U64 => Value::U64(u64::from_le_bytes(bytes.try_into().ok()?)),
            Kind::I64 => Value::I64(i64::from_le_bytes(bytes.try_into().ok()?)),
            Kind::F64 => Value::F64(f64::from_le_bytes(bytes.try_into().ok()?)),
            Kind::Bool => Value::Bool(match bytes {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            Kind::Str => return None,
        })
    }

    /// Type id and value, as in a file.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut put = |kind: Kind, bytes: &[u8]| {
            out.extend(kind.id().to_le_bytes());
            out.extend(bytes);
        };
        match self {
            Value::U8(value) => put(Kind::U8, &value.to_le_bytes()),
            Value::I8(value) => put(Kind::I8, &value.to_le_bytes()),
            Value::U16(value) => put(Kind::U16, &value.to_le_bytes()),
            Value::I16(value) => put(Kind::I16, &value.to_le_bytes()),
            Value::U32(value) => put(Kind::U32, &value.to_le_bytes()),
            Value::I32(value) => put(Kind::I32, &value.to_le_bytes()),
            Value::F32(value) => put(Kind::F32, &value.to_le_bytes()),
            Value::Bool(value) => put(Kind::Bool, &[u8::from(*value)]),
            Value::U64(value) => put(Kind::U64, &value.to_le_bytes()),
            Value::I64(value) => put(Kind::I64, &value.to_le_bytes()),
            Value::F64(value) => put(Kind::F64, &value.to_le_bytes()),
            Value::Str(text) => {
                put(Kind::Str, &(text.len() as u64).to_le_bytes());
                out.extend(text.as_bytes());
            }
            Value::Array(array) => {
                out.extend(ARRAY_ID.to_le_bytes());
                out.extend(array.kind.id().to_le_bytes());
                out.extend((array.count as u64).to_le_bytes());
                out.extend(&*array.bytes);
            }
        }
    }
}

macro_rules! value_from {
    ($($kind:ident: $type:ty),*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$kind(value.into())
            }
        })*
    };
}
value_from!(U8: u8, U16: u16, U32: u32, I32: i32, F32: f32, U64: u64, I64: i64, Bool: bool,
    Str: &str, Str: String, Array: Array);

/// An array as it lies in the file; nothing is copied until it is asked for.
#[derive(Clone, Debug)]
pub struct Array {
    kind: Kind,
    count: usize,
    /// The elements as in the file; every length in it has been checked.
    bytes: SharedBytes,
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.count == other.count && *self.bytes == *other.bytes
    }
}

impl Array {
    /// `bytes` must hold exactly `count` elements; the reader has seen to it.
    pub(super) fn from_checked(kind: Kind, count: usize, bytes: SharedBytes) -> Self {
        Self { kind, count, bytes }
    }

    /// An array of strings.
    pub fn strings<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let mut bytes = Vec::new();
        let mut count = 0;
        for text in texts {
            bytes.extend((text.as_ref().len() as u64).to_le_bytes());
            bytes.extend(text.as_ref().as_bytes());
            count += 1;
        }
        Self { kind: Kind::Str, count, bytes: bytes.into() }
    }

    /// The type of the elements.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements of an array of strings as bytes; nothing for any other kind.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = if self.kind == Kind::Str { &self.bytes } else { &[] };
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<8>()?;
            let (text, after) = after.split_at_checked(u64::from_le_bytes(*length) as usize)?;
            rest = after;
            Some(text)
        })
    }

    /// The elements of an array of numbers or booleans; nothing for strings.
    pub fn values(&self) -> impl Iterator<Item = Value> {
        let width = self.kind.width().unwrap_or(usize::MAX);
        self.bytes.chunks_exact(width).filter_map(|bytes| Value::from_bytes(self.kind, bytes))
    }
}

macro_rules! array_from {
    ($($kind:ident: $type:ty),*) => {
        $(impl From<&[$type]> for Array {
            fn from(values: &[$type]) -> Self {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Self { kind: Kind::$kind, count: values.len(), bytes: bytes.into() }
            }
        })*
    };
}
array_from!(U8: u8, U32: u32, I32: i32, F32: f32, U64: u64, I64: i64);
