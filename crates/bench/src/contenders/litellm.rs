//! LiteLLM's proxy, which speaks to OpenAI's API and not to Spaces.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::process::Command;

use crate::calls::MODEL;
use crate::host::KEY;
use crate::program::{Program, free_port};

/// Time in which it starts: it imports for some seconds in each of its processes.
const START: Duration = Duration::from_secs(180);

/// Starts it with as many processes as there are processors, in front of OpenAI's API at `upstream`. Its settings lie
/// in `folder`.
pub(crate) async fn start(program: &Path, upstream: &str, folder: &Path) -> Result<Program> {
    let parameters =
        json!({"model": format!("openai/{MODEL}"), "api_base": format!("{upstream}/v1"), "api_key": "none"});
    let settings = json!({
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"drop_params": true, "telemetry": false},
        "general_settings": {"master_key": KEY},
    });
    std::fs::create_dir_all(folder)?;
    let file = folder.join("litellm.yaml");
    // JSON is YAML.
    std::fs::write(&file, settings.to_string())?;
    let processes = std::thread::available_parallelism()?.to_string();
    let port = free_port()?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&file).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    // It would fetch a list of prices else.
    command.args(["--num_workers", &processes]).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    Program::awaited(command.current_dir(folder), port, START).await.context("LiteLLM's proxy")
}
