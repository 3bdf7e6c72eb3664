//! Debian's nginx: one worker, keep-alive to the upstream, nothing but passing through.

use std::fs;
use std::path::Path;

use super::{Child, Stage, Transport, free_address, installed};
use crate::Result;

/// Starts it with a configuration of our own.
pub fn start(stage: &Stage, transport: Transport) -> Result<Child> {
    let program = installed(&["/usr/sbin/nginx", "/usr/local/sbin/nginx"], "nginx")?;
    let address = free_address()?;
    let listen = match transport {
        Transport::Plain => format!("listen {address};"),
        Transport::Tls => format!(
            "listen {address} ssl http2; ssl_certificate {}; ssl_certificate_key {};",
            stage.certificate.display(),
            stage.key.display()
        ),
    };
    Child::start(address, &program, |directory| {
        let config = directory.join("nginx.conf");
        fs::write(&config, text(stage, directory, &listen))?;
        Ok(vec!["-c".into(), config.to_string_lossy().into_owned()])
    })
}

fn text(stage: &Stage, directory: &Path, listen: &str) -> String {
    let (directory, upstream) = (directory.display(), stage.upstream);
    // Nothing is written to disk, and connections last: the rest is nginx's own default.
    format!(
        r#"daemon off;
worker_processes 1;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    upstream echo {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        {listen}
        location / {{
            proxy_pass http://echo;
            proxy_http_version 1.1;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"#
    )
}
