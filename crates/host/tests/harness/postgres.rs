//! A PostgreSQL server of a test's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// User that runs it where the tests are root's, for whom PostgreSQL doesn't run: `nobody`.
const NOBODY: u32 = 65534;
pub(crate) const PASSWORD: &str = "open-sesame-0123456789";

/// A server on a free port of loopback, with one user and its password.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    process: Option<Child>,
    pub(crate) port: u16,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("z-image-postgres-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("password"), PASSWORD).unwrap();
        if fs::metadata(&folder).unwrap().uid() == 0 {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { programs: programs(), folder, process: None, port };
        let mut initdb = server.command("initdb");
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--pwfile").arg(server.folder.join("password")).arg("--pgdata").arg(server.folder.join("data"));
        let output = initdb.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        server.begin();
        server
    }

    /// Address, as a URL with the password in it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// Entry for `allowed_outbound_hosts`.
    pub(crate) fn allowed(&self) -> String {
        format!("\"postgres://127.0.0.1:{}\"", self.port)
    }

    /// Ends it with all connections, and starts it again at the same port.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.begin();
    }

    fn begin(&mut self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.folder.join("data")).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "jit=off"] {
            command.args(["-c", setting]);
        }
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (ready, is_ready) = channel();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = ready.send(line);
            }
        });
        self.process = Some(process);
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("ready to accept connections")) {
            match is_ready.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => said.push(line),
                Err(_) => panic!("PostgreSQL isn't ready: {said:?}"),
            }
        }
    }

    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // A fast shutdown: connections are cut.
            let _ = Command::new("kill").args(["-INT", &process.id().to_string()]).status();
            let _ = process.wait();
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder);
        if fs::metadata(&self.folder).unwrap().uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Folder of the server's programs: the one in POSTGRES_BIN, one in PATH, or Debian's newest.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return folder.into();
    }
    let has_all = |folder: &Path| ["initdb", "postgres"].iter().all(|program| folder.join(program).exists());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    debian.sort_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    let debian = debian.into_iter().rev().map(|entry| entry.path().join("bin"));
    std::env::split_paths(&path).chain(debian).find(|folder| has_all(folder)).expect(
        "no PostgreSQL server: `cargo xtask test host` gets one, and POSTGRES_BIN names the folder of its programs",
    )
}
