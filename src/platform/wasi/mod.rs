//! Services of WASI 0.3, which every host of the component has. The edges to hosts, `spin` and [`plain`], add what a
//! host has beside them: variables and databases.

#[cfg(feature = "wasi")]
pub(crate) mod plain;
pub(crate) mod wake;
pub(crate) mod wire;

use std::io::Write as _;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use wasip3::clocks::system_clock;
use wasip3::random::random::get_random_bytes;

use super::log::LogRecord;
use super::wall_clock::WallClock;
use super::{Inbound, MemoryBudget, Outbound, TransportError};

/// WASI's part of the port.
#[derive(Default)]
pub(super) struct Wasi {
    memory: MemoryBudget,
    clock: WallClock,
}

impl Wasi {
    pub(super) fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        Box::pin(wire::send(request))
    }

    pub(super) fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(wake::sleep(duration))
    }

    pub(super) fn now(&self) -> Duration {
        wake::now()
    }

    pub(super) fn unix_time(&self) -> Duration {
        let now = system_clock::now();
        // A clock before 1970 is a clock that was never set.
        let unix = Duration::new(u64::try_from(now.seconds).unwrap_or(0), now.nanoseconds);
        self.clock.read(unix, self.now())
    }

    pub(super) fn fill_random(&self, bytes: &mut [u8]) {
        let mut filled = 0;
        // The host may give fewer bytes than asked for, never none.
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let wanted = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            let random = get_random_bytes(wanted);
            for (byte, random) in rest.iter_mut().zip(&random) {
                *byte = *random;
            }
            filled += random.len();
        }
    }

    pub(super) fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        wake::spawn(task);
    }

    pub(super) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    pub(super) fn log(&self, record: &LogRecord<'_>) {
        let mut line = record.to_line();
        line.push('\n');
        // In one piece, as other instances write there too. A log that can't be written can't be told of either.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
