//! Processes of a measurement: they end with it, and their use of the machine can be read.

use anyhow::{Context as _, Result, bail};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a process may take to end in good order.
const END_MAX: Duration = Duration::from_secs(20);

/// A child process that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child =
            command.spawn().with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Self(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL, and the end of it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.context("no such process")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let begin = Instant::now();
        while self.0.try_wait()?.is_none() {
            if begin.elapsed() > END_MAX {
                bail!("a process did not end when told to");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Processor time used so far, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "ticks of a short life")]
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let after_name = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let used = ticks(11).zip(ticks(12)).context("`/proc/PID/stat` is not as expected")?;
        Ok((used.0 + used.1) as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory in megabytes: all that is resident, and the part that is no file.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_ascii_whitespace().next());
            number.and_then(|kib| kib.parse::<f64>().ok()).map(|kib| kib * 1024.0 / 1e6)
        };
        let resident = field("VmRSS:").zip(field("RssAnon:"));
        let (resident_mb, anonymous_mb) = resident.context("`/proc/PID/status` says no size")?;
        Ok(Memory { resident_mb, anonymous_mb })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident_mb: f64,
    pub(crate) anonymous_mb: f64,
}
