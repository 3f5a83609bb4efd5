//! Metrics of the process from the kernel, under the names that Prometheus's own clients use. On Linux only; elsewhere,
//! and where /proc cannot be read, they are missing.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};

use super::exposition::Exposition;

/// Clock ticks per second in /proc: `USER_HZ`, 100 on every architecture that Linux runs on today.
const TICKS: f64 = 100.0;

/// Reads /proc at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        if let Some(seconds) = cpu_seconds() {
            let help = "Processor time, of user and system.";
            exposition.counter("process_cpu_seconds", help, |metric| {
                metric.encode_counter::<NoLabelSet, _, f64>(&seconds, None)
            })?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Memory that is resident.", resident_bytes()),
            ("process_open_fds", "File descriptors that are open.", open_files()),
            ("process_start_time_seconds", "When the process began, in seconds since 1970.", start_time()),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                exposition.gauge(name, help, |metric| metric.encode_gauge(&value))?;
            }
        }
        Ok(())
    }
}

/// A field of /proc/self/stat by its number in proc(5), from 3 on: the name before it may contain spaces.
fn stat(number: usize) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS)
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    // The listing itself has a descriptor open.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn start_time() -> Option<f64> {
    let stat_of_machine = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = stat_of_machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + stat(22)? / TICKS)
}
