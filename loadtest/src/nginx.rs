//! Nginx beside the gateway: one worker, keep-alive to the same upstream, nothing but passing through.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::Result;
use crate::gateway::free_address;
use crate::process::Guarded;

/// A running nginx.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its master process; the worker is its child.
    pub process: Guarded,
    _directory: TempDir,
}

impl Nginx {
    /// Starts Debian's nginx with a configuration of our own.
    pub fn start(upstream: SocketAddr, connections: usize) -> Result<Self> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or("nginx isn't installed; `apt-get install nginx-light` does that")?;
        let directory = tempfile::tempdir()?;
        let address = free_address()?;
        let config = directory.path().join("nginx.conf");
        fs::write(&config, nginx_conf(directory.path(), address, upstream, connections))?;
        let process = Guarded::start(program, &["-c", &config.to_string_lossy()])?;
        for _ in 0..250 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(Self { address, process, _directory: directory });
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Err("nginx does not come up".into())
    }
}

fn nginx_conf(directory: &Path, address: SocketAddr, upstream: SocketAddr, connections: usize) -> String {
    let directory = directory.display();
    format!(
        r#"daemon off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    upstream echo {{ server {upstream}; keepalive {connections}; keepalive_requests 100000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://echo;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"#
    )
}
