//! What this process takes of the machine, as Prometheus's own client libraries name it.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

/// When the process began, as far as it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessMetrics {
    began: SystemTime,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        ProcessMetrics { began: SystemTime::now() }
    }
}

impl ProcessMetrics {
    /// Appends what can be read, in the text format of OpenMetrics, without its end.
    pub fn write(&self, text: &mut String) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let used = getrusage(UsageWho::RUSAGE_SELF).ok();
        let used = used.map(|used| seconds(used.user_time()) + seconds(used.system_time()));
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let files = std::fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        let files_max = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
        let bytes = |name: &str| kilobytes(name).map(|kilobytes| (kilobytes * 1024) as f64);
        let help = "Total user and system CPU time spent in seconds";
        put(text, "process_cpu_seconds", "counter", help, used);
        let help = "Start time of the process since unix epoch in seconds";
        put(text, "process_start_time_seconds", "gauge", help, Some(began.as_secs_f64()));
        let help = "Resident memory size in bytes";
        put(text, "process_resident_memory_bytes", "gauge", help, bytes("VmRSS:"));
        let help = "Virtual memory size in bytes";
        put(text, "process_virtual_memory_bytes", "gauge", help, bytes("VmSize:"));
        let help = "Number of open file descriptors";
        put(text, "process_open_fds", "gauge", help, files.map(|files| files as f64));
        let help = "Maximum number of open file descriptors";
        put(text, "process_max_fds", "gauge", help, files_max.map(|files| files as f64));
    }
}

fn put(text: &mut String, name: &str, kind: &str, help: &str, value: Option<f64>) {
    let Some(value) = value else { return };
    let suffix = if kind == "counter" { "_total" } else { "" };
    // Writing to memory does not fail.
    let _ = writeln!(text, "# HELP {name} {help}.");
    let _ = writeln!(text, "# TYPE {name} {kind}");
    let _ = writeln!(text, "{name}{suffix} {value}");
}
