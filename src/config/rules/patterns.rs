//! Which operations a pattern means: `METHOD /path`, `METHOD /path...` (and all below it), `METHOD *`, with `*` for any
//! method; `EMIT name` and `EMIT *` for the events of a socket.

use crate::route::{Template, Verb};

/// The operations that a pattern means, by index. `None` if it is no pattern.
pub(super) fn matching<'o>(
    base: &str,
    pattern: &str,
    operations: impl Iterator<Item = (Verb, &'o Template)>,
) -> Option<Vec<usize>> {
    let (method, path) = pattern.split_once(' ')?;
    let verb = match method {
        "*" => None,
        "EMIT" => Some(Verb::Emit),
        method => Some(Verb::parse(method)?),
    };
    let is_path = path == "*" || verb == Some(Verb::Emit) || path.starts_with('/');
    if !is_path {
        return None;
    }
    let wanted = Wanted::of(base, verb, path);
    let of_verb = |own: Verb| verb.is_none_or(|verb| verb == own);
    let fits = operations.enumerate().filter(|(_, (own, path))| of_verb(*own) && wanted.fits(path));
    Some(fits.map(|(index, _)| index).collect())
}

enum Wanted {
    All,
    Path(Template),
    Below(Template),
    Nothing,
}

impl Wanted {
    fn of(base: &str, verb: Option<Verb>, path: &str) -> Self {
        if path == "*" {
            return Self::All;
        }
        if verb == Some(Verb::Emit) {
            return Self::Path(Template::event(path));
        }
        let (path, below) = path.strip_suffix("...").map_or((path, false), |path| (path, true));
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        match Template::parse(&super::join(base, path)) {
            Ok(template) if below => Self::Below(template),
            Ok(template) => Self::Path(template),
            Err(_) => Self::Nothing,
        }
    }

    fn fits(&self, own: &Template) -> bool {
        match self {
            Self::All => true,
            Self::Path(wanted) => own.same_shape(wanted),
            Self::Below(wanted) => !own.is_event() && is_below(own, wanted),
            Self::Nothing => false,
        }
    }
}

/// Whether a template's first segments are another's, whatever their parameters are called.
fn is_below(own: &Template, above: &Template) -> bool {
    use crate::route::Segment::{Literal, Parameter};
    let mut pairs = own.segments().iter().zip(above.segments());
    own.segments().len() >= above.segments().len()
        && pairs.all(|pair| match pair {
            (Literal(a), Literal(b)) => a == b,
            (Parameter(_), Parameter(_)) => true,
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_says() {
        let route = |text: &str| match text.split_once(' ').unwrap() {
            ("EMIT", name) => (Verb::Emit, Template::event(name)),
            (method, path) => (Verb::parse(method).unwrap(), Template::parse(path).unwrap()),
        };
        let own: Vec<_> =
            ["GET /b/s", "PUT /b/s", "GET /b/s/{id}", "GET /b/st", "EMIT s", "EMIT /b/s"].map(route).into();
        let found =
            |pattern: &str| matching("/b", pattern, own.iter().map(|(verb, template)| (*verb, template)));
        for (pattern, wanted) in [
            ("GET /s", Some(vec![0])),
            ("* /s", Some(vec![0, 1])),
            ("* /s...", Some(vec![0, 1, 2])),
            ("GET /s/{other}", Some(vec![2])),
            ("GET /s/{other}...", Some(vec![2])),
            ("GET *", Some(vec![0, 2, 3])),
            ("* *", Some(vec![0, 1, 2, 3, 4, 5])),
            ("EMIT *", Some(vec![4, 5])),
            ("EMIT s", Some(vec![4])),
            ("EMIT /b/s", Some(vec![5])),
            ("* /...", Some(vec![0, 1, 2, 3])),
            ("PUT /nowhere", Some(vec![])),
            ("s#use", None),
            ("FETCH /s", None),
            ("GET s", None),
        ] {
            assert_eq!(found(pattern), wanted, "{pattern}");
        }
    }
}
