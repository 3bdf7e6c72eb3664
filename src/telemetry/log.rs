//! The log: one line an event, on stderr, for people or as JSON. The level comes from `GATEWARDEN_LOG`.

use tracing_subscriber::EnvFilter;

use crate::plumbing::LogFormat;

/// The environment variable that sets the level, in `tracing`'s filter language.
pub const LEVEL_VARIABLE: &str = "GATEWARDEN_LOG";

/// Starts the log for the whole process. A second call changes nothing; tests start several gateways.
pub fn start(format: LogFormat) {
    let level = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(LEVEL_VARIABLE)
        .from_env_lossy();
    let builder = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log has been started before");
    }
}
