//! A mistake in a file: where it is, what follows from it, and what was probably meant.
//!
//! One renderer serves the command line, the log and the admin endpoint. Codes are stable and never reused:
//! `GW0` syntax, `GW1` shape, `GW2` names, `GW3` contradictions, `GW4` what would be unsafe, `GW9` environment.

pub mod code;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};

use super::SourceFile;

/// Where something stands: a byte range of one file of the `Sources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Index of the file.
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

/// A stable code; the constants are all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub &'static str);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The set is refused.
    Error,
    /// The set loads; someone should look.
    Warning,
    /// For reading only.
    Note,
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Which kind.
    pub code: Code,
    /// What is wrong, in one lower-case clause.
    pub message: String,
    /// The exact token, and a word about it.
    pub primary: Option<(Span, String)>,
    /// Other places that belong to it.
    pub related: Vec<(Span, String)>,
    /// What was probably meant, as an edit.
    pub suggestion: Option<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            primary: None,
            related: Vec::new(),
            suggestion: None,
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// For reading only.
    pub fn note(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, message) }
    }

    /// Puts the caret.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Names another place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Offers the nearest of `candidates` for what stands at `span`, or lists a few if none is near.
    #[must_use]
    pub fn nearest<'a>(
        mut self,
        span: Span,
        wrong: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut ranked: Vec<(usize, &str)> = candidates
            .into_iter()
            .map(|name| (strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase()), name))
            .collect();
        ranked.sort();
        ranked.dedup();
        match ranked.first() {
            Some((distance, name)) if *distance <= 2.max(wrong.len() / 3) => {
                self.help = Some(format!("did you mean `{name}`?"));
                self.suggestion = Some((span, (*name).to_owned()));
            }
            Some(_) => {
                let names: Vec<_> = ranked.iter().take(5).map(|(_, name)| format!("`{name}`")).collect();
                let more = if ranked.len() > 5 { ", …" } else { "" };
                self.help = Some(format!("there is {}{more}", names.join(", ")));
            }
            None => {}
        }
        self
    }

    /// It in one line: `GW2002 rules/desk.toml:8:13 unknown resource …`.
    #[must_use]
    pub fn line(&self, files: &[SourceFile]) -> String {
        let place = self.place(files).map(|place| format!("{place} ")).unwrap_or_default();
        format!("{} {place}{}", self.code.0, self.message)
    }

    /// `file:line:column`, both counted from 1.
    #[must_use]
    pub fn place(&self, files: &[SourceFile]) -> Option<String> {
        self.primary.as_ref().and_then(|(span, _)| place(files, *span))
    }

    fn render(&self, files: &[SourceFile], renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group = Group::with_title(level.primary_title(&self.message).id(self.code.0));
        let mut spans: Vec<(Span, &str, AnnotationKind)> = Vec::new();
        spans.extend(
            self.primary.iter().map(|(span, label)| (*span, label.as_str(), AnnotationKind::Primary)),
        );
        spans.extend(
            self.related.iter().map(|(span, label)| (*span, label.as_str(), AnnotationKind::Context)),
        );
        let mut done: Vec<u32> = Vec::new();
        for (span, ..) in &spans {
            let Some(file) = files.get(span.file as usize) else { continue };
            if done.contains(&span.file) {
                continue;
            }
            done.push(span.file);
            let here = spans.iter().filter(|(other, ..)| other.file == span.file);
            let annotations = here.map(|(span, label, kind)| {
                let annotation = kind.span(clamp(*span, &file.text));
                if label.is_empty() { annotation } else { annotation.label(*label) }
            });
            group = group.element(Snippet::source(&file.text).path(&*file.path).annotations(annotations));
        }
        let patch = self
            .suggestion
            .as_ref()
            .and_then(|(span, text)| Some((files.get(span.file as usize)?, span, text)));
        let mut groups = Vec::new();
        match (patch, &self.help) {
            (Some((file, span, text)), help) => {
                groups.push(group);
                let title = Level::HELP.secondary_title(help.as_deref().unwrap_or("try"));
                let patch = Patch::new(clamp(*span, &file.text), text.as_str());
                groups.push(title.element(Snippet::source(&file.text).path(&*file.path).patch(patch)));
            }
            (None, Some(help)) => groups.push(group.element(Level::HELP.message(help))),
            (None, None) => groups.push(group),
        }
        renderer.render(&groups)
    }
}

