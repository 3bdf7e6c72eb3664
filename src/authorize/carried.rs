//! What a permit carries beside the identity: edits of the answer, and what becomes of the connection.

use std::sync::Arc;

use serde_json::Value as Json;

use super::case::Case;
use crate::json::{Edits, Filter};
use crate::policy::obligation::Residue;
use crate::policy::socket::{SocketKind, SocketRules, Told};
use crate::policy::{Access, Condition, Facts, RoleSet, holds_one};
use crate::token::VerifiedToken;

/// What the connection becomes once the app agrees.
#[derive(Clone, Debug, Default)]
pub enum Upgrade {
    /// Nothing else: a request and its answer.
    #[default]
    None,
    /// A tunnel, if the client asks for a WebSocket.
    WebSocket,
    /// Socket.IO, each event of which is judged.
    SocketIo(Arc<Opening>),
}

/// A Socket.IO connection that may be opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The app, by index in the snapshot.
    pub app: usize,
    /// What its file says of its socket.
    pub rules: Arc<SocketRules>,
    /// Who opens it; none where the token comes with the first packet.
    pub caller: Option<Arc<VerifiedToken>>,
    /// What the app is given as the client's `auth`, but for what survives of the client's own; `null` without a caller.
    pub auth: Json,
}

impl Case<'_> {
    /// The edits that this caller's answer needs. What isn't known to be permitted is hidden.
    pub(super) fn edits(&self, roles: &RoleSet, facts: &Facts<'_>) -> Edits {
        let own = &self.operation.obligations;
        let hidden = own.masks.iter().filter(|mask| !holds_one(self.app, &mask.unless, roles, facts));
        let masks = hidden.flat_map(|mask| mask.fields.iter().cloned()).collect();
        let filters = own.filters.iter().map(|filter| {
            let condition = Condition::Named(filter.keep);
            let residue = Residue::of(&condition, &self.app.conditions, filter.of, facts);
            Filter { items: filter.items.clone(), keep: Arc::new(move |element| residue.keeps(element)) }
        });
        Edits { masks, filters: filters.collect() }
    }

    /// What the connection becomes.
    pub(super) fn upgrade(
        &self,
        caller: Option<&Arc<VerifiedToken>>,
        roles: &RoleSet,
        facts: Option<&Facts<'_>>,
    ) -> Upgrade {
        let own = self.app.socket.as_ref().filter(|own| own.path == self.operation.template);
        match (own, &self.operation.access) {
            (Some(rules), Access::Socket { .. }) if rules.kind == SocketKind::SocketIo => {
                let auth = facts.map_or(Json::Null, |facts| self.told(&rules.auth.told, roles, facts));
                let (rules, caller) = (rules.clone(), caller.cloned());
                Upgrade::SocketIo(Arc::new(Opening { app: self.at.app, rules, caller, auth }))
            }
            (Some(rules), _) if rules.kind == SocketKind::WebSocket => Upgrade::WebSocket,
            _ => Upgrade::None,
        }
    }

    fn told(&self, members: &[(Box<str>, Told)], roles: &RoleSet, facts: &Facts<'_>) -> Json {
        let value = |told: &Told| match told {
            Told::Fact(fact) => facts.get(*fact).map(|value| value.to_json()),
            Told::Roles => Some(self.role_names(roles)),
            Told::Permissions => Some(self.permission_names(roles)),
            Told::Object(inner) => Some(self.told(inner, roles, facts)),
            Told::Text(inner) => Some(Json::String(self.told(inner, roles, facts).to_string())),
        };
        members.iter().filter_map(|(name, told)| Some((name.to_string(), value(told)?))).collect()
    }

    fn role_names(&self, roles: &RoleSet) -> Json {
        let held = roles.iter().filter(|role| Some(*role) != self.app.anyone);
        held.filter_map(|role| self.app.roles.get(role)).map(|role| Json::from(&*role.name)).collect()
    }

    fn permission_names(&self, roles: &RoleSet) -> Json {
        let is_held = |id: &crate::policy::PermissionId| {
            roles
                .iter()
                .filter_map(|role| self.app.roles.get(role))
                .any(|row| row.sure.get(usize::from(id.word)).is_some_and(|word| word & id.mask() != 0))
        };
        let held = self.app.permissions.iter().filter(|(id, _)| is_held(id));
        held.map(|(_, permission)| Json::from(&*permission.name)).collect()
    }
}
