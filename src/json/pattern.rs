//! Places in a JSON document: a pointer some of whose segments stand for any member or element.

use std::fmt;

use super::pointer::{self, PointerError};

/// Places in a document. `*` is any member of an object and any element of an array; a name is that member, or that
/// element by its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    segments: Box<[Segment]>,
}

/// One step inwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Any member or element.
    Any,
    /// The member of this name, or the element with this index.
    Named(Box<str>),
}

impl Pattern {
    /// Reads `/items/*/secret`. A member that is itself named `*` can't be meant alone.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let segment = |text: String| match text.as_str() {
            "*" => Segment::Any,
            _ => Segment::Named(text.into_boxed_str()),
        };
        Ok(Self { segments: pointer::split(text)?.into_iter().map(segment).collect() })
    }

    /// The whole document.
    #[must_use]
    pub fn root() -> Self {
        Self { segments: Box::default() }
    }

    /// The steps, from the outside in.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The place that it begins with, up to where it may lead to several.
    #[must_use]
    pub fn before_any(&self) -> Self {
        Self { segments: self.segments.iter().take_while(|own| **own != Segment::Any).cloned().collect() }
    }

    /// The names in it, for whoever looks for a misspelt one.
    pub fn literal_segments(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Any => None,
            Segment::Named(name) => Some(&**name),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Any => f.write_str("/*"),
            Segment::Named(name) => pointer::write_segment(f, name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in ["/secret", "/items/*/secret", "/*", "/*/*", "/a~1b/*/m~0n", "/0"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Pattern::root().to_string(), "");
        let pattern = Pattern::parse("/items/*/secret").unwrap();
        assert_eq!(pattern.literal_segments().collect::<Vec<_>>(), ["items", "secret"]);
        assert_eq!(pattern.segments()[1], Segment::Any);
    }

    #[test]
    fn what_is_no_pattern() {
        assert_eq!(Pattern::parse("items/*"), Err(PointerError::NoSlash));
        assert_eq!(Pattern::parse("/~*"), Err(PointerError::Escape));
    }
}
