//! What the layout changes, what it leaves alone, and that it changes nothing twice.

use proptest::prelude::*;

use super::*;

#[test]
fn a_file_is_laid_out() {
    let text = "app=\"x\"  # the app\nissuer  =   \"keycloak\"\n\n\n\n[resource.a] \nview = [ \"GET /a\",\"GET /b\" ]   \n# between\nmanage= [\n    \"POST /a\",   # one\n\"PUT /a\",\n      ]\n[x]\n\"a.b\"={c=1,d = [ ]}\nlonger-than-all-of-them = 1\n\n";
    let wanted = "app    = \"x\"  # the app\nissuer = \"keycloak\"\n\n[resource.a]\nview   = [\"GET /a\", \"GET /b\"]\n# between\nmanage = [\n  \"POST /a\",   # one\n  \"PUT /a\",\n]\n[x]\n\"a.b\" = { c = 1, d = [] }\nlonger-than-all-of-them = 1\n";
    assert_eq!(format(text).unwrap(), wanted);
}

#[test]
fn strings_and_columns_are_left_alone() {
    let text = "a = '''\n  [ x,y ]   \n   # no comment\n'''\n[matrix]\n\"one\"   = [\"yes\",      \"no\" ]\n\"three\" = [\"if a, b\",  \"no\"]\nc = \"a # b , [ \\\" { \"\n";
    let out = format(text).unwrap();
    assert!(out.contains("'''\n  [ x,y ]   \n   # no comment\n'''"), "{out}");
    assert!(out.contains("\"one\"   = [\"yes\",      \"no\"]\n\"three\" = [\"if a, b\",  \"no\"]"), "{out}");
    assert!(out.contains("= \"a # b , [ \\\" { \""), "{out}");
}

#[test]
fn what_is_no_toml_is_left_alone() {
    assert_eq!(format("a = "), Err(Unformatted::Unreadable));
    assert_eq!(format("[a\n"), Err(Unformatted::Unreadable));
}

#[test]
fn arrays_of_tables_are_laid_out_as_tables_are() {
    let text = "[[a]]\nx = [\n1, [2],\n]\nlong=[[1],\n[2]]\n[[a.b]]\ny=1\n[a.c]\nz=[\n{ k = 1 },\n]\n[[a]]\n";
    let out = format(text).unwrap();
    assert_eq!(
        out,
        "[[a]]\nx    = [\n  1, [2],\n]\nlong = [[1],\n  [2]]\n[[a.b]]\ny = 1\n[a.c]\nz = [\n  { k = 1 },\n]\n[[a]]\n"
    );
    assert_eq!(format(&out).unwrap(), out);
}

#[test]
fn shipped_files_stay_what_they_are_in_meaning_and_are_stable() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("gateway.toml")];
    for directory in ["rules", "rules/tests"] {
        files.extend(std::fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()));
    }
    for path in files.into_iter().filter(|path| path.extension().is_some_and(|own| own == "toml")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let out = format(&text).unwrap();
        assert_eq!(out, text, "{}", path.display());
    }
}

fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![Just("a"), Just("bb"), Just("ccc.d"), Just("\"e f\""), Just("long-key-name")];
    let value = prop_oneof![
        Just("1"),
        Just("\"x # y\""),
        Just("[ 1,2 ]"),
        Just("[\n1, # c\n [2,3],\n]"),
        Just("{ g=1 ,h = '[' }"),
        Just("'''\n ] '''"),
        Just("\"\"\"a\n  b \\\"\"\"\"\"\""),
        Just("[]"),
        Just("{}"),
        Just("[{x=1},{ y = 2}]"),
        Just("true"),
    ];
    let blank = || prop_oneof![Just(""), Just(" "), Just("   "), Just("\t")];
    let entry =
        (key, blank(), blank(), value, prop_oneof![Just(""), Just("# c"), Just("   # d"), Just("  ")]);
    let entry = entry.prop_map(|(key, one, two, value, after)| format!("{key}{one}={two}{value}{after}"));
    prop_oneof![6 => entry, 1 => Just(String::new()), 1 => Just("  # alone ".to_owned()), 1 => (0..9u8).prop_map(|n| format!("[t{n}] # t")), 1 => (0..3u8).prop_map(|n| format!("[[l{n}]] # t"))]
}

proptest! {
    #[test]
    fn twice_is_once_and_nothing_is_said_otherwise(lines in proptest::collection::vec(line(), 0..14)) {
        let text = lines.join("\n");
        let mut diagnostics = Diagnostics::default();
        let before = raw::parse(0, &text, &mut diagnostics);
        prop_assume!(diagnostics.is_empty());
        let once = format(&text).unwrap();
        let after = raw::parse(0, &once, &mut diagnostics);
        prop_assert!(same(&before, &after), "{text}\n---\n{once}");
        let comments = |text: &str| text.matches("# c").count() + text.matches("# d").count() + text.matches("# alone").count();
        prop_assert_eq!(comments(&text), comments(&once));
        prop_assert_eq!(format(&once).unwrap(), once.clone(), "{}", text);
    }
}
