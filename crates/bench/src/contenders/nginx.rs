//! nginx, which passes on what a Space answers.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::database::NOBODY;
use crate::program::{Program, free_port};

/// Time in which it starts.
const START: Duration = Duration::from_secs(20);

/// Starts it in front of `upstream`, with connections that it keeps, and its files in `folder`.
pub(crate) async fn start(program: &Path, upstream: &str, folder: &Path) -> Result<Program> {
    std::fs::create_dir_all(folder)?;
    let port = free_port()?;
    let server = upstream.trim_start_matches("http://");
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = kinds.iter().map(|kind| format!("{kind}_temp_path {kind};\n")).collect();
    let configuration = format!(
        "daemon off;\nworker_processes auto;\npid nginx.pid;\nerror_log error.log;\n\
         events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{temporary}\
         upstream space {{ server {server}; keepalive 64; }}\n\
         server {{\nlisten 127.0.0.1:{port};\nlocation / {{\nproxy_pass http://space;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\n}}\n}}\n}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), configuration)?;
    // A user without privileges may not see the program where it is.
    let copy = folder.join("nginx");
    let program = if program.is_file() && std::fs::copy(program, &copy)? > 0 { copy.as_path() } else { program };
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "error.log"]);
    // As such a user, where the benchmark is root's.
    if std::fs::metadata(folder)?.uid() == 0 {
        chown(folder, Some(NOBODY), Some(NOBODY))?;
        command.uid(NOBODY).gid(NOBODY);
    }
    Program::awaited(&mut command, port, START).await.context("nginx")
}
