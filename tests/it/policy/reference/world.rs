//! What a policy is asked about: tenants with their settings, and one request with everything that is known of it.

use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value as Json};

use super::model::Policy;

/// A tenant's row.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub(super) name: &'static str,
    pub(super) ids: &'static [&'static str],
    /// Whether it is a customer of the app.
    pub(super) is_customer: bool,
    /// What is set, as the file writes it.
    pub(super) settings: Vec<(&'static str, &'static str)>,
    pub(super) zone: (&'static str, i64),
}

impl Tenant {
    pub(super) fn setting(&self, name: &str) -> &'static str {
        self.settings.iter().find(|(own, _)| *own == name).unwrap().1
    }
}

/// The file of these tenants, with the settings that the policy reads.
pub(super) fn tenants_file(tenants: &[Tenant], policy: &Policy) -> String {
    let mut text = String::new();
    for tenant in tenants {
        let apps = if tenant.is_customer { "[\"g\"]" } else { "[]" };
        text += &format!(
            "[tenant.{}]\ntime-zone = \"{}\"\nids = {:?}\napps = {apps}\n",
            tenant.name, tenant.zone.0, tenant.ids
        );
        let settings = policy.settings();
        if settings.is_empty() || !tenant.is_customer {
            continue;
        }
        text += &format!("[tenant.{}.settings]\n", tenant.name);
        for name in settings {
            let value = tenant.setting(name).replace('\'', "\"");
            text += &format!("{} = {value}\n", name.split_once('.').unwrap().1);
        }
    }
    text
}

/// One request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: Vec<(&'static str, &'static str)>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) client: IpAddr,
    pub(super) now: u64,
    /// The verified token's issuer and claims.
    pub(super) caller: Option<(&'static str, Map<String, Json>)>,
    /// `null` where there is none.
    pub(super) body: Json,
    /// What the app answers, if it is asked rightly.
    pub(super) answers: Vec<(&'static str, Answer)>,
    /// Whether there is a seat.
    pub(super) seated: bool,
    /// Elements of a list in the app's answer.
    pub(super) elements: Vec<Json>,
}

/// What an app says when it is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Found(Json),
    /// There is no such thing.
    Nothing,
    /// There is no answer.
    None,
}

impl Ask {
    pub(super) fn answer(&self, look_up: &str) -> &Answer {
        self.answers.iter().find(|(own, _)| *own == look_up).map(|(_, answer)| answer).unwrap()
    }

    pub(super) fn query_text(&self) -> String {
        self.query.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caller =
            self.caller.as_ref().map(|(issuer, claims)| format!("{issuer} {}", Json::Object(claims.clone())));
        let caller = caller.unwrap_or_default();
        write!(f, "{} {}?{} {:?}", self.method, self.path, self.query_text(), self.headers)?;
        writeln!(f, " from {} at {} as {caller}", self.client, self.now)?;
        writeln!(f, "body {}", self.body)?;
        self.answers.iter().try_for_each(|(name, answer)| match answer {
            Answer::Found(json) => writeln!(f, "{name}: {json}"),
            other => writeln!(f, "{name}: {other:?}"),
        })?;
        self.elements.iter().try_for_each(|element| writeln!(f, "element {element}"))?;
        write!(f, "seated {}", self.seated)
    }
}
