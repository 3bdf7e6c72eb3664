//! `--fix`: writes suggested edits, but none that could let anyone do more than the running gateway lets him.
//!
//! A set with a mistake isn't live, so mending the last one is what lets its other changes become live, whatever the mistake
//! was about. So edits that leave a set that compiles are made only where a gateway runs, and the exact difference from what
//! is live shows that nothing widens. Edits that leave other mistakes change nothing that is live, and are made where they are
//! of what can only ever be refused by, such as [expect] and [never]. Each edit that isn't made is told with the reason.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::super::Exit;
use super::super::hypothesis::now;
use super::super::load::{print, tell};
use super::super::rulesets;
use super::{Args, counted};
use crate::analysis::diff::diff;
use crate::config::diagnostic::{Severity, place};
use crate::config::raw::{self, Node, Raw, Table};
use crate::config::{Carried, Diagnostic, Diagnostics, FileKind, SourceFile, Sources, Span, compile};
use crate::control::sources;
use crate::snapshot::Snapshot;

/// Tables of a rule file that can only ever refuse, or explain.
const HARMLESS: [&str; 3] = ["expect", "never", "reading"];

/// One suggested edit.
#[derive(Clone)]
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
    let live = rulesets::live_if_any(&args.files.config);
    let mended = mended(&before, live.as_ref().map(|own| (own.name.as_str(), &*own.snapshot)));
    for edit in &mended.edits {
        print(hunk(&before, edit).trim_end());
    }
    for why in &mended.left {
        tell(&format!("not mended: {why}"));
    }
    let count = counted(mended.edits.len(), "edit");
    let after = edited(&before, &mended.edits);
    if args.dry_run {
        tell(&format!("{count} would be written; nothing was"));
        return if told(&after).0.errors() == 0 { Exit::Yes } else { Exit::Invalid };
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

/// What may be written, and why the rest is left alone.
struct Mended {
    edits: Vec<Edit>,
    left: Vec<String>,
}

/// What is told of a set, and the set where it compiles.
fn told(sources: &Sources) -> (Diagnostics, Option<Snapshot>) {
    match compile(sources, Carried::nothing_at(now())) {
        Ok(compiled) => (compiled.remarks, Some(compiled.snapshot)),
        Err(mistakes) => (mistakes, None),
    }
}

/// Which of the suggestions may be followed, given what is live.
fn mended(before: &Sources, live: Option<(&str, &Snapshot)>) -> Mended {
    let (told, _) = told(before);
    let (mut harmless, mut all, mut offered, mut left) = (BTreeMap::new(), BTreeMap::new(), vec![], vec![]);
    for own in told.iter().filter(|own| own.severity == Severity::Error) {
        let Some((span, text)) = &own.suggestion else {
            left.push(named(before, own, "nothing is near enough to be suggested"));
            continue;
        };
        let edit = Edit { span: *span, text: text.clone() };
        if is_harmless(before, *span) {
            harmless.entry(*span).or_insert_with(|| edit.clone());
        }
        all.entry(*span).or_insert_with(|| edit.clone());
        offered.push((own, edit));
    }
    let (harmless, all) = (apart(harmless), apart(all));
    let why = match may_be_live(&edited(before, &all), live) {
        Ok(()) => return Mended { edits: all, left },
        Err(why) => why,
    };
    // Where the rest keeps the set from being live, what only refuses may be mended.
    let is_kept_back = self::told(&edited(before, &harmless)).1.is_none();
    let edits = if is_kept_back { harmless } else { Vec::new() };
    let isnt_made = |edit: &Edit| !edits.iter().any(|own| own.span == edit.span);
    for (own, edit) in offered.iter().filter(|(_, edit)| isnt_made(edit)) {
        left.push(format!("{}\n{}", named(before, own, &why), hunk(before, edit).trim_end()));
    }
    helpful(before, &told, Mended { edits, left })
}

/// Edits that lead to other mistakes are no help.
fn helpful(before: &Sources, told: &Diagnostics, mended: Mended) -> Mended {
    let after = self::told(&edited(before, &mended.edits)).0;
    if mended.edits.is_empty() || after.errors() < told.errors() {
        return mended;
    }
    let mut left = mended.left;
    left.push("the suggestions lead to other mistakes".to_owned());
    Mended { edits: Vec::new(), left }
}

/// Whether a set lets nobody do more than the live one does, or why that can't be said.
fn may_be_live(after: &Sources, live: Option<(&str, &Snapshot)>) -> Result<(), String> {
    let Some((name, live)) = live else {
        return Err(
            "the files could become live with it, and no gateway runs to hold them against; write it by \
            hand if they may"
                .to_owned(),
        );
    };
    let Some(after) = told(after).1 else {
        return Err(
            "it could let someone do more, and other mistakes must be mended before that can be known"
                .to_owned(),
        );
    };
    let found = diff(live, &after);
    if found.widens() {
        return Err(format!(
            "with it the files would let someone do more than `{name}`; see `gatewarden diff`"
        ));
    }
    Ok(())
}

fn named(sources: &Sources, own: &Diagnostic, why: &str) -> String {
    let at = own.primary.as_ref().and_then(|(span, _)| place(&sources.files, *span));
    let at = at.map(|at| format!("{at} ")).unwrap_or_default();
    format!("{at}{} {}: {why}", own.code.0, own.message)
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

/// Whether what is said there can only ever refuse, or explain.
fn is_harmless(sources: &Sources, span: Span) -> bool {
    let Some(file) = sources.files.get(span.file as usize).filter(|file| file.kind == FileKind::Rules) else {
        return false;
    };
    let table = raw::parse(span.file, &file.text, &mut Diagnostics::default());
    top(&table, span).is_some_and(|key| HARMLESS.contains(&key))
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

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.example\"\naudience = [\"shop\"]\n\
        [upstreams.shop]\nat = [\"/\"]\nservers = [\"http://127.0.0.1:1\"]\n";
    const TENANTS: &str = "[tenant.acme]\nids = [\"acme\"]\napps = [\"shop\"]\n";
    const SHOP: &str = "app = \"shop\"\nbase = \"/shop\"\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = \"acme\"\n\
        [facts.token]\nroles = \"set\"\ntier = \"string\"\n[when]\ngold = \"token.tier = 'gold'\"\n\
        [never]\nclerk = [\"DELETE *\"]\n\
        [resource.orders]\nview = [\"GET /orders\"]\nmanage = [\"POST /orders\"]\n\
        [role.clerk]\nview = [\"orders if gold\"]\n[role.boss]\nview = [\"orders\"]\nmanage = [\"orders\"]\n";

    fn set(shop: &str) -> Sources {
        let file = |kind, path: &str, text: &str| SourceFile { kind, path: path.into(), text: text.into() };
        let files = vec![
            file(FileKind::Gateway, "gateway.toml", GATEWAY),
            file(FileKind::Rules, "rules/shop.toml", shop),
            file(FileKind::Tenants, "rules/tenants.toml", TENANTS),
        ];
        Sources { files, hash: String::new() }
    }

    /// The shop's file once what may be mended of it is, and why the rest isn't.
    fn mend(shop: &str, live: Option<&str>) -> (String, Vec<String>) {
        let live = live.map(|live| told(&set(live)).1.unwrap());
        let before = set(shop);
        let mended = mended(&before, live.as_ref().map(|live| ("live", live)));
        (edited(&before, &mended.edits).files[1].text.clone(), mended.left)
    }

    #[test]
    fn what_only_refuses_is_mended_only_where_nothing_wider_becomes_live_by_it() {
        let broken = SHOP.replace("clerk = [\"DELETE *\"]", "clrek = [\"DELETE *\"]");
        assert_eq!(mend(&broken, Some(SHOP)), (SHOP.to_owned(), Vec::new()));
        // The rest of the file gives more than is live, and the mistake is all that keeps it back.
        let less = SHOP.replace("manage = [\"orders\"]", "manage = [\"orders if gold\"]");
        let (text, left) = mend(&broken, Some(&less));
        assert_eq!(text, broken);
        assert!(left[0].contains("would let someone do more than `live`"), "{left:?}");
        assert!(left[0].contains("\n+clerk = [\"DELETE *\"]"), "it says what it would write: {left:?}");
        let (text, left) = mend(&broken, None);
        assert_eq!(text, broken);
        assert!(left[0].contains("no gateway runs"), "{left:?}");
    }

    #[test]
    fn what_only_refuses_is_mended_where_other_mistakes_keep_the_set_back() {
        let broken = SHOP.replace("clerk = [\"DELETE *\"]", "clrek = [\"DELETE *\"]");
        let worse = |text: &str| text.replace("\nmanage = [\"orders\"]", "\nmanage = [\"xyzzyxyzzy\"]");
        let (text, left) = mend(&worse(&broken), None);
        assert_eq!(text, worse(SHOP));
        assert!(left.iter().all(|why| why.contains("nothing is near enough")), "{left:?}");
    }

    #[test]
    fn a_grant_is_mended_only_where_it_is_live_already() {
        let broken = SHOP.replace("orders if gold", "orders if golt");
        let (text, left) = mend(&broken, None);
        assert_eq!(text, broken);
        assert!(left[0].contains("rules/shop.toml:") && left[0].contains("no gateway runs"), "{left:?}");
        // The same is live, so that mending it changes nothing.
        assert_eq!(mend(&broken, Some(SHOP)), (SHOP.to_owned(), Vec::new()));
        // More is live.
        assert_eq!(mend(&broken, Some(&SHOP.replace(" if gold", ""))), (SHOP.to_owned(), Vec::new()));
        // Less is live: it is the operator who gives more.
        let less = SHOP.replace("[role.clerk]\nview = [\"orders if gold\"]\n", "[role.clerk]\n");
        let (text, left) = mend(&broken, Some(&less));
        assert_eq!(text, broken);
        assert!(left[0].contains("would let someone do more than `live`"), "{left:?}");
    }

    #[test]
    fn nothing_is_mended_by_halves() {
        let broken = SHOP.replace("orders if gold", "orders if golt");
        let broken =
            broken.replace("[role.boss]\nview = [\"orders\"]", "[role.boss]\nview = [\"xyzzyxyzzy\"]");
        let (text, left) = mend(&broken, Some(SHOP));
        assert_eq!(text, broken);
        assert!(left.iter().any(|why| why.contains("other mistakes must be mended")), "{left:?}");
        assert!(left.iter().any(|why| why.contains("nothing is near enough")), "{left:?}");
    }
}
