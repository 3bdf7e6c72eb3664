//! Exports as Keycloak writes them: settings inside strings, names in place of ids.

/// A contact centre's realm with its client.
pub(super) const CONTACT_CENTRE: &str = r#"{
 "id": "expertflow", "realm": "expertflow", "enabled": true,
 "roles": {
  "realm": [
   {"id": "r1", "name": "agent", "composite": false, "clientRole": false},
   {"id": "r2", "name": "supervisor", "composite": true, "composites": {"realm": ["agent"]}, "clientRole": false},
   {"id": "r3", "name": "admin", "composite": false, "clientRole": false},
   {"id": "r4", "name": "anyone", "composite": false, "clientRole": false}
  ],
  "client": {"cim": [{"id": "c1", "name": "uma_protection", "clientRole": true}, {"id": "c2", "name": "reporter", "clientRole": true}]}
 },
 "groups": [{"id": "g1", "name": "agents_permission", "path": "/agents_permission", "subGroups": [{"id": "g2", "name": "night", "path": "/agents_permission/night", "subGroups": []}]}],
 "users": [{"id": "7d3b8a06-33a1-4b6c-9a6a-0b7f8b1f2c11", "username": "service-account-cim", "enabled": true}],
 "clients": [
  {"clientId": "account", "enabled": true},
  {"clientId": "cim", "enabled": true, "authorizationServicesEnabled": true,
   "authorizationSettings": {
    "allowRemoteResourceManagement": true, "policyEnforcementMode": "ENFORCING", "decisionStrategy": "UNANIMOUS",
    "scopes": [{"id": "s1", "name": "view"}, {"id": "s2", "name": "manage"}, {"id": "s3", "name": "assign_label"}],
    "resources": [
     {"_id": "b1", "name": "reason-code", "ownerManagedAccess": false, "displayName": "", "attributes": {}, "uris": ["/unified-admin/reasons/*"], "scopes": [{"name": "view"}, {"name": "manage"}], "icon_uri": ""},
     {"_id": "b2", "name": "forms", "type": "urn:cim:resources:default", "ownerManagedAccess": false, "attributes": {}, "uris": ["/unified-admin/forms", "/unified-admin/forms/{formID}"], "scopes": [{"name": "view"}, {"name": "manage"}]},
     {"_id": "b3", "name": "customer-labels", "ownerManagedAccess": false, "attributes": {}, "uris": ["/cim/label"], "scopes": [{"name": "view"}, {"name": "manage"}, {"name": "assign_label"}]},
     {"_id": "b4", "name": "state-change", "ownerManagedAccess": false, "attributes": {}, "uris": [], "scopes": [{"name": "view"}]},
     {"_id": "b5", "name": "health", "ownerManagedAccess": false, "attributes": {}, "uris": ["/unified-admin/health"]}
    ],
    "policies": [
     {"id": "p1", "name": "is-agent", "description": "", "type": "role", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"roles": "[{\"id\":\"agent\",\"required\":false}]"}},
     {"id": "p2", "name": "is-supervisor", "type": "role", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"roles": "[{\"id\":\"supervisor\",\"required\":true}]"}},
     {"id": "p3", "name": "is-admin", "type": "role", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"roles": "[{\"id\":\"admin\",\"required\":true}]"}},
     {"id": "p4", "name": "is-reporter", "type": "role", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"roles": "[{\"id\":\"cim/reporter\",\"required\":false}]"}},
     {"id": "p5", "name": "no-agent", "type": "role", "logic": "NEGATIVE", "decisionStrategy": "UNANIMOUS", "config": {"roles": "[{\"id\":\"agent\",\"required\":false}]"}},
     {"id": "p6", "name": "staff", "type": "aggregate", "logic": "POSITIVE", "decisionStrategy": "AFFIRMATIVE", "config": {"applyPolicies": "[\"is-admin\",\"is-supervisor\"]"}},
     {"id": "p7", "name": "office", "type": "js", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"code": "$evaluation.grant();"}},
     {"id": "p8", "name": "reason-code view", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "AFFIRMATIVE", "config": {"resources": "[\"reason-code\"]", "scopes": "[\"view\"]", "applyPolicies": "[\"is-agent\",\"staff\",\"is-reporter\"]"}},
     {"id": "p9", "name": "reason-code manage", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"resources": "[\"reason-code\"]", "scopes": "[\"manage\"]", "applyPolicies": "[\"staff\",\"no-agent\"]"}},
     {"id": "p10", "name": "forms", "type": "resource", "logic": "POSITIVE", "decisionStrategy": "CONSENSUS", "config": {"defaultResourceType": "urn:cim:resources:default", "applyPolicies": "[\"is-admin\",\"is-supervisor\",\"office\"]"}},
     {"id": "p11", "name": "labels", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "AFFIRMATIVE", "config": {"resources": "[\"customer-labels\"]", "scopes": "[\"view\",\"manage\",\"assign_label\"]", "applyPolicies": "[\"is-agent\",\"office\"]"}},
     {"id": "p12", "name": "state", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "AFFIRMATIVE", "config": {"resources": "[\"state-change\"]", "scopes": "[\"view\"]", "applyPolicies": "[\"is-agent\"]"}}
    ]
   }}
 ]
}"#;

