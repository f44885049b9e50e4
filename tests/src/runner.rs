//! A test runner for scenarios that need namespaces: each runs in a process and a sandbox of its own, so that none can
//! disturb another or leave anything behind. It understands the common switches of `cargo test`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cli::lab::sandbox::{self, Entered, SandboxError};
use cli::lab::topology::{Lab, LabConfig};

/// Names the scenario to the process that runs it.
const SCENARIO: &str = "HAWSER_TEST_SCENARIO";
/// How a scenario's process says that the machine forbids namespaces.
const FORBIDDEN: i32 = 77;
/// No scenario may take longer, unless it says so.
const LIMIT: Duration = Duration::from_secs(240);

/// Scenarios at a time, unless asked otherwise: they wait most of the time.
const THREADS: usize = 2;

/// What a scenario gets.
pub struct Place {
    /// Private, empty, vanishes with the sandbox.
    pub folder: PathBuf,
    /// Our daemon.
    pub hawserd: PathBuf,
    /// Our operator's tool.
    pub hawser: PathBuf,
}

impl Place {
    /// A lab of our daemons, none of which runs yet.
    pub fn lab(&self, links: u8, members: usize) -> io::Result<Lab> {
        Lab::build(&LabConfig {
            links,
            root: self.hawserd.clone(),
            controller: self.hawserd.clone(),
            members: vec![self.hawserd.clone(); members],
            folder: self.folder.clone(),
        })
    }
}

/// What a scenario does.
type Work = Box<dyn Fn(&Place) -> anyhow::Result<()>>;

/// One test: a name and what to do. An error fails it.
pub struct Scenario {
    /// As shown and filtered.
    pub name: String,
    /// Runs inside the sandbox.
    pub run: Work,
    /// How long it may take.
    limit: Duration,
}

impl Scenario {
    /// A scenario from a function.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&Place) -> anyhow::Result<()> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
            limit: LIMIT,
        }
    }

    /// The same scenario, which may take longer than others by `extra`.
    pub fn longer_by(mut self, extra: Duration) -> Self {
        self.limit += extra;
        self
    }
}

/// Command line of a test binary, as far as `cargo test` users expect it.
struct Switches {
    filters: Vec<String>,
    exact: bool,
    list: bool,
    only_ignored: bool,
    include_ignored: bool,
    /// Show what passed scenarios print, too.
    no_capture: bool,
    /// Scenarios at a time.
    threads: usize,
}

impl Switches {
    fn parse() -> Self {
        let mut switches = Self {
            filters: vec![],
            exact: false,
            list: false,
            only_ignored: false,
            include_ignored: false,
            no_capture: false,
            threads: THREADS,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => switches.exact = true,
                "--list" => switches.list = true,
                "--ignored" => switches.only_ignored = true,
                "--include-ignored" => switches.include_ignored = true,
                "--nocapture" | "--no-capture" => switches.no_capture = true,
                "--test-threads" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    switches.threads = number.unwrap_or(1).max(1);
                }
                "--format" | "--color" => drop(words.next()),
                word if word.starts_with('-') => {}
                filter => switches.filters.push(filter.to_owned()),
            }
        }
        switches
    }

    fn selects(&self, name: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter)
            }
        };
        self.filters.is_empty() || self.filters.iter().any(matches)
    }
}

