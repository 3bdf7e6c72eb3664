//! What `dev` prints once it serves: where everything is, and commands to paste that show an answer and a refusal.

use std::net::SocketAddr;

use super::files::Kept;

/// What the banner tells.
#[derive(Clone, Debug)]
pub(super) struct Banner<'b> {
    /// How to call this program from here.
    pub program: &'b str,
    /// Where callers come in.
    pub gateway: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Where the files are, as a shell takes it.
    pub files: &'b str,
    /// What `token dev` needs to find the socket; empty for the usual place.
    pub directory: Option<&'b str>,
    /// Whether rule files from an earlier start were found changed.
    pub kept: Kept,
    /// The demo applications.
    pub apps: &'b [String],
}

impl Banner<'_> {
    /// The text.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let Self { program, gateway, admin, files, .. } = self;
        let apps = self.apps.join(", ");
        let directory =
            self.directory.map(|directory| format!(" --directory {directory}")).unwrap_or_default();
        let kept = match self.kept {
            Kept::None => "",
            Kept::Edited => "; your edits from an earlier start are kept",
        };
        let open = match gateway.ip().is_loopback() {
            true => String::new(),
            false => format!(
                "  open     {} is reachable from elsewhere; only the demo applications stand behind it\n",
                gateway.ip()
            ),
        };
        format!(
            "\
gatewarden {version}   DEV MODE: tokens are signed with a key made just now; `run` never accepts them
  gateway  http://{gateway}   in front of {apps}
  admin    http://{admin}   /rules /metrics /readyz
  files    {files}/rules   edit one and watch this terminal{kept}
{open}
a token, what it opens, and what it doesn't (paste into another terminal, in this directory):
  T=$({program} token dev{directory} --as agent-desk/agent)
  curl -i -H \"Authorization: Bearer $T\" http://{gateway}/cim/customers             # 200
  curl -i -H \"Authorization: Bearer $T\" http://{gateway}/cim/customerSchema        # 403
why:
  {program} explain --config {files}/gateway.toml --role agent GET /cim/customerSchema
who may do what:
  {program} matrix --config {files}/gateway.toml --app agent-desk
after an edit, and after a refusal (its id is in X-Request-Id):
  export GATEWARDEN_CONFIG={files}/gateway.toml
  {program} check; {program} diff live; {program} test
  {program} explain ID
files to start from:
  {program} dev --eject ./mine
",
            version = env!("CARGO_PKG_VERSION"),
        )
    }
}
