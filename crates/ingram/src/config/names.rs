//! The names of all settings, read off the types that hold them, so that there is no second list to keep.

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::{Connections, Database, Settings};

/// The sections of the file.
const SECTIONS: [&str; 8] =
    ["http", "engine", "models", "tools", "tools.search", "mcp", "database", "server"];

/// Lists the settings as they are written in the file, those of sections as `section.name`.
pub(crate) fn all() -> Vec<String> {
    let outside = fields::<Settings>().iter().filter(|name| !SECTIONS.contains(name));
    let mut names: Vec<String> = outside.map(|name| (*name).to_owned()).collect();
    let of_sections = [
        fields::<api::Options>(),
        fields::<engine::Options>(),
        fields::<models::Options>(),
        fields::<tools::Options>(),
        fields::<tools::Search>(),
        fields::<tools::mcp::Options>(),
        fields::<Database>(),
        fields::<Connections>(),
    ];
    for (section, fields) in SECTIONS.iter().zip(of_sections) {
        let inside = fields.iter().map(|name| format!("{section}.{name}"));
        // A section within a section is no setting.
        names.extend(inside.filter(|name| !SECTIONS.contains(&name.as_str())));
    }
    names
}

/// Returns the variable of a setting.
pub(crate) fn variable(name: &str) -> String {
    format!("INGRAM_{}", name.replace('.', "_").to_uppercase())
}

/// Asks a type for the names of its fields.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The answer is an error always: the names are what was asked for.
    let _ = T::deserialize(Ask(&mut names));
    names
}

struct Ask<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("only the names were asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
