//! nginx as a bare proxy: found or installed, told to do nothing but forward.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::cores::{self, Core};
use crate::{apt, config::Config, report::Report, toolchain::on_path};

/// Where Debian has it, which is not on everybody's `PATH`.
const DEBIANS: &str = "/usr/sbin/nginx";

pub fn find_or_install(config: &Config, report: Report) -> Result<PathBuf> {
    if let Some(found) = find(config) {
        return Ok(found);
    }
    apt::install(&["nginx"], "the proxy to compare with", config, report)?;
    find(config).context("nginx was installed and cannot be found")
}

fn find(config: &Config) -> Option<PathBuf> {
    on_path(&config.path, "nginx").or_else(|| Some(PathBuf::from(DEBIANS)).filter(|path| path.is_file()))
}

/// The command that runs it in the foreground, with everything of its own in `folder`.
pub fn command(program: &Path, port: u16, upstream: u16, folder: &Path) -> Result<Command> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(port, upstream, folder, apt::is_root()))?;
    let mut command = cores::command(Core::Measured, program);
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(file);
    Ok(command)
}

/// Kept connections on both sides, no log, no file: bodies stay in memory, answers are passed on as they come.
fn configuration(port: u16, upstream: u16, folder: &Path, is_root: bool) -> String {
    let folder = folder.display();
    // As root it would give its workers, and its folders, to another user.
    let user = if is_root { "user root;\n" } else { "" };
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    format!(
        "daemon off;
pid {folder}/nginx.pid;
worker_processes auto;
{user}events {{ worker_connections 4096; }}
http {{
{places}    access_log off;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_max_body_size 1m;
    client_body_buffer_size 256k;
    tcp_nodelay on;
    upstream provider {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
