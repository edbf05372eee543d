//! When the next request begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hands out the beginnings of requests.
#[derive(Clone, Debug)]
pub enum Turns {
    /// At once, until then.
    Closed { until: Instant },
    /// When the pacer says so.
    Open(Arc<Mutex<UnboundedReceiver<Instant>>>),
}

impl Turns {
    /// From now on, for `time`, `rate` times a second or without a bound.
    pub fn begin(rate: Option<f64>, time: Duration) -> Self {
        let Some(rate) = rate else { return Self::Closed { until: Instant::now() + time } };
        let (sender, receiver) = unbounded_channel();
        let pause = Duration::from_secs_f64(1.0 / rate);
        // A thread of its own: it must not wait for the target, and tokio's clock ticks in milliseconds.
        std::thread::spawn(move || pace(pause, time, &sender));
        Self::Open(Arc::new(Mutex::new(receiver)))
    }

    /// Waits for a turn; when the request begins, or `None` when there are no more. A request that had to wait for a free
    /// connection began when its turn came.
    pub async fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed { until } => {
                let now = Instant::now();
                (now < *until).then_some(now)
            }
            Self::Open(turns) => turns.lock().await.recv().await,
        }
    }
}

fn pace(pause: Duration, time: Duration, turns: &UnboundedSender<Instant>) {
    let began = Instant::now();
    let mut due = Duration::ZERO;
    while due < time {
        if let Some(wait) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(wait);
        }
        if turns.send(Instant::now()).is_err() {
            return;
        }
        due += pause;
    }
}
