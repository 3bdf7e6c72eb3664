//! Reads `[decisions]`: where decisions are written down, and how much of each.

use std::time::Duration;

use super::super::raw::{Fields, Node, Table, Text};
use super::read::Reader;
use super::{Chain, CredentialSource, DecisionsConfig, Mask, Rotate, Sink, Subject, Written};

/// How old a file of the log may be.
const AGE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl Reader<'_> {
    pub(super) fn decisions(&mut self, root: &mut Fields<'_>) -> DecisionsConfig {
        let mut own = DecisionsConfig::default();
        let Some(table) = self.section(root, "decisions") else { return own };
        let mut fields = Fields::new(table);
        own.sink = self.sink(table, &mut fields);
        let counts: [(&'static str, &mut usize, usize, usize); 2] =
            [("recent", &mut own.recent, 0, 1_000_000), ("queue", &mut own.queue, 1, 10_000_000)];
        for (key, value, least, most) in counts {
            if let Some(node) = fields.take(key) {
                *value = self.count(node, least, most);
            }
        }
        let bytes = self.size(fields.take("queue-size"), 64 << 10, 1 << 40);
        own.queue_bytes = bytes.unwrap_or(own.queue_bytes);
        own.mask = self.parsed_list(fields.take("mask"), mask).into();
        own.path = match self.flag(fields.take("path"), true) {
            true => Written::Yes,
            false => Written::No,
        };
        own.subject = self.subject(&mut fields);
        own.sample_allow = self.sample(fields.take("sample"));
        own.chain = match self.flag(fields.take("chain"), false) {
            true => Chain::Yes,
            false => Chain::No,
        };
        fields.finish(self.diagnostics);
        own
    }

    fn sink(&mut self, table: &Table, fields: &mut Fields<'_>) -> Option<Sink> {
        let (file, to) = (fields.take("file"), fields.take("to"));
        let rotate = fields.take("rotate");
        if let (Some(_), Some(to)) = (file, to) {
            self.mistake(to.span, "decisions go to a `file`, or `to = \"stdout\"`, not to both");
        }
        if let (None, Some(rotate)) = (file, rotate) {
            self.mistake(rotate.span, "only a `file` is rotated");
        }
        if let Some(file) = file {
            let text = file.text(self.diagnostics)?;
            if text.value.is_empty() || text.value.ends_with('/') {
                self.mistake(text.span, "names no file");
            }
            let rotate = rotate.and_then(|node| self.rotate(node));
            return Some(Sink::File { path: self.base.join(text.value), rotate });
        }
        let only_stdout = |text: &str| match text {
            "stdout" => Ok(Sink::Stdout),
            _ => Err("the one word here is \"stdout\"; a file is named by `file`"),
        };
        if to.is_none() && table.entries.iter().any(|own| *own.key != *"recent") {
            let place = table.entries.iter().find(|own| *own.key != *"recent").map(|own| own.span);
            place.into_iter().for_each(|span| {
                self.mistake(span, "nothing is written: say where to, by `file = \"log/decisions.ndjson\"` or `to = \"stdout\"`");
            });
        }
        self.parsed(to, only_stdout)
    }

    fn rotate(&mut self, node: &Node) -> Option<Rotate> {
        let mut fields = Fields::new(node.table(self.diagnostics)?);
        let bytes = self.size(fields.take("size"), 1 << 10, 1 << 40);
        let every = fields.take("every").map(|own| self.duration(Some(own), AGE_MAX, AGE_MAX));
        let keep = fields.take("keep").map_or(10, |own| self.count(own, 1, 10_000));
        fields.finish(self.diagnostics);
        Some(Rotate { bytes: bytes.unwrap_or(100 << 20), every, keep })
    }

    fn subject(&mut self, fields: &mut Fields<'_>) -> Subject {
        let (node, key) = (fields.take("subject"), fields.take("key"));
        let source = key.and_then(|key| self.key(key));
        let Some(text) = node.and_then(|node| node.text(self.diagnostics)) else {
            if let Some(key) = key {
                self.mistake(key.span, "nothing is hashed with it unless `subject = \"hash\"`");
            }
            return Subject::Plain;
        };
        match (text.value, source) {
            ("plain", _) => Subject::Plain,
            ("off", _) => Subject::Off,
            ("hash", Some(source)) => Subject::Hash(source),
            ("hash", None) => {
                self.mistake(
                    text.inner(),
                    "needs `key = { file = \"secrets/decisions\" }`, so that nobody can try names out",
                );
                Subject::Off
            }
            _ => {
                self.mistake(text.inner(), "a subject is written \"plain\", as a \"hash\", or it is \"off\"");
                Subject::Off
            }
        }
    }

    /// Where a key stands: never here.
    fn key(&mut self, node: &Node) -> Option<CredentialSource> {
        let mut fields = Fields::new(node.table(self.diagnostics)?);
        let (file, env) = (fields.take("file"), fields.take("env"));
        fields.finish(self.diagnostics);
        let text = |node: Option<&Node>, reader: &mut Self| -> Option<String> {
            let text: Text<'_> = node?.text(reader.diagnostics)?;
            if text.value.is_empty() {
                reader.mistake(text.span, "names nothing");
            }
            Some(text.value.to_owned())
        };
        match (text(file, self), text(env, self)) {
            (Some(file), None) => Some(CredentialSource::File(self.base.join(file))),
            (None, Some(env)) => Some(CredentialSource::Env(env)),
            _ => {
                self.mistake(node.span, "a key comes from a `file` or from `env`");
                None
            }
        }
    }

    /// `{ allow = 100 }`
    fn sample(&mut self, node: Option<&Node>) -> u32 {
        let Some(table) = node.and_then(|node| node.table(self.diagnostics)) else { return 1 };
        let mut fields = Fields::new(table);
        let allow = fields.take("allow").map_or(1, |own| self.count(own, 1, 1_000_000));
        fields.finish(self.diagnostics);
        u32::try_from(allow).unwrap_or(1)
    }

    fn flag(&mut self, node: Option<&Node>, default: bool) -> bool {
        node.and_then(|node| node.bool(self.diagnostics)).unwrap_or(default)
    }
}

fn mask(text: &str) -> Result<Mask, &'static str> {
    Mask::parse(text).ok_or("a mask is a fact's name, or the beginning of one: \"token.email\", \"body.*\"")
}
