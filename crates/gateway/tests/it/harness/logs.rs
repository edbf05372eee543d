//! Everything the gateway logs while tests run, at every level.

use std::io;
use std::sync::{Mutex, Once};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ONCE: Once = Once::new();

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Starts to collect.
pub fn capture() {
    ONCE.call_once(|| {
        let filter = EnvFilter::new("trace,sqlx=debug");
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Lines).init();
    });
}

/// What has been logged so far, by all tests of this process.
pub fn so_far() -> String {
    String::from_utf8_lossy(&LINES.lock().unwrap()).into_owned()
}

/// The last lines that tell of trouble, or of getting over it.
pub fn last_complaints() -> String {
    let log = so_far();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| [" INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level)))
        .collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
