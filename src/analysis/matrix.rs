//! An app's rules as the table that its document prints: resources (or features) × roles.

use std::sync::Arc;

use super::nearest;
use crate::policy::{App, PermissionId};

/// The table of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The app.
    pub app: Arc<str>,
    /// The columns: roles, in the order of the file.
    pub roles: Vec<Arc<str>>,
    /// The rows: resources or features, in the order of the file.
    pub rows: Vec<Row>,
}

/// One resource or feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub resource: Box<str>,
    /// Its scopes; one alone for a feature of a `[matrix]`.
    pub scopes: Vec<Box<str>>,
    /// Whether it is kept out of `*` and held by nobody until that changes.
    pub reserved: bool,
    /// Whether the document's table has yes and no in its cells, and no scopes.
    pub is_feature: bool,
    /// Per role, what it is granted of each scope, in the order of `scopes`.
    pub cells: Vec<Vec<Granted>>,
}

/// What one role is granted of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// Nothing.
    No,
    /// The scope.
    Yes,
    /// The scope, if one of these lists of conditions holds.
    If(Vec<Vec<Box<str>>>),
}

/// The table of an app.
#[must_use]
pub fn of(app: &App) -> Matrix {
    let mut rows: Vec<Row> = Vec::new();
    for (id, permission) in &app.permissions {
        let cells: Vec<Granted> = (0..app.roles.len()).map(|role| cell(app, role, *id)).collect();
        match rows.last_mut().filter(|row| row.resource == permission.resource) {
            Some(row) => {
                row.scopes.push(permission.scope.clone());
                row.cells.iter_mut().zip(cells).for_each(|(own, cell)| own.push(cell));
            }
            None => rows.push(Row {
                resource: permission.resource.clone(),
                scopes: vec![permission.scope.clone()],
                reserved: permission.reserved,
                is_feature: app.features.contains(&permission.resource),
                cells: cells.into_iter().map(|cell| vec![cell]).collect(),
            }),
        }
    }
    Matrix { app: app.name.clone(), roles: app.roles.iter().map(|role| role.name.clone()).collect(), rows }
}

fn cell(app: &App, role: usize, permission: PermissionId) -> Granted {
    let grants = app.roles.get(role).map_or(&[][..], |role| role.grants_of(permission));
    if grants.is_empty() {
        return Granted::No;
    }
    if grants.iter().any(|grant| grant.conditions.is_empty()) {
        return Granted::Yes;
    }
    let conditions: Vec<_> = grants.iter().map(|grant| nearest::names(app, &grant.conditions)).collect();
    if conditions.iter().any(Vec::is_empty) { Granted::Yes } else { Granted::If(conditions) }
}
