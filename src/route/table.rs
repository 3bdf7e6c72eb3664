//! Every host's routes. A host that is named by some app has a trie of its own, which also holds the routes of the
//! apps that take any host, so that a request is looked up once.

use std::collections::HashMap;

use super::trie::{Found, Trie};
use super::{Template, Verb};
use crate::request::{CanonicalPath, Host};

/// The routes of all apps.
#[derive(Clone, Debug, Default)]
pub struct RouteTable<T> {
    any: Trie,
    named: HashMap<Box<str>, Trie>,
    leaves: Vec<Vec<T>>,
}

/// What a request's host, path and method lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<'t, T> {
    /// The operations that claim it; more than one where apps share a route.
    Operations(&'t [T]),
    /// The path is there, with other methods.
    OtherMethods(Vec<Verb>),
    /// Nothing is there.
    Nothing,
}

impl<T> RouteTable<T> {
    /// The hosts that some app names, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(|name| &**name)
    }

    pub(super) fn trie(&self, host: Option<&str>) -> &Trie {
        host.and_then(|host| self.named.get(host)).unwrap_or(&self.any)
    }

    pub(super) fn leaf(&self, leaf: Option<u32>) -> &[T] {
        leaf.and_then(|leaf| self.leaves.get(leaf as usize)).map_or(&[], |own| own)
    }

    /// Looks up one request.
    #[must_use]
    pub fn find(&self, host: &Host, path: &CanonicalPath<'_>, verb: Option<Verb>) -> Match<'_, T> {
        let trie = if self.named.is_empty() {
            &self.any
        } else {
            self.named.get(host.as_str()).unwrap_or(&self.any)
        };
        match trie.find(path.segments(), verb) {
            Found::Leaf(leaf) => self
                .leaves
                .get(leaf as usize)
                .map_or(Match::Nothing, |operations| Match::Operations(operations)),
            Found::OtherMethods(verbs) => Match::OtherMethods(verbs),
            Found::Nothing => Match::Nothing,
        }
    }
}

/// Gathers routes; building decides which host sees which.
#[derive(Clone, Debug)]
pub struct RouteTableBuilder<T> {
    routes: Vec<(Vec<Box<str>>, Template, Verb, T)>,
}

impl<T: Copy> Default for RouteTableBuilder<T> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<T: Copy> RouteTableBuilder<T> {
    /// Adds a route for some hosts; for any host where none is named.
    pub fn add(&mut self, hosts: &[Box<str>], template: Template, verb: Verb, operation: T) {
        self.routes.push((hosts.to_vec(), template, verb, operation));
    }

