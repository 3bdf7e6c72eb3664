//! `--fix`: writes suggested edits, but none that could let anyone do more than he may now.
//!
//! A set with a mistake isn't live, so mending it is what lets its other changes become live: that is the operator's act, not
//! a tool's guess. What is only ever refused by, such as [expect] and [never], may be mended all the same. Anything else is
//! shown with the reason why it is left alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::super::Exit;
use super::super::hypothesis::now;
use super::super::load::{print, tell};
use super::{Args, counted};
use crate::config::diagnostic::{Severity, place};
use crate::config::raw::{self, Node, Raw, Table};
use crate::config::{Carried, Diagnostic, Diagnostics, FileKind, SourceFile, Sources, Span, compile};
use crate::control::sources;

/// Tables of a rule file that can only ever refuse, or explain.
const HARMLESS: [&str; 3] = ["expect", "never", "reading"];

/// One suggested edit.
struct Edit {
    span: Span,
    text: String,
}

/// Mends what may be mended. Ends well where a check may follow.
pub(super) fn run(args: &Args) -> Exit {
    let before = match super::super::load::read(&args.files.config) {
        Ok(sources) => sources,
        Err(exit) => return exit,
    };
    let told = told(&before);
    let (edits, left) = sorted(&before, &told);
    let after = edited(&before, &edits);
    let helps = edits.is_empty() || self::told(&after).errors() < told.errors();
    let edits = if helps { edits } else { Vec::new() };
    for edit in &edits {
        print(hunk(&before, edit).trim_end());
    }
    if !helps {
        tell("not mended: the suggestions lead to other mistakes");
    }
    for why in left {
        tell(&format!("not mended: {why}"));
    }
    let count = counted(edits.len(), "edit");
    if args.dry_run {
        tell(&format!("{count} would be written; nothing was"));
        return if self::told(&after).errors() == 0 { Exit::Yes } else { Exit::Invalid };
    }
    match write(&before, &after) {
        Ok(()) => {
            tell(&format!("{count} written"));
            Exit::Yes
        }
        Err(why) => {
            tell(&format!("error: {why}"));
            Exit::Environment
        }
    }
}

fn told(sources: &Sources) -> Diagnostics {
    match compile(sources, Carried::nothing_at(now())) {
        Ok(compiled) => compiled.remarks,
        Err(mistakes) => mistakes,
    }
}

/// The edits that may be made, and why the others may not.
fn sorted(sources: &Sources, told: &Diagnostics) -> (Vec<Edit>, Vec<String>) {
    let mut edits: BTreeMap<Span, Edit> = BTreeMap::new();
    let mut left = Vec::new();
    for own in told.iter().filter(|own| own.severity == Severity::Error) {
        match judged(sources, own) {
            Ok(edit) => {
                edits.entry(edit.span).or_insert(edit);
            }
            Err(why) => {
                let at = own.primary.as_ref().and_then(|(span, _)| place(&sources.files, *span));
                let at = at.map(|at| format!("{at} ")).unwrap_or_default();
                left.push(format!("{at}{} {}: {why}", own.code.0, own.message));
            }
        }
    }
    (apart(edits), left)
}

/// Edits that don't overlap, in the order of the files.
fn apart(edits: BTreeMap<Span, Edit>) -> Vec<Edit> {
    let mut kept: Vec<Edit> = Vec::new();
    for edit in edits.into_values() {
        let meets = |last: &Edit| last.span.file == edit.span.file && last.span.end > edit.span.start;
        if !kept.last().is_some_and(meets) {
            kept.push(edit);
        }
    }
    kept
}

