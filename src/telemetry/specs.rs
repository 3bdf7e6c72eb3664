//! What each metric of the gateway's is called, says and is labelled by. Who counts, and when, is `metrics`.

use super::family::Spec;

/// Series of a metric whose labels multiply.
pub(super) const SERIES_MAX: usize = 10_000;

/// Buckets for whole requests and upstreams: 1 ms to 10 s.
pub(super) const REQUEST_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets for decisions: 1 µs to 10 ms.
const DECISION_BUCKETS: &[f64] = &[
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_025,
    0.000_05,
    0.000_1,
    0.000_25,
    0.000_5,
    0.001,
    0.0025,
    0.005,
    0.01,
];

pub(super) const fn spec(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Spec {
    Spec { name, help, labels, buckets: &[], most: SERIES_MAX }
}

const fn timed(spec: Spec, buckets: &'static [f64]) -> Spec {
    Spec { buckets, ..spec }
}

pub(super) const REQUESTS: Spec = spec(
    "gatewarden_requests_total",
    "Requests by proven tenant, app, route template, method and status.",
    &["tenant", "app", "route", "method", "code"],
);
pub(super) const TENANT_SECONDS: Spec = spec(
    "gatewarden_tenant_request_seconds",
    "Time that requests took, by proven tenant and app.",
    &["tenant", "app"],
);
pub(super) const REQUEST_DURATION: Spec = timed(
    spec("gatewarden_request_duration_seconds", "Time from a request's head to its end.", &["route"]),
    REQUEST_BUCKETS,
);
pub(super) const DECISIONS: Spec = spec(
    "gatewarden_decisions_total",
    "What the rules decided, and why.",
    &["tenant", "app", "effect", "reason"],
);
pub(super) const DECISION_DURATION: Spec = timed(
    spec(
        "gatewarden_decision_duration_seconds",
        "Time to read and decide a request, signature checks included.",
        &[],
    ),
    DECISION_BUCKETS,
);
pub(super) const AUTH_FAILURES: Spec = spec(
    "gatewarden_auth_failures_total",
    "Requests whose caller could not be identified, by the issuer that the token named.",
    &["issuer", "reason"],
);
pub(super) const UPSTREAM_REQUESTS: Spec = spec(
    "gatewarden_upstream_requests_total",
    "Requests sent to an upstream, by the status of its answer.",
    &["upstream", "code"],
);
pub(super) const UPSTREAM_DURATION: Spec = timed(
    spec("gatewarden_upstream_duration_seconds", "Time to the head of an upstream's answer.", &["upstream"]),
    REQUEST_BUCKETS,
);
pub(super) const UPSTREAM_CUT_ANSWERS: Spec = spec(
    "gatewarden_upstream_cut_answers_total",
    "Answers that an upstream broke off, or let stall, after their status was sent on.",
    &["upstream"],
);
pub(super) const OVERFLOW: Spec = spec(
    "gatewarden_label_overflow_total",
    "Requests counted under _other because a label had too many values.",
    &["label"],
);
pub(super) const RELOADS: Spec =
    spec("gatewarden_config_reloads_total", "Configurations that were read.", &["result", "trigger"]);
pub(super) const RELOAD_SUCCESSFUL: Spec =
    spec("gatewarden_config_last_reload_successful", "Whether what stands on disk is live.", &[]);
pub(super) const CONFIG_UNEXPECTED: Spec = spec(
    "gatewarden_config_unexpected",
    "What the live files expect and isn't so: a restart refuses them.",
    &[],
);
pub(super) const RELOAD_TIMESTAMP: Spec = spec(
    "gatewarden_config_last_reload_success_timestamp_seconds",
    "When what stands on disk was last found in order.",
    &[],
);
pub(super) const CONFIG_INFO: Spec =
    spec("gatewarden_config_info", "The live configuration's hash.", &["hash"]);
pub(super) const RULES_LOADED: Spec =
    spec("gatewarden_rules_loaded", "How much the live configuration holds.", &["kind"]);
pub(super) const BUILD_INFO: Spec =
    spec("gatewarden_build_info", "The version of this program.", &["version"]);
pub(super) const DEV_MODE: Spec = spec("gatewarden_dev_mode", "Whether this is the development mode.", &[]);
pub(super) const GRANTS_END: Spec = spec(
    "gatewarden_grants_end_timestamp_seconds",
    "When grants end that do: the end of the last day on which they hold, in UTC.",
    &["app", "until"],
);
pub(super) const JWKS_KEYS: Spec = spec("gatewarden_jwks_keys", "Keys that an issuer has.", &["issuer"]);
pub(super) const JWKS_SUCCESS: Spec = spec(
    "gatewarden_jwks_last_success_timestamp_seconds",
    "When an issuer's keys were last fetched; 0 for never.",
    &["issuer"],
);
pub(super) const JWKS_FAILURES: Spec = spec(
    "gatewarden_jwks_refresh_failures_total",
    "Attempts to fetch an issuer's keys that failed.",
    &["issuer"],
);
pub(super) const SOCKETS: Spec = spec(
    "gatewarden_sockets",
    "Open sockets: WebSockets, and Socket.IO sessions over whatever transport.",
    &["app"],
);
pub(super) const CONNECTIONS: Spec = spec("gatewarden_connections", "Open client connections.", &[]);
pub(super) const HANDSHAKE_FAILURES: Spec = spec(
    "gatewarden_tls_handshake_failures_total",
    "TLS handshakes with callers that failed, by what came in the way.",
    &["reason"],
);
pub(super) const PROXY_REFUSED: Spec = spec(
    "gatewarden_proxy_protocol_refused_total",
    "Connections of `proxy-protocol` peers that were closed because they didn't begin with a sound header of it.",
    &[],
);
pub(super) const CERTIFICATE_END: Spec = spec(
    "gatewarden_certificate_expiry_timestamp_seconds",
    "When a certificate that is presented to callers ends.",
    &["certificate"],
);
pub(super) const LIMIT_HITS: Spec = spec(
    "gatewarden_limit_hits_total",
    "Connections and requests that a limit of gateway.toml refused or ended.",
    &["limit"],
);
pub(super) const PANICS: Spec = spec(
    "gatewarden_panics_total",
    "Faults of the gateway's own; each ended one request or task. The log says where.",
    &[],
);
pub(super) const BUCKETS: Spec = spec(
    "gatewarden_rate_buckets",
    "Addresses, tenants and people whose requests are being counted against a rate.",
    &[],
);
pub(super) const BUCKETS_SHARED: Spec = spec(
    "gatewarden_rate_buckets_shared_total",
    "Requests counted against one rate with others', for want of room for a count of their own.",
    &[],
);
pub(super) const PREFLIGHTS: Spec = spec(
    "gatewarden_preflights_total",
    "Times that a browser asked beforehand what a page of another origin may send.",
    &["app", "result"],
);
pub(super) const IN_FLIGHT: Spec =
    spec("gatewarden_requests_in_flight", "Requests that have not ended.", &[]);