/// A policy enforcer's configuration for it.
pub(super) const ENFORCER: &str = r#"{"realm": "expertflow", "auth-server-url": "https://cim.example/auth", "resource": "cim",
 "policy-enforcer": {"enforcement-mode": "ENFORCING", "paths": [
  {"name": "reason-code", "path": "/unified-admin/reasons/*", "methods": [
    {"method": "GET", "scopes": ["view"]}, {"method": "POST", "scopes": ["manage"]},
    {"method": "PUT", "scopes": ["view", "manage"], "scopes-enforcement-mode": "ALL"},
    {"method": "DELETE", "scopes": ["view", "manage"], "scopes-enforcement-mode": "ANY"}]},
  {"name": "health", "path": "/unified-admin/health", "enforcement-mode": "DISABLED"}]}}"#;

/// The shape of an application that an identity provider tests itself with: old `uri`, roles without `required`, scopes
/// that stand for no method.
pub(super) const SERVLET: &str = r#"{
 "allowRemoteResourceManagement": true, "policyEnforcementMode": "ENFORCING",
 "resources": [
  {"name": "Admin Resource", "uri": "/protected/admin/*", "type": "http://servlet-authz/protected/admin", "scopes": [{"name": "urn:servlet-authz:protected:admin:access"}]},
  {"name": "Protected Resource", "uri": "/*", "type": "http://servlet-authz/protected/resource", "scopes": [{"name": "urn:servlet-authz:protected:resource:access"}]},
  {"name": "Resource A", "uri": "/protected/scopes.jsp", "scopes": [{"name": "read"}, {"name": "write"}]},
  {"name": "Main Page", "scopes": [{"name": "urn:servlet-authz:page:main:actionForAdmin"}]},
  {"name": "Resource Protected With Claim", "uri": "/protected/context/context.jsp"}
 ],
 "policies": [
  {"name": "Any Admin Policy", "type": "role", "config": {"roles": "[{\"id\":\"admin\"}]"}},
  {"name": "Any User Policy", "type": "role", "config": {"roles": "[{\"id\":\"user\"}]"}},
  {"name": "All Users Policy", "type": "aggregate", "decisionStrategy": "AFFIRMATIVE", "config": {"applyPolicies": "[\"Any User Policy\",\"Any Admin Policy\"]"}},
  {"name": "Administrative Resource Permission", "type": "resource", "decisionStrategy": "UNANIMOUS", "config": {"resources": "[\"Admin Resource\"]", "applyPolicies": "[\"Any Admin Policy\"]"}},
  {"name": "Protected Resource Permission", "type": "resource", "decisionStrategy": "AFFIRMATIVE", "config": {"resources": "[\"Protected Resource\"]", "applyPolicies": "[\"All Users Policy\"]"}},
  {"name": "Action 1 on Main Page Resource Permission", "type": "scope", "decisionStrategy": "AFFIRMATIVE", "config": {"scopes": "[\"urn:servlet-authz:page:main:actionForAdmin\"]", "applyPolicies": "[\"Any Admin Policy\"]"}},
  {"name": "Deny Policy", "type": "js", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"code": "$evaluation.deny();"}},
  {"name": "Resource A Read Permission", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"resources": "[\"Resource A\"]", "scopes": "[\"read\"]", "applyPolicies": "[\"Any User Policy\"]"}},
  {"name": "Resource A Write Permission", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": {"resources": "[\"Resource A\"]", "scopes": "[\"write\"]", "applyPolicies": "[\"Deny Policy\"]"}}
 ]
}"#;
