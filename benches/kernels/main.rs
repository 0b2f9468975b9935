//! What each stage costs by itself.
//!
//! - `cargo bench --bench kernels`: the median of many runs of every kernel, in
//!   milliseconds of this thread's CPU time, so that other processes count little;
//! - `… -- --list`: the kernels' names;
//! - `… -- --once NAME`: one run of one kernel inside `measured`, for callgrind
//!   (`benches/instructions.py` does that and compares with what is recorded);
//! - `… -- --limit CLIP…`: what nobody can do without: decoding each clip and
//!   one inference, as JSON, a line for each clip.
//!
//! `scripts/bench` runs all of it and more, and writes docs/performance.md.

mod kernels;
mod limit;
mod material;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use kernels::Kernel;

fn main() -> ExitCode {
    // Cargo adds `--bench` to whatever the user says.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => {
            kernels::all().iter_mut().for_each(report);
            ExitCode::SUCCESS
        }
        ["--list"] => {
            kernels::all().iter().for_each(|kernel| println!("{}", kernel.name));
            ExitCode::SUCCESS
        }
        ["--once", name] => once(name),
        ["--limit", sizes, clips @ ..] => limit::report(sizes, clips),
        _ => {
            eprintln!("usage: kernels [--list | --once NAME | --limit SIZES CLIP…]");
            ExitCode::from(2)
        }
    }
}

/// Runs the kernel for about half a second, at least five times.
fn report(kernel: &mut Kernel) {
    let mut runs_ms = Vec::new();
    let begin = Instant::now();
    (kernel.run)();
    while runs_ms.len() < 5 || begin.elapsed() < Duration::from_millis(500) {
        let start = cpu_ms(ClockId::ThreadCPUTime);
        (kernel.run)();
        runs_ms.push(cpu_ms(ClockId::ThreadCPUTime) - start);
    }
    runs_ms.sort_by(f64::total_cmp);
    println!("{:28} {:9.4} ms", kernel.name, runs_ms[runs_ms.len() / 2]);
}

fn once(name: &str) -> ExitCode {
    let mut kernels = kernels::all();
    let Some(kernel) = kernels.iter_mut().find(|kernel| kernel.name == name) else {
        eprintln!("there is no kernel '{name}'");
        return ExitCode::from(2);
    };
    // Buffers have their sizes and models have learnt before it counts.
    for _ in 0..3 {
        (kernel.run)();
    }
    measured(kernel);
    ExitCode::SUCCESS
}

/// What callgrind looks for: a frame of its own in every build.
#[inline(never)]
fn measured(kernel: &mut Kernel) {
    (kernel.run)();
    black_box(&kernel.name);
}

fn cpu_ms(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}
