//! `rules/tenants.toml`.

use serde_json::{Value, json};

use super::{Names, int, known, list, named, one_of, said, table, text, texts};

/// The schema of the tenants' file.
pub(super) fn root(names: Option<&Names>) -> Value {
    let seats =
        table(&[("named", int()), ("concurrent", int()), ("over", one_of(&["report", "refuse"]))], &[]);
    let setting = json!({ "type": ["string", "boolean", "integer", "array"] });
    let tenant = table(
        &[
            ("ids", said(texts(), "What tokens and requests call it; an id belongs to one row")),
            ("apps", said(list(known(names.map(|own| own.apps.as_slice()))), "Where it is a customer")),
            ("seats", said(seats, "Its licence seats")),
            ("time-zone", said(text(), "Where its days and months begin, such as Europe/London")),
            ("settings", said(named(setting), "What its apps declare under [facts.tenant]")),
        ],
        &["ids", "apps"],
    );
    let organisation = table(&[("ids", texts())], &["ids"]);
    table(
        &[
            ("tenant", said(named(tenant), "Customers")),
            (
                "organisation",
                said(named(organisation), "Known and let in by others, no customers themselves"),
            ),
        ],
        &[],
    )
}
