//! A PostgreSQL server of the benchmark's own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// User that runs it where the benchmark is root's, for whom PostgreSQL doesn't run: `nobody`.
pub(crate) const NOBODY: u32 = 65534;
const PASSWORD: &str = "open-sesame-0123456789";

/// A server on a free port of loopback. It ends when this is dropped.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Starts one whose files lie in `folder`; `None` where this machine has none.
    pub(crate) async fn start(folder: &Path) -> Result<Option<Self>> {
        let Some(programs) = programs() else { return Ok(None) };
        fs::create_dir_all(folder)?;
        fs::write(folder.join("password"), PASSWORD)?;
        if fs::metadata(folder)?.uid() == 0 {
            chown(folder, Some(NOBODY), Some(NOBODY))?;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self { programs, folder: folder.to_owned(), port, process: None };
        let mut initdb = server.command("initdb")?;
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--pwfile").arg(folder.join("password")).arg("--pgdata").arg(folder.join("data"));
        let output = initdb.output().await?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        server.begin().await?;
        Ok(Some(server))
    }

    /// Address of the database of that name, as a URL with the password in it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Entry for `allowed_outbound_hosts`.
    pub(crate) fn allowed(&self) -> String {
        format!("postgres://127.0.0.1:{}", self.port)
    }

    /// Starts it as it is set up by default, but for connections: each host may have 64.
    async fn begin(&mut self) -> Result<()> {
        let mut command = self.command("postgres")?;
        command.arg("-D").arg(self.folder.join("data")).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=800"] {
            command.args(["-c", setting]);
        }
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
        let stderr = process.stderr.take().context("no standard error")?;
        self.process = Some(process);
        let mut lines = BufReader::new(stderr).lines();
        loop {
            let line = lines.next_line().await?.context("PostgreSQL ended before it was ready")?;
            if line.contains("ready to accept connections") {
                break;
            }
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(())
    }

    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder);
        if fs::metadata(&self.folder)?.uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.take().and_then(|process| process.id()) {
            // A fast shutdown: connections are cut.
            let _ = std::process::Command::new("kill").args(["-INT", &process.to_string()]).status();
        }
    }
}

/// Folder of the server's programs: the one in POSTGRES_BIN, one in PATH, or Debian's newest.
#[allow(clippy::disallowed_methods, reason = "the environment says where programs are")]
fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return Some(folder.into());
    }
    let has_all = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).exists());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    debian.sort_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    let debian = debian.into_iter().rev().map(|entry| entry.path().join("bin"));
    std::env::split_paths(&path).chain(debian).find(has_all)
}
