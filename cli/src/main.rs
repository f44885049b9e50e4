//! hawser.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    std::process::exit(cli::lab::run(&arguments));
}
