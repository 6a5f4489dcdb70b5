//! A store that is a Redis server's database, with keys and values as Spin's own Redis store has them: both can share one.

use std::fmt;

use anyhow::{Context as _, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, cmd};
use std::time::Duration;
use tokio::sync::OnceCell;

/// In one step, since scripts are: Redis 7 has no command for it.
const SWAP: &str = "if redis.call('GET', KEYS[1]) == (ARGV[1] == '1' and ARGV[2]) then redis.call('SET', KEYS[1], ARGV[3]) return 1 end return 0";
/// How long a connection may take, and an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The server.
pub(super) struct Redis {
    client: Client,
    /// One for all, which is made anew when it breaks.
    connection: OnceCell<ConnectionManager>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.write_str("Redis")
    }
}

impl Redis {
    /// The server at that URL. It is connected to when it is first needed.
    pub(super) fn new(url: &str) -> Result<Self> {
        let client = Client::open(url).context("a key-value store's url must be like redis://host:6379/0")?;
        Ok(Self { client, connection: OnceCell::new() })
    }

    async fn connection(&self) -> Result<ConnectionManager> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(2);
        let connect = || self.client.get_connection_manager_with_config(config);
        Ok(self.connection.get_or_try_init(connect).await?.clone())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.connection().await?.get(key).await?)
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        Ok(self.connection().await?.set(key, value).await?)
    }

    pub(super) async fn swap(&self, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
        let is_expected = if expected.is_some() { "1" } else { "0" };
        let mut swap = cmd("EVAL");
        swap.arg(SWAP).arg(1).arg(key).arg(is_expected).arg(expected.unwrap_or_default()).arg(value);
        let swapped: u8 = swap.query_async(&mut self.connection().await?).await?;
        Ok(swapped == 1)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        Ok(self.connection().await?.del(key).await?)
    }

    /// By a scan, which holds no other client up. It may tell a key twice, and does not tell what comes and goes meanwhile.
    pub(super) async fn keys(&self) -> Result<Vec<String>> {
        let mut connection = self.connection().await?;
        let (mut cursor, mut keys) = (0_u64, Vec::new());
        loop {
            let (next, mut some): (u64, Vec<String>) =
                cmd("SCAN").arg(cursor).arg("COUNT").arg(1000).query_async(&mut connection).await?;
            keys.append(&mut some);
            if next == 0 {
                keys.sort_unstable();
                keys.dedup();
                return Ok(keys);
            }
            cursor = next;
        }
    }
}