fn clamp(span: Span, text: &str) -> std::ops::Range<usize> {
    let floor = |at: u32| {
        let mut at = (at as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    floor(span.start)..floor(span.end.max(span.start))
}

/// `file:line:column` of a span, both counted from 1.
#[must_use]
pub fn place(files: &[SourceFile], span: Span) -> Option<String> {
    let (line, column) = line_column(files, span)?;
    Some(format!("{}:{line}:{column}", files.get(span.file as usize)?.path))
}

/// Line and column of a span's start, both counted from 1, the column in characters.
#[must_use]
pub fn line_column(files: &[SourceFile], span: Span) -> Option<(usize, usize)> {
    let text = &files.get(span.file as usize)?.text;
    let before = text.get(..clamp(span, text).start)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Some((line, column))
}

/// The line starts of some files, for whoever asks for many places: finding one reads its line alone.
#[derive(Debug)]
pub struct LineIndex<'f> {
    files: &'f [SourceFile],
    starts: Vec<Vec<usize>>,
}

impl<'f> LineIndex<'f> {
    /// Reads the files once.
    #[must_use]
    pub fn of(files: &'f [SourceFile]) -> Self {
        let starts = |file: &SourceFile| {
            std::iter::once(0).chain(file.text.match_indices('\n').map(|(at, _)| at + 1)).collect()
        };
        Self { files, starts: files.iter().map(starts).collect() }
    }

    /// What [`line_column`] says.
    #[must_use]
    pub fn line_column(&self, span: Span) -> Option<(usize, usize)> {
        let text = &self.files.get(span.file as usize)?.text;
        let starts = self.starts.get(span.file as usize)?;
        let at = clamp(span, text).start;
        let line = starts.partition_point(|start| *start <= at);
        let column = text.get(*starts.get(line.checked_sub(1)?)?..at)?.chars().count() + 1;
        Some((line, column))
    }
}

/// Whether rendered text carries terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For a terminal.
    Colour,
    /// For logs, files and pipes.
    Plain,
}

/// All mistakes of one attempt to load.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

/// Most diagnostics that are rendered; the rest are counted.
pub const RENDERED_MAX: usize = 20;

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Makes warnings of the errors of one code.
    pub(super) fn only_tell(&mut self, code: Code) {
        let errors = self.0.iter_mut().filter(|own| own.code == code && own.severity == Severity::Error);
        errors.for_each(|own| own.severity = Severity::Warning);
    }

    /// Every diagnostic, in the order of files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// Whether there is so much to say that suggestions, which cost a look at every name, would help nobody.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.0.len() > 100
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Orders them as a reader of the files meets them, errors with no place first, and drops repetitions. What isn't
    /// even TOML goes before all: much of the rest may follow from it.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|d| (d.code != code::SYNTAX, d.primary.as_ref().map(|(span, _)| *span)));
        self.0.dedup_by(|a, b| a.code == b.code && a.message == b.message && a.primary == b.primary);
    }

    /// Errors and warnings alone: who has a mistake to mend isn't helped by what is only for reading.
    #[must_use]
    pub fn without_notes(mut self) -> Self {
        self.0.retain(|own| own.severity != Severity::Note);
        self
    }

    /// The first error in one line: `GW2002 rules/desk.toml:8:13 unknown resource …`.
    #[must_use]
    pub fn first_line(&self, files: &[SourceFile]) -> String {
        let first = self.0.iter().find(|d| d.severity == Severity::Error).or(self.0.first());
        first.map_or_else(String::new, |d| d.line(files))
    }

    /// All of them for a person, up to twenty, then a count.
    #[must_use]
    pub fn render(&self, files: &[SourceFile], style: Style) -> String {
        self.render_some(files, style, RENDERED_MAX)
    }

    /// The first of them for a person, then a count of the others.
    #[must_use]
    pub fn render_some(&self, files: &[SourceFile], style: Style, most: usize) -> String {
        let renderer = match style {
            Style::Colour => Renderer::styled(),
            Style::Plain => Renderer::plain(),
        }
        .decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for diagnostic in self.0.iter().take(most) {
            out.push_str(&diagnostic.render(files, &renderer));
            out.push_str("\n\n");
        }
        if self.0.len() > most {
            out.push_str(&format!("and {} more\n\n", self.0.len() - most));
        }
        out
    }
}
