//! A path template: literal segments, `{name}` for one segment, `{name...}` for the rest of a path. The name of a
//! socket's event stands in the place of one, too; it matches no path.

use std::borrow::Cow;
use std::fmt;

use crate::request::CanonicalPath;

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This very text, decoded.
    Literal(Box<str>),
    /// Any one segment.
    Parameter(Box<str>),
    /// One or more segments, to the end.
    Rest(Box<str>),
}

/// Why a template can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It doesn't begin with `/`, or a literal isn't canonical.
    #[error(
        "a path begins with `/` and is written without dot segments, doubled slashes or needless percent-encoding"
    )]
    Path,
    /// `{` and `}` don't enclose one whole segment with a name of letters, digits, `-` and `_`.
    #[error("a parameter is a whole segment: `{{name}}`, or `{{name...}}` at the end")]
    Parameter,
    /// The same name twice.
    #[error("a parameter name occurs twice")]
    Repeated,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    segments: Box<[Segment]>,
    event: Option<Box<str>>,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::Path)?;
        let mut segments: Vec<Segment> = Vec::new();
        if rest.is_empty() {
            return Ok(Self { segments: Box::default(), event: None });
        }
        for part in rest.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(TemplateError::Parameter);
            }
            let segment = segment(part)?;
            if segment.name().is_some_and(|name| segments.iter().any(|other| other.name() == Some(name))) {
                return Err(TemplateError::Repeated);
            }
            segments.push(segment);
        }
        Ok(Self { segments: segments.into(), event: None })
    }

    /// The name of a socket's event: no path, and no parameters.
    #[must_use]
    pub fn event(name: &str) -> Self {
        Self { segments: Box::default(), event: Some(name.into()) }
    }

    /// Whether it is the name of an event.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.event.is_some()
    }

    /// The segments.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether two templates match the same paths, whatever their parameters are called.
    #[must_use]
    pub fn same_shape(&self, other: &Self) -> bool {
        self.event == other.event
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Parameter(_), Segment::Parameter(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
                _ => false,
            })
    }

    /// Whether this template has a literal where the other, alike up to there, has a parameter: paths with that literal
    /// are never the other's.
    #[must_use]
    pub fn takes_from(&self, other: &Self) -> bool {
        for pair in self.segments.iter().zip(&other.segments) {
            match pair {
                (Segment::Literal(a), Segment::Literal(b)) if a == b => {}
                (Segment::Literal(_), Segment::Parameter(_) | Segment::Rest(_)) => return !self.is_event(),
                (Segment::Parameter(_), Segment::Parameter(_)) => {}
                _ => return false,
            }
        }
        false
    }

    /// Whether some path is matched by both templates, were each alone.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        if self.is_event() || other.is_event() {
            return false;
        }
        let mut pairs = (self.segments.iter(), other.segments.iter());
        loop {
            match (pairs.0.next(), pairs.1.next()) {
                (None, None) => return true,
                (Some(Segment::Rest(_)), Some(_)) | (Some(_), Some(Segment::Rest(_))) => return true,
                (None, _) | (_, None) => return false,
                (Some(Segment::Literal(a)), Some(Segment::Literal(b))) if a != b => return false,
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// Whether every path of this template lies below a prefix of literal segments.
    #[must_use]
    pub fn is_under(&self, prefix: &[Box<str>]) -> bool {
        !self.is_event()
            && prefix.len() <= self.segments.len()
            && prefix
                .iter()
                .zip(&self.segments)
                .all(|(wanted, own)| matches!(own, Segment::Literal(text) if text == wanted))
    }

    /// Parameter names with the index of the segment where each begins.
    #[must_use]
    pub fn parameters(&self) -> Box<[(Box<str>, usize)]> {
        self.segments
            .iter()
            .enumerate()
            .filter_map(|(index, segment)| Some((segment.name()?.into(), index)))
            .collect()
    }

    /// Whether a parameter is the rest of the path.
    #[must_use]
    pub fn ends_in_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// The values of the parameters in a path that this template matched.
    #[must_use]
    pub fn values<'r>(&self, path: &CanonicalPath<'r>) -> Vec<(&str, Cow<'r, str>)> {
        let segments = path.segments();
        let value = |(index, segment): (usize, &Segment)| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(_) => segments.get(index).cloned(),
            Segment::Rest(_) => segments.get(index..).map(|rest| Cow::Owned(rest.join("/"))),
        };
        let named = self.segments.iter().enumerate();
        named.filter_map(|(index, segment)| Some((segment.name()?, value((index, segment))?))).collect()
    }

    /// A path that it matches, for questions about the rules.
    #[must_use]
    pub fn example(&self) -> String {
        if let Some(name) = &self.event {
            return name.to_string();
        }
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(name) | Segment::Rest(name) => name,
            });
        }
        if path.is_empty() { "/".into() } else { path }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.event {
            return f.write_str(name);
        }
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
            Segment::Rest(name) => write!(f, "/{{{name}...}}"),
        })
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Rest(name) => Some(name),
        }
    }
}

fn segment(part: &str) -> Result<Segment, TemplateError> {
    let Some(inner) = part.strip_prefix('{') else {
        if part.contains(['{', '}']) {
            return Err(TemplateError::Parameter);
        }
        let raw = format!("/{part}");
        let path = CanonicalPath::parse(&raw).map_err(|_| TemplateError::Path)?;
        let literal = path.segments().first().ok_or(TemplateError::Path)?;
        return Ok(Segment::Literal(literal.as_ref().into()));
    };
    let inner = inner.strip_suffix('}').ok_or(TemplateError::Parameter)?;
    let (name, rest) = inner.strip_suffix("...").map_or((inner, false), |name| (name, true));
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match (plain && !name.is_empty(), rest) {
        (false, _) => Err(TemplateError::Parameter),
        (true, false) => Ok(Segment::Parameter(name.into())),
        (true, true) => Ok(Segment::Rest(name.into())),
    }
}
