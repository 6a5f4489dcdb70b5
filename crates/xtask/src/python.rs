//! Python packages, in virtual environments inside `target/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell::{root, run_quietly, say, succeeds, target};

/// A virtual environment.
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Its Python.
    pub(crate) fn python(&self) -> PathBuf {
        self.program("python")
    }

    /// A program of its packages.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

/// Environment of the demonstration's Space.
pub(crate) fn space() -> Result<Environment> {
    environment("space", &["tests/space/requirements.txt"])
}

/// Environment of the end-to-end tests: the Space's packages and the clients'.
pub(crate) fn tests() -> Result<Environment> {
    environment("e2e", &["tests/space/requirements.txt", "tests/e2e/requirements.txt"])
}

/// Environment of Spaces of an older Gradio: 4 or 5.
pub(crate) fn gradio(generation: u8) -> Result<Environment> {
    environment(&format!("gradio{generation}"), &[&format!("tests/space/requirements-gradio{generation}.txt")])
}

/// Environment of the Python clients that can't live beside Gradio.
pub(crate) fn clients() -> Result<Environment> {
    environment("clients", &["tests/clients/requirements.txt"])
}

/// schemathesis, which tries the API's document.
pub(crate) fn schemathesis() -> Result<Environment> {
    environment("schemathesis", &["tests/e2e/requirements-schemathesis.txt"])
}

/// The linter and formatter of Python.
pub(crate) fn lint() -> Result<Environment> {
    environment("lint", &["tests/requirements-lint.txt"])
}

/// LiteLLM's proxy, which the benchmark compares with.
pub(crate) fn litellm() -> Result<Environment> {
    environment("litellm", &["crates/bench/requirements-litellm.txt"])
}

/// The environment of that name, with those packages, made where it isn't there as it should be.
fn environment(name: &str, requirements: &[&str]) -> Result<Environment> {
    let folder = target().join("python").join(name);
    let mut wanted = String::new();
    for file in requirements {
        wanted += &fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))?;
    }
    let stamp = folder.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(Environment { folder });
    }
    let python = interpreter()?;
    say(&format!("installing Python packages into {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    run_quietly(Command::new(python).args(["-m", "venv"]).arg(&folder))
        .context("cannot make a virtual environment; on Debian, install python3-venv")?;
    let environment = Environment { folder };
    let mut pip = Command::new(environment.python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    for file in requirements {
        pip.arg("--requirement").arg(root().join(file));
    }
    let files = requirements.join(" and ");
    run_quietly(&mut pip).with_context(|| format!("pip could not install {files}"))?;
    fs::write(&stamp, wanted)?;
    Ok(environment)
}

/// A Python that is new enough for Gradio 6.
fn interpreter() -> Result<&'static str> {
    const NAMES: [&str; 6] = ["python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"];
    let check = "import sys; sys.exit(sys.version_info < (3, 10))";
    match NAMES.iter().find(|name| succeeds(Command::new(name).args(["-c", check]))) {
        Some(name) => Ok(name),
        None => bail!("there is no Python 3.10 or newer here; install python3 and python3-venv"),
    }
}
