//! Ctrl-C and SIGTERM as a flag, so that whoever waits can stop what it started, in order.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Result;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

static SEEN: AtomicBool = AtomicBool::new(false);
static WATCHED: OnceLock<()> = OnceLock::new();

/// From now on a signal sets the flag instead of ending us; a second one ends us at once.
pub fn watch() -> Result<()> {
    if WATCHED.set(()).is_err() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if SEEN.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// Whether we were told to stop.
pub fn seen() -> bool {
    SEEN.load(Ordering::SeqCst)
}
