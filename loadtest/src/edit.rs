//! Editing answers alone, without a socket: megabytes a second through the editor, for documents of 64 KiB that come in
//! pieces of 16 KiB. Beside it what reading a document into a tree and writing it again would take.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatewarden::json::{Editor, Edits, Filter, Pattern};
use serde_json::Value;

use crate::Result;

const DOCUMENT_BYTES: usize = 64 * 1024;
const PIECE_BYTES: usize = 16 * 1024;
/// How long each figure is measured; the fastest pass counts, since whatever else runs only ever slows one down.
const EACH: Duration = Duration::from_millis(300);

/// Measures and prints one row per kind of document.
pub fn run() -> Result<()> {
    let masks = || Pattern::parse("/items/*/secret").map(|pattern| vec![pattern]);
    let even = |item: &Value| item.get("id").and_then(Value::as_u64).is_some_and(|id| id.is_multiple_of(2));
    let filters = vec![Filter { items: Pattern::parse("/items")?, keep: Arc::new(even) }];
    let kinds = [
        ("nothing found", Edits { masks: vec![Pattern::parse("/none")?], filters: Vec::new() }),
        ("mask", Edits { masks: masks()?, filters: Vec::new() }),
        ("filter", Edits { masks: Vec::new(), filters: filters.clone() }),
        ("both", Edits { masks: masks()?, filters }),
    ];
    print!("{:>10}", "MB/s of");
    kinds.iter().for_each(|(name, _)| print!("  {name:>13}"));
    println!("  {:>13}", "tree");
    for (name, item) in [("records", record as fn(usize) -> String), ("texts", text), ("numbers", numbers)] {
        let document = document(item);
        print!("{name:>10}");
        for (_, edits) in &kinds {
            print!("  {:>13.0}", speed(&document, || edited(edits, &document))?);
        }
        println!(
            "  {:>13.0}",
            speed(&document, || Ok(serde_json::from_slice::<Value>(&document)?.to_string().into()))?
        );
    }
    Ok(())
}

fn edited(edits: &Edits, document: &[u8]) -> Result<Vec<u8>> {
    let mut editor = Editor::new(edits);
    let mut out = Vec::with_capacity(document.len());
    document.chunks(PIECE_BYTES).try_for_each(|piece| editor.feed(piece, &mut out))?;
    editor.finish()?;
    Ok(out)
}

fn speed(document: &[u8], pass: impl Fn() -> Result<Vec<u8>>) -> Result<f64> {
    let (begun, mut best) = (Instant::now(), Duration::MAX);
    while begun.elapsed() < EACH {
        let started = Instant::now();
        black_box(pass()?);
        best = best.min(started.elapsed());
    }
    Ok(document.len() as f64 / best.as_secs_f64() / 1e6)
}

fn document(item: fn(usize) -> String) -> Vec<u8> {
    let mut text = "{\"items\":[".to_owned();
    for number in 0.. {
        if text.len() >= DOCUMENT_BYTES {
            break;
        }
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}", item(number));
    }
    text.push_str("]}");
    text.into()
}

fn record(id: usize) -> String {
    format!(
        "{{\"id\":{id},\"name\":\"Customer number {id}\",\"email\":\"user{id}@example.com\",\"active\":true,\
         \"score\":{id}.5,\"tags\":[\"a\",\"b\"],\"address\":{{\"street\":\"Long Street {id}\",\"zip\":\"12345\"}},\
         \"secret\":\"hush-{id}\",\"note\":null}}"
    )
}

fn text(id: usize) -> String {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    format!("{{\"id\":{id},\"secret\":\"hush\",\"text\":\"{text}\"}}")
}

fn numbers(id: usize) -> String {
    format!("[{id},{},-{id}.25e3]", id * 31)
}
