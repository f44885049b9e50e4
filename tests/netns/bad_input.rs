//! Broken files and missing means: a clear message, a non-zero exit code, and the file left as it was.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use tests::runner::{Place, Scenario};

/// File below the home directory, its content, and what a good message mentions beside the file's name.
const BROKEN: [(&str, &[u8]); 6] = [
    ("identity.secret", b"this is no identity"),
    ("planet", b"\x01 this is no planet"),
    ("moons.d/00000000deadbeef.moon", b"\x7f this is no moon"),
    (
        "networks.d/00000000deadbeef.conf",
        b"v=7\nnwid=this is no network configuration\n",
    ),
    ("local.conf", b"{\"settings\": {\"primaryPort\": "),
    ("local.conf", b"[1, 2, 3]"),
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<_> = BROKEN
        .iter()
        .enumerate()
        .map(|(number, (file, content))| {
            let name = Path::new(file)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            Scenario::new(
                format!("refuses_broken_{number}_{name}"),
                move |place: &Place| refuses(place, file, content),
            )
        })
        .collect();
    scenarios.push(Scenario::new(
        "refuses_a_port_in_use",
        refuses_a_port_in_use,
    ));
    scenarios
}

/// Runs the daemon, which must end by itself; its exit code and everything it printed.
fn run_to_end(place: &Place, home: &Path, port: &str) -> anyhow::Result<(i32, String)> {
    let mut child = Command::new("timeout");
    let output = child
        .args(["20"])
        .arg(&place.hawserd)
        .args(["-U", port])
        .arg(home)
        .output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.code().unwrap_or(-1), text))
}

fn refuses(place: &Place, file: &str, content: &[u8]) -> anyhow::Result<()> {
    cli::lab::links::set_up("lo")?;
    let home = place.folder.join("home");
    let path = home.join(file);
    std::fs::create_dir_all(path.parent().unwrap_or(&home))?;
    std::fs::write(&path, content)?;
    let (code, text) = run_to_end(place, &home, "-p9993")?;
    ensure!(code == 1, "exit code {code}, output {text:?}");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ensure!(
        text.contains(&*name),
        "the message does not name {name}: {text:?}"
    );
    ensure!(std::fs::read(&path)? == content, "{name} was changed");
    Ok(())
}

fn refuses_a_port_in_use(place: &Place) -> anyhow::Result<()> {
    cli::lab::links::set_up("lo")?;
    let _occupied = std::net::TcpListener::bind("0.0.0.0:9993")?;
    let _also = std::net::TcpListener::bind("[::]:9993");
    let (code, text) = run_to_end(place, &place.folder.join("home"), "-p9993")?;
    ensure!(code == 1, "exit code {code}, output {text:?}");
    ensure!(
        text.contains("9993"),
        "the message does not name the port: {text:?}"
    );
    Ok(())
}
