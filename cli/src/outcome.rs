//! What a command prints, and its exit code. Commands return this instead of printing, so that tests can read it.

use std::io::Write;

/// Texts for both streams, and the exit code.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Outcome {
    /// Something for standard output.
    pub(crate) fn to_stdout(code: i32, text: impl Into<String>) -> Self {
        Self {
            stdout: text.into(),
            stderr: String::new(),
            code,
        }
    }

    /// Something for standard error.
    pub(crate) fn to_stderr(code: i32, text: impl Into<String>) -> Self {
        Self {
            stdout: String::new(),
            stderr: text.into(),
            code,
        }
    }

    /// Success without a word.
    pub(crate) fn silent() -> Self {
        Self::default()
    }

    /// Success, with something for standard output.
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self::to_stdout(0, text)
    }

    /// hawser's answer to arguments that make no sense: exit code 2.
    pub(crate) fn mistake(program: &str, text: &str) -> Self {
        let program = crate::usage::short_name(program);
        Self::to_stderr(
            2,
            format!("{program}: {text}.\nRun `{program} --help` for what there is.\n"),
        )
    }

    /// Writes both texts and gives the exit code: 1 if they could not be written.
    pub(crate) fn print(&self) -> i32 {
        let written = std::io::stdout()
            .write_all(self.stdout.as_bytes())
            .and_then(|()| std::io::stdout().flush())
            .and_then(|()| std::io::stderr().write_all(self.stderr.as_bytes()));
        match written {
            Ok(()) => self.code,
            Err(_) => self.code.max(1),
        }
    }
}
