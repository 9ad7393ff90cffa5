//! `polos-bench core`: the figures of the durable core.

mod latency;
mod parked;
mod recovery;
mod replay;
mod start;
mod throughput;

use crate::bench::Bench;
use crate::disk::{self, Fsync};
use crate::figure::{Figure, number};
use anyhow::{Result, bail};
use serde::Serialize;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Measure the durable core: latency, throughput, replay, memory, starts, recovery
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Keep the data directories under this folder, on the disk to be measured
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Measure only what has this in its name
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Measure this server program; by default the `polos` beside this program, if it is there
    #[arg(long, value_name = "PROGRAM")]
    polos: Option<PathBuf>,
}

/// What every measurement needs.
pub(crate) struct Place {
    root: PathBuf,
    polos: Option<PathBuf>,
}

impl Place {
    pub(crate) fn bench(&self) -> Result<Bench> {
        Bench::new(&self.root, self.polos.as_deref())
    }
}

#[derive(Serialize)]
struct Report {
    server: String,
    cores: usize,
    load_before: String,
    load_after: String,
    fsync_before: Fsync,
    fsync_after: Fsync,
    figures: Vec<Figure>,
    /// Measurements that broke off, and why.
    failures: Vec<String>,
}

type Measure = fn(&Place) -> Result<Vec<Figure>>;

const ALL: &[(&str, Measure)] = &[
    ("start", start::measure),
    ("latency", latency::measure),
    ("throughput", throughput::small),
    ("large", throughput::large),
    ("replay", replay::measure),
    ("parked", parked::measure),
    ("recovery", recovery::measure),
];

pub(crate) fn run(args: Args) -> Result<()> {
    let polos = args.polos.or_else(beside);
    let fsync_before = disk::fsync(&args.dir)?;
    let load_before = load()?;
    let place = Place { root: args.dir, polos };
    let (mut figures, mut failures) = (Vec::new(), Vec::new());
    let wanted = |name: &str| args.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    for (name, measure) in ALL.iter().filter(|(name, _)| wanted(name)) {
        progress(&format!("measuring {name} …"));
        match measure(&place) {
            Ok(measured) => {
                for figure in &measured {
                    progress(&figure.line());
                }
                figures.extend(measured);
            }
            Err(error) => {
                progress(&format!("{name} broke off: {error:#}"));
                failures.push(format!("{name}: {error:#}"));
            }
        }
    }
    let server = place.polos.as_deref().unwrap_or(Path::new("polos-bench server"));
    let report = Report {
        server: server.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        cores: std::thread::available_parallelism()?.get(),
        load_before,
        load_after: load()?,
        fsync_before,
        fsync_after: disk::fsync(&place.root)?,
        figures,
        failures,
    };
    print(&report, args.json)?;
    if report.failures.is_empty() {
        return Ok(());
    }
    bail!("{} of the measurements broke off", report.failures.len())
}

/// The `polos` that was built with this program.
fn beside() -> Option<PathBuf> {
    let polos = std::env::current_exe().ok()?.with_file_name("polos");
    polos.is_file().then_some(polos)
}

fn load() -> Result<String> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(load.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

fn print(report: &Report, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        return Ok(writeln!(out)?);
    }
    let fsync =
        |fsync: Fsync| format!("p50 {} p99 {} ms", number(fsync.p50_ms), number(fsync.p99_ms));
    writeln!(out, "server            {}, {} cores", report.server, report.cores)?;
    writeln!(out, "fsync before      {}, load {}", fsync(report.fsync_before), report.load_before)?;
    writeln!(out, "fsync after       {}, load {}", fsync(report.fsync_after), report.load_after)?;
    writeln!(out)?;
    for figure in &report.figures {
        writeln!(out, "{}", figure.line())?;
    }
    for failure in &report.failures {
        writeln!(out, "broke off         {failure}")?;
    }
    Ok(())
}

/// Says where it stands; the times are the ones that `perf record --clockid monotonic` gives.
#[expect(clippy::print_stderr, reason = "talk goes to stderr")]
fn progress(line: &str) {
    eprintln!("{line}");
}

/// A small runtime for the client's side of a measurement.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