/// Runs the scenarios. If `ignored` is given, all of them count as ignored tests, for that reason, unless asked for.
pub fn run(scenarios: &[Scenario], ignored: Option<&str>) -> ExitCode {
    if let Ok(name) = std::env::var(SCENARIO) {
        return run_inside(scenarios, &name);
    }
    let switches = Switches::parse();
    let selected: Vec<_> = scenarios
        .iter()
        .filter(|s| switches.selects(&s.name))
        .collect();
    if switches.list {
        selected
            .iter()
            .for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", selected.len());
    let start = Instant::now();
    let skip = match ignored {
        Some(reason) if !switches.only_ignored && !switches.include_ignored => Some(reason),
        None if switches.only_ignored => Some("not an ignored test"),
        _ => None,
    };
    if skip.is_none()
        && !selected.is_empty()
        && let Err(error) = build_binaries()
    {
        println!("cannot build the programs under test: {error}");
        return ExitCode::FAILURE;
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    if let Some(reason) = skip {
        for scenario in &selected {
            println!("test {} ... ignored, {reason}", scenario.name);
        }
        skipped = selected.len();
    } else {
        run_each(&selected, &switches, |name, ended| match ended {
            Ok((0, took, output)) => {
                passed += 1;
                println!("test {name} ... ok ({:.1} s)", took.as_secs_f64());
                if switches.no_capture {
                    print!("{output}");
                }
            }
            Ok((FORBIDDEN, _, output)) => {
                skipped += 1;
                println!("test {name} ... ignored, SKIPPED: {}", output.trim());
            }
            Ok((code, took, output)) => {
                failed += 1;
                println!(
                    "test {name} ... FAILED (exit code {code}, {:.1} s)\n{output}",
                    took.as_secs_f64()
                );
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED ({error})");
            }
        });
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        scenarios.len() - selected.len(),
        start.elapsed().as_secs_f64()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

/// Exit code, time and output of a scenario.
type Ended = io::Result<(i32, Duration, String)>;

/// Runs scenarios in their order, as many at a time as asked for, and tells how each ended.
fn run_each(selected: &[&Scenario], switches: &Switches, mut tell: impl FnMut(&str, Ended)) {
    let next = AtomicUsize::new(0);
    // What a thread needs of a scenario; what it does stays in its own process.
    let tasks: Vec<(&str, Duration)> = selected
        .iter()
        .map(|scenario| (scenario.name.as_str(), scenario.limit))
        .collect();
    std::thread::scope(|scope| {
        let (ended, endings) = mpsc::channel();
        for _ in 0..switches.threads.min(tasks.len()) {
            let (ended, next, tasks) = (ended.clone(), &next, &tasks);
            scope.spawn(move || {
                while let Some((name, limit)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if ended.send((*name, run_outside(name, *limit))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(ended);
        for (name, ending) in endings {
            tell(name, ending);
            let _unbuffered = io::stdout().flush();
        }
    });
}

fn run_outside(name: &str, limit: Duration) -> Ended {
    let start = Instant::now();
    let mut output = tempfile(name)?;
    let mut child = Command::new(std::env::current_exe()?)
        .env(SCENARIO, name)
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut text = String::new();
    io::Seek::rewind(&mut output)?;
    io::Read::read_to_string(&mut output, &mut text)?;
    if start.elapsed() > limit {
        text.push_str("\nstopped: it took longer than it may");
    }
    Ok((status.code().unwrap_or(-1), start.elapsed(), text))
}

/// An open file without a name.
fn tempfile(name: &str) -> io::Result<std::fs::File> {
    let path = std::env::temp_dir().join(format!("hawser-test-{}-{name}.log", std::process::id()));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn run_inside(scenarios: &[Scenario], name: &str) -> ExitCode {
    // Ctrl-C at the runner ends the scenario too, and with it the sandbox.
    let _best_effort =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let folder = match sandbox::enter() {
        Ok(Entered::Inside(folder)) => folder,
        Ok(Entered::Ended(status)) => {
            return ExitCode::from(
                status
                    .code()
                    .and_then(|c| u8::try_from(c).ok())
                    .unwrap_or(1),
            );
        }
        Err(error @ SandboxError::Forbidden { .. }) => {
            println!("{error}");
            return ExitCode::from(FORBIDDEN as u8);
        }
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let Some(scenario) = scenarios.iter().find(|scenario| scenario.name == name) else {
        println!("no scenario {name}");
        return ExitCode::FAILURE;
    };
    let place = Place {
        folder,
        hawserd: program("hawserd"),
        hawser: program("hawser"),
    };
    match (scenario.run)(&place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            show_logs(&place.folder);
            ExitCode::FAILURE
        }
    }
}

/// The last lines of every daemon's log, for a failed scenario.
fn show_logs(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "log")
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            println!("--- {}", path.display());
            let lines: Vec<_> = text.lines().collect();
            lines
                .iter()
                .skip(lines.len().saturating_sub(25))
                .for_each(|line| println!("{line}"));
        }
    }
}

/// A program of this workspace, beside this test's own folder (`target/<profile>/deps`).
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."))
        .join(name)
}

/// Cargo builds only what a package's tests name; the programs of other packages are for us to ask for.
fn build_binaries() -> io::Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--quiet",
        "--package",
        "daemon",
        "--package",
        "cli",
        "--bins",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    if build.status()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("cargo build failed"))
    }
}
