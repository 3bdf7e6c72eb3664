//! The people of the demo applications: whom `token dev --as APP/NAME` knows beside the roles of the rule files. What
//! the applications know of them (whose a call is, who stands where) is in `demo.json`, by the same names.

/// Someone with a name in one application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    /// The application.
    pub app: &'static str,
    /// What he is asked for by; his subject is made of it.
    pub name: &'static str,
    /// The role in his token, by its name in the rule file; none where the application is asked for it.
    pub role: Option<&'static str>,
    /// The tenant or organisation that he is of, where that isn't the application's first.
    pub tenant: Option<&'static str>,
    /// Further claims, as `--claim` takes them.
    pub claims: &'static [&'static str],
}

/// Who is signed in through Keyfax and not in the portal: the client of tenants.toml.
const KEYFAX: &[&str] = &["azp=7c1d6a52-3f0b-4f3e-8a7e-2b9f0c4d1e60"];
const USER: Option<&str> = Some("Customer Users");
const READER: Option<&str> = Some("Customer ReadOnly Users");

const fn calling(
    name: &'static str,
    role: Option<&'static str>,
    tenant: Option<&'static str>,
    claims: &'static [&'static str],
) -> Person {
    Person { app: "calling", name, role, tenant, claims }
}

const fn seat(name: &'static str) -> Person {
    calling(name, USER, Some("quartet-lettings"), &[])
}

const fn connect(name: &'static str) -> Person {
    Person { app: "connect", name, role: None, tenant: None, claims: &[] }
}

/// Everyone.
pub(super) const PEOPLE: [Person; 21] = [
    calling("config-admin", Some("Customer Admins"), None, &[]),
    calling("user-a", USER, None, &[]),
    calling("user-b", USER, None, &[]),
    calling("keyfax-user", USER, None, KEYFAX),
    calling("read-only", READER, None, &[]),
    calling("guest", READER, Some("bodgit-contractors"), &[]),
    calling("guest-caller", USER, Some("fixit-engineers"), &[]),
    calling("call-centre", USER, Some("northern-lines"), KEYFAX),
    // Asked for a second factor, and without it.
    calling("mfa-user", USER, None, &["groups=[\"c0ffee00-0000-4000-8000-000000000001\"]"]),
    // Four seats: the fifth of them is refused.
    seat("seat-1"),
    seat("seat-2"),
    seat("seat-3"),
    seat("seat-4"),
    seat("seat-5"),
    connect("owner"),
    connect("full-access-user"),
    connect("limited-access"),
    connect("read-only"),
    connect("restricted"),
    connect("group-user"),
    connect("team-user"),
];

/// Who is called so in this application.
pub(super) fn named(app: &str, name: &str) -> Option<&'static Person> {
    PEOPLE.iter().find(|person| person.app == app && person.name == name)
}
