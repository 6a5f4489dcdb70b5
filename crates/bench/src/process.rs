//! Figures of a process, out of `/proc`.

use anyhow::{Context as _, Result};

/// Ticks a second of the times in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// Seconds that the process has computed, by itself and in the kernel.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    parse_cpu(&std::fs::read_to_string(format!("/proc/{process}/stat"))?).context("/proc has no times")
}

/// Bytes of memory that the process has. Pages that several of its instances share count once.
pub(crate) fn memory(process: u32) -> Result<f64> {
    parse_memory(&std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?).context("/proc has no Pss")
}

fn parse_cpu(stat: &str) -> Option<f64> {
    // The program's name, in brackets, may have spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

fn parse_memory(rollup: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 1 1 1";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(
            parse_memory("Rss:     4096 kB\nPss:     2048 kB\nPss_Dirty:     1024 kB\n"),
            Some(2.0 * 1024.0 * 1024.0)
        );
        assert!(cpu_seconds(std::process::id()).is_ok() && memory(std::process::id()).unwrap() > 0.0);
    }
}
