//! A test runner for scenarios that need namespaces: each runs in a process and a sandbox of its own, so that none can
//! disturb another or leave anything behind. It understands the common switches of `cargo test`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cli::lab::sandbox::{self, Entered, SandboxError};

/// Names the scenario to the process that runs it.
const SCENARIO: &str = "HAWSER_TEST_SCENARIO";
/// How a scenario's process says that the machine forbids namespaces.
const FORBIDDEN: i32 = 77;
/// No scenario may take longer.
const LIMIT: Duration = Duration::from_secs(240);

/// What a scenario gets.
pub struct Place {
    /// Private, empty, vanishes with the sandbox.
    pub folder: PathBuf,
    /// Our daemon.
    pub hawserd: PathBuf,
    /// Our operator's tool.
    pub hawser: PathBuf,
}

/// What a scenario does.
type Work = Box<dyn Fn(&Place) -> anyhow::Result<()>>;

/// One test: a name and what to do. An error fails it.
pub struct Scenario {
    /// As shown and filtered.
    pub name: String,
    /// Runs inside the sandbox.
    pub run: Work,
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
        }
    }
}

/// Command line of a test binary, as far as `cargo test` users expect it.
struct Switches {
    filters: Vec<String>,
    exact: bool,
    list: bool,
    only_ignored: bool,
    include_ignored: bool,
}

impl Switches {
    fn parse() -> Self {
        let mut switches = Self {
            filters: vec![],
            exact: false,
            list: false,
            only_ignored: false,
            include_ignored: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => switches.exact = true,
                "--list" => switches.list = true,
                "--ignored" => switches.only_ignored = true,
                "--include-ignored" => switches.include_ignored = true,
                "--test-threads" | "--format" | "--color" => drop(words.next()),
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
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    if skip.is_none()
        && !selected.is_empty()
        && let Err(error) = build_binaries()
    {
        println!("cannot build the programs under test: {error}");
        return ExitCode::FAILURE;
    }
    for scenario in &selected {
        print!("test {} ... ", scenario.name);
        let _unbuffered = io::stdout().flush();
        match skip {
            Some(reason) => {
                skipped += 1;
                println!("ignored, {reason}");
            }
            None => match run_outside(&scenario.name) {
                Ok((0, took, _)) => {
                    passed += 1;
                    println!("ok ({:.1} s)", took.as_secs_f64());
                }
                Ok((FORBIDDEN, _, output)) => {
                    skipped += 1;
                    println!("ignored, SKIPPED: {}", output.trim());
                }
                Ok((code, took, output)) => {
                    failed += 1;
                    println!(
                        "FAILED (exit code {code}, {:.1} s)\n{output}",
                        took.as_secs_f64()
                    );
                }
                Err(error) => {
                    failed += 1;
                    println!("FAILED ({error})");
                }
            },
        }
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

fn run_outside(name: &str) -> io::Result<(i32, Duration, String)> {
    let start = Instant::now();
    let mut output = tempfile()?;
    let mut child = Command::new(std::env::current_exe()?)
        .env(SCENARIO, name)
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut text = String::new();
    io::Seek::rewind(&mut output)?;
    io::Read::read_to_string(&mut output, &mut text)?;
    if start.elapsed() > LIMIT {
        text.push_str("\nstopped: it took longer than any scenario may");
    }
    Ok((status.code().unwrap_or(-1), start.elapsed(), text))
}

/// An open file without a name.
fn tempfile() -> io::Result<std::fs::File> {
    let path = std::env::temp_dir().join(format!("hawser-test-{}.log", std::process::id()));
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