fn judged(sources: &Sources, own: &Diagnostic) -> Result<Edit, &'static str> {
    let Some((span, text)) = &own.suggestion else { return Err("nothing is near enough to be suggested") };
    let file = sources.files.get(span.file as usize).ok_or("its file is gone")?;
    if file.kind != FileKind::Rules {
        return Err("what this file says decides whom the gateway trusts and where requests go");
    }
    let table = raw::parse(span.file, &file.text, &mut Diagnostics::default());
    match top(&table, *span) {
        Some(key) if HARMLESS.contains(&key) => Ok(Edit { span: *span, text: text.clone() }),
        _ => {
            Err("the edit could let someone do more than now; make it by hand, and look at `gatewarden diff`")
        }
    }
}

/// The table of the file that a span lies in.
fn top(table: &Table, span: Span) -> Option<&str> {
    let holds = |own: Span| own.start <= span.start && span.end <= own.end;
    fn within(node: &Node, holds: &impl Fn(Span) -> bool) -> bool {
        holds(node.span)
            || match &node.value {
                Raw::Table(table) => {
                    table.entries.iter().any(|own| holds(own.span) || within(&own.value, holds))
                }
                Raw::List(items) => items.iter().any(|item| within(item, holds)),
                _ => false,
            }
    }
    // The key itself decides what the table is.
    let found = table.entries.iter().find(|own| !holds(own.span) && within(&own.value, &holds));
    found.map(|own| own.key.as_str())
}

fn edited(sources: &Sources, edits: &[Edit]) -> Sources {
    let mut after = sources.clone();
    for edit in edits.iter().rev() {
        let range = edit.span.start as usize..edit.span.end as usize;
        if let Some(file) = after.files.get_mut(edit.span.file as usize)
            && file.text.get(range.clone()).is_some()
        {
            file.text.replace_range(range, &edit.text);
        }
    }
    after
}

/// An edit as `diff -u` would show it, without the lines around.
fn hunk(sources: &Sources, edit: &Edit) -> String {
    let Some(file) = sources.files.get(edit.span.file as usize) else { return String::new() };
    let (start, end) = (edit.span.start as usize, edit.span.end as usize);
    let (Some(before), Some(after)) = (file.text.get(..start), file.text.get(end..)) else {
        return String::new();
    };
    let line = before.matches('\n').count() + 1;
    let head = before.rsplit('\n').next().unwrap_or("");
    let tail = after.split('\n').next().unwrap_or("");
    let old = file.text.get(start..end).unwrap_or("");
    format!(
        "--- {path}\n+++ {path}\n@@ -{line} +{line} @@\n-{head}{old}{tail}\n+{head}{new}{tail}\n",
        path = file.path,
        new = edit.text
    )
}

/// Writes the files that differ, each as a whole and by another name first, so that none is ever seen half.
fn write(before: &Sources, after: &Sources) -> Result<(), String> {
    let changed: Vec<(&SourceFile, &SourceFile)> =
        before.files.iter().zip(&after.files).filter(|(old, new)| old.text != new.text).collect();
    for (old, new) in changed {
        let path = Path::new(&*old.path);
        let failed = |why: std::io::Error| format!("`{}` can't be written: {why}", path.display());
        // Through a link to the file itself, and not in the place of the link.
        let target = fs::canonicalize(path).map_err(failed)?;
        if fs::read_to_string(&target).map_err(failed)? != old.text {
            return Err(format!("`{}` was changed meanwhile; nothing was written to it", path.display()));
        }
        let mut made = tempfile_beside(&target).map_err(failed)?;
        made.1.write_all(new.text.as_bytes()).and_then(|()| made.1.sync_all()).map_err(failed)?;
        let permissions = fs::metadata(&target).map_err(failed)?.permissions();
        fs::set_permissions(&made.0, permissions).map_err(failed)?;
        fs::rename(&made.0, &target).map_err(failed)?;
    }
    Ok(())
}

/// A new file in the directory of another one; hidden, so that nothing takes it for a rule file.
fn tempfile_beside(target: &Path) -> std::io::Result<(std::path::PathBuf, fs::File)> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = sources::parent(target).join(format!(".{name}.{}", std::process::id()));
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok((path, file))
}