    /// The table. Routes of one template and verb that are seen by one host share a leaf, first added first.
    #[must_use]
    pub fn build(self) -> RouteTable<T> {
        let mut leaves: Vec<Vec<T>> = Vec::new();
        let mut of_any: Vec<usize> = Vec::new();
        let mut of_host: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
        for (index, (hosts, ..)) in self.routes.iter().enumerate() {
            if hosts.is_empty() {
                of_any.push(index);
            }
            for host in hosts {
                of_host.entry(host).or_default().push(index);
            }
        }
        let mut fill = |own: &[usize]| {
            let mut trie = Trie::default();
            let mut seen: Vec<usize> = of_any.iter().chain(own).copied().collect();
            seen.sort_unstable();
            seen.dedup();
            for (_, template, verb, operation) in seen.into_iter().filter_map(|index| self.routes.get(index))
            {
                let leaf = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
                match trie.insert(template, *verb, leaf) {
                    None => leaves.push(vec![*operation]),
                    Some(earlier) => {
                        trie.insert(template, *verb, earlier);
                        if let Some(shared) = leaves.get_mut(earlier as usize) {
                            shared.push(*operation);
                        }
                    }
                }
            }
            trie
        };
        let any = fill(&[]);
        let named = of_host.iter().map(|(name, own)| ((*name).into(), fill(own))).collect();
        RouteTable { any, named, leaves }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::Segment;

    fn table(routes: &[(&str, &str)]) -> RouteTable<usize> {
        let mut builder = RouteTableBuilder::default();
        for (index, (verb, template)) in routes.iter().enumerate() {
            builder.add(&[], Template::parse(template).unwrap(), Verb::parse(verb).unwrap(), index);
        }
        builder.build()
    }

    #[track_caller]
    fn leads_to(table: &RouteTable<usize>, verb: &str, path: &str, expected: Match<'_, usize>) {
        let host = Host::parse("any.example").unwrap();
        let found = table.find(&host, &CanonicalPath::parse(path).unwrap(), Verb::parse(verb));
        assert_eq!(found, expected, "{verb} {path}");
    }

    #[test]
    fn path_first_then_method_literal_first_and_no_way_back() {
        let table = table(&[
            ("GET", "/calls"),
            ("GET", "/calls/{call}"),
            ("DELETE", "/calls/{call}"),
            ("GET", "/calls/mine"),
            ("GET", "/calls/{call}/media/{item}"),
            ("GET", "/files/{path...}"),
            ("GET", "/"),
        ]);
        leads_to(&table, "GET", "/calls", Match::Operations(&[0]));
        leads_to(&table, "GET", "/calls/", Match::Operations(&[0]));
        leads_to(&table, "GET", "/calls/7", Match::Operations(&[1]));
        leads_to(&table, "DELETE", "/calls/7", Match::Operations(&[2]));
        leads_to(&table, "GET", "/calls/mine", Match::Operations(&[3]));
        leads_to(&table, "DELETE", "/calls/mine", Match::OtherMethods(vec![Verb::Get]));
        leads_to(&table, "GET", "/calls/mine/media/1", Match::Nothing);
        leads_to(&table, "GET", "/calls/7/media/1", Match::Operations(&[4]));
        leads_to(&table, "GET", "/files/a/b/c", Match::Operations(&[5]));
        leads_to(&table, "GET", "/files", Match::Nothing);
        leads_to(&table, "GET", "/", Match::Operations(&[6]));
        leads_to(&table, "BREW", "/", Match::OtherMethods(vec![Verb::Get]));
    }

    #[test]
    fn a_literal_in_another_case_is_no_parameter() {
        let table = table(&[
            ("GET", "/{name}"),
            ("GET", "/{name}/info"),
            ("GET", "/{name}/{rest...}"),
            ("GET", "/admin"),
            ("GET", "/admin/{rest...}"),
            ("GET", "/caf%C3%89"),
        ]);
        leads_to(&table, "GET", "/admin", Match::Operations(&[3]));
        for path in
            ["/Admin", "/ADMIN/", "/aDMIN/info", "/ADMIN/x/y", "/adm%C4%B1n", "/caf%C3%A9", "/CAF%C3%89"]
        {
            leads_to(&table, "GET", path, Match::Nothing);
        }
        leads_to(&table, "GET", "/x/INFO", Match::Nothing);
        leads_to(&table, "GET", "/admins", Match::Operations(&[0]));
        leads_to(&table, "GET", "/ADMI/x/y", Match::Operations(&[2]));
        leads_to(&table, "GET", "/caf%C3%A8", Match::Operations(&[0]));
    }

    #[test]
    fn a_named_host_sees_its_own_routes_and_those_of_any_host() {
        let mut builder = RouteTableBuilder::default();
        let parse = |text| Template::parse(text).unwrap();
        builder.add(&["a.example".into()], parse("/x"), Verb::Get, 1);
        builder.add(&[], parse("/y"), Verb::Get, 2);
        builder.add(&[], parse("/y"), Verb::Get, 3);
        let table = builder.build();
        let find = |host: &str, path: &str| {
            let path = path.to_owned();
            let host = Host::parse(host).unwrap();
            match table.find(&host, &CanonicalPath::parse(&path).unwrap(), Some(Verb::Get)) {
                Match::Operations(found) => found.to_vec(),
                _ => Vec::new(),
            }
        };
        assert_eq!(find("a.example", "/x"), [1]);
        assert_eq!(find("a.example", "/y"), [2, 3]);
        assert_eq!(find("b.example", "/x"), [] as [i32; 0]);
        assert_eq!(find("b.example", "/y"), [2, 3]);
    }

    #[test]
    fn templates_are_read_strictly() {
        for good in ["/", "/a", "/a/{b}", "/a/{b}/{c...}", "/caf%C3%A9"] {
            assert_eq!(Template::parse(good).map(|_| ()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "/a//b",
            "/a/",
            "/{}",
            "/{a",
            "/a{b}",
            "/{a b}",
            "/{a}/{a}",
            "/{a...}/b",
            "/../a",
            "/%61",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    /// The rule of precedence, written out: at every segment the candidates that have that literal win, else those
    /// that have a parameter there, else those whose rest begins there. None wins over a literal in another case.
    fn naive(templates: &[Template], segments: &[Cow<'_, str>]) -> Option<usize> {
        let mut candidates: Vec<usize> = (0..templates.len()).collect();
        for (depth, segment) in segments.iter().enumerate() {
            let of = |wanted: &dyn Fn(&Segment) -> bool| -> Vec<usize> {
                let keeps = |index: &&usize| templates[**index].segments().get(depth).is_some_and(wanted);
                candidates.iter().filter(keeps).copied().collect()
            };
            let literal = of(&|s| matches!(s, Segment::Literal(text) if **text == **segment));
            let parameter = of(&|s| matches!(s, Segment::Parameter(_)));
            let rest = of(&|s| matches!(s, Segment::Rest(_)));
            let twin = of(&|s| matches!(s, Segment::Literal(text) if text.eq_ignore_ascii_case(segment)));
            candidates = if !literal.is_empty() {
                literal
            } else if !twin.is_empty() {
                return None;
            } else if !parameter.is_empty() {
                parameter
            } else {
                return rest.last().copied();
            };
        }
        candidates.into_iter().rfind(|index| templates[*index].segments().len() == segments.len())
    }

    use std::borrow::Cow;

    proptest! {
        #[test]
        fn the_trie_finds_what_the_rule_of_precedence_says(
            templates in proptest::collection::vec("(/(a|b|c|\\{p\\})){1,4}(/\\{r\\.\\.\\.\\})?", 1..12),
            path in "(/(a|b|c|d|A)){1,5}",
        ) {
            let mut seen: Vec<Template> = Vec::new();
            for text in &templates {
                let mut index = 0;
                let renamed: String = text.split("{p}").map(|part| { index += 1; format!("{part}{{p{index}}}") }).collect();
                let renamed = renamed.strip_suffix(&format!("{{p{index}}}")).unwrap_or(&renamed).to_owned();
                let template = Template::parse(&renamed).unwrap();
                if !seen.iter().any(|other| other.same_shape(&template)) {
                    seen.push(template);
                }
            }
            let mut builder = RouteTableBuilder::default();
            for (index, template) in seen.iter().enumerate() {
                builder.add(&[], template.clone(), Verb::Get, index);
            }
            let table = builder.build();
            let path = CanonicalPath::parse(&path).unwrap();
            let host = Host::parse("h").unwrap();
            let found = match table.find(&host, &path, Some(Verb::Get)) {
                Match::Operations(found) => found.first().copied(),
                _ => None,
            };
            prop_assert_eq!(found, naive(&seen, path.segments()));
        }
    }
}
